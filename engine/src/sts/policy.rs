//! The policy file.

use super::record::is_field_name;
use crate::mail::MxPattern;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a policy asks of a sender (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// To MX hosts that match, over TLS that proves their names, or not at all.
    Enforce,
    /// The same is looked at and reported, and changes nothing.
    Testing,
    /// As if there were no policy: it takes back an earlier one (section 8.3).
    None,
}

/// A policy (RFC 8461 section 3.2). Whoever holds one holds one within the bounds of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    mx: Vec<MxPattern>,
    max_age: Duration,
}

/// Why a file is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// A line is no `key: value`.
    #[error("a line is no \"key: value\"")]
    Line,
    /// `version` is missing or another one.
    #[error("version is missing or not STSv1")]
    Version,
    /// `mode` is missing or unknown.
    #[error("mode is missing or unknown")]
    Mode,
    /// `max_age` is missing, no number, or more than a year.
    #[error("max_age is missing, no number of seconds, or more than 31557600")]
    MaxAge,
    /// An `mx` is no host name.
    #[error("an mx is no host name")]
    Mx,
    /// There is no `mx`, in a mode that needs one.
    #[error("it names no mx")]
    NoMx,
    /// There are more than [`MOST_MX`].
    #[error("it names more than 512 mx")]
    TooManyMx,
}

/// Of `mx`: far beyond any policy that was ever seen, and it bounds what a hostile one costs on disk.
pub(super) const MOST_MX: usize = 512;
/// Of `max_age`, in seconds (section 3.2): about a year.
pub(super) const LONGEST: u64 = 31_557_600;

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// They are out of bounds, or it has no MX and a mode that needs one.
    pub fn new(mode: Mode, mx: Vec<MxPattern>, max_age: u64) -> Result<Policy, PolicyFault> {
        match mx.len() {
            0 if mode != Mode::None => return Err(PolicyFault::NoMx),
            count if count > MOST_MX => return Err(PolicyFault::TooManyMx),
            _ if max_age > LONGEST => return Err(PolicyFault::MaxAge),
            _ => {}
        }
        Ok(Policy { mode, mx, max_age: Duration::from_secs(max_age) })
    }

    /// Reads a policy file. Lines end in LF or CRLF; of a key that is given twice the first counts, but for `mx`; unknown keys
    /// are passed over, and so are empty lines, which editors leave.
    ///
    /// # Errors
    /// What keeps it from being a policy.
    pub fn parse(file: &[u8]) -> Result<Policy, PolicyFault> {
        let text = std::str::from_utf8(file).map_err(|_| PolicyFault::NotText)?;
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line).trim_end_matches(BLANK);
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(PolicyFault::Line)?;
            let value = value.trim_start_matches(BLANK);
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if mx.len() == MOST_MX => return Err(PolicyFault::TooManyMx),
                "mx" => mx.push(MxPattern::parse(value).ok_or(PolicyFault::Mx)?),
                _ if is_field_name(key) => {}
                _ => return Err(PolicyFault::Line),
            }
        }
        if version != Some("STSv1") {
            return Err(PolicyFault::Version);
        }
        let mode = mode.and_then(mode_of).ok_or(PolicyFault::Mode)?;
        let max_age = max_age.and_then(seconds).ok_or(PolicyFault::MaxAge)?;
        Policy::new(mode, mx, max_age)
    }

    /// What it asks.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The MX hosts that it means.
    pub fn mx(&self) -> &[MxPattern] {
        &self.mx
    }

    /// How long after it was fetched it holds.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Whether it means the MX host `host`. What follows from that is the mode's affair.
    pub fn permits(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }
}

/// RFC 5234's WSP.
const BLANK: [char; 2] = [' ', '\t'];

fn mode_of(text: &str) -> Option<Mode> {
    match text {
        "enforce" => Some(Mode::Enforce),
        "testing" => Some(Mode::Testing),
        "none" => Some(Mode::None),
        _ => None,
    }
}

/// One to ten digits, and nothing that Rust would take for a number beyond that.
fn seconds(text: &str) -> Option<u64> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "version: STSv1\nmode: enforce\n";

    #[test]
    fn the_example_of_the_rfc() {
        let file = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n";
        for file in [file.to_owned(), file.replace("\r\n", "\n"), file.trim_end().to_owned()] {
            let policy = Policy::parse(file.as_bytes()).expect(&file);
            assert_eq!((policy.mode(), policy.max_age().as_secs(), policy.mx().len()), (Mode::Enforce, 604_800, 3));
            for (host, meant) in [("backupmx.example.com", true), ("a.example.net", true), ("mx.example.com", false)] {
                assert_eq!(policy.permits(host), meant, "{host}");
            }
        }
    }

    #[test]
    fn what_is_a_policy() {
        let cases = [
            ("any order", "max_age: 1\nmx: a.example\nmode: testing\nversion: STSv1".to_owned()),
            ("unknown keys", format!("{HEAD}mx: a.example\nmax_age: 1\nx-a.b_c: é: ü\nvalue-less:\n")),
            ("blanks", "version:STSv1 \nmode:\t enforce\t\nmx:   a.example  \r\nmax_age: 1\n\n  \n".to_owned()),
            ("the first of two", format!("{HEAD}mode: none\nmx: a.example\nmax_age: 1\nmax_age: x\nversion: 2")),
            ("the longest", format!("{HEAD}mx: a.example\nmax_age: 31557600")),
            ("the shortest", format!("{HEAD}mx: a.example\nmax_age: 0")),
            ("leading zeros", format!("{HEAD}mx: a.example\nmax_age: 0000000001")),
            ("none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400".to_owned()),
            ("as many as there may be", format!("{HEAD}max_age: 1\n{}", "mx: a.example\n".repeat(MOST_MX))),
        ];
        for (name, file) in cases {
            assert!(Policy::parse(file.as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_none() {
        let cases = [
            (PolicyFault::Version, String::new()),
            (PolicyFault::Version, "mode: enforce\nmx: a.example\nmax_age: 1".to_owned()),
            (PolicyFault::Version, "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1".to_owned()),
            (PolicyFault::Version, "version: stsv1\nmode: enforce\nmx: a.example\nmax_age: 1".to_owned()),
            (PolicyFault::Mode, "version: STSv1\nmx: a.example\nmax_age: 1".to_owned()),
            (PolicyFault::Mode, "version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1".to_owned()),
            (PolicyFault::NoMx, format!("{HEAD}max_age: 1")),
            (PolicyFault::Mx, format!("{HEAD}mx: a b\nmax_age: 1")),
            (PolicyFault::Mx, format!("{HEAD}mx:\nmax_age: 1")),
            (PolicyFault::TooManyMx, format!("{HEAD}max_age: 1\n{}", "mx: a.example\n".repeat(MOST_MX + 1))),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example")),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example\nmax_age: 31557601")),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example\nmax_age: -1")),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example\nmax_age: +1")),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example\nmax_age: 1d")),
            (PolicyFault::MaxAge, format!("{HEAD}mx: a.example\nmax_age: 00000000001")),
            (PolicyFault::Line, format!("{HEAD}mx: a.example\nmax_age: 1\nnonsense")),
            (PolicyFault::Line, format!("{HEAD}mx : a.example\nmax_age: 1")),
            (PolicyFault::Line, "<html><body>not here: sorry</body></html>".to_owned()),
            (PolicyFault::Version, HEAD.replace('\n', "\r") + "mx: a.example\rmax_age: 1"),
        ];
        for (fault, file) in cases {
            assert_eq!(Policy::parse(file.as_bytes()), Err(fault), "{file:?}");
        }
        assert_eq!(Policy::parse(b"version: STSv1\xff"), Err(PolicyFault::NotText));
    }

    fn within_bounds(policy: &Policy) -> bool {
        policy.max_age().as_secs() <= LONGEST
            && policy.mx().len() <= MOST_MX
            && (policy.mode() == Mode::None || !policy.mx().is_empty())
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Policy::parse(&octets).is_ok_and(|policy| within_bounds(&policy)) || Policy::parse(&octets).is_err());
        }

        /// Lines that are nearly right, in any order and number.
        #[test]
        fn what_is_accepted_is_within_bounds(
            lines in proptest::collection::vec("(version: ?STSv[12]|mode: (enforce|testing|none)|mx: (\\*\\.)?[a-z.]{1,9}|max_age: [0-9]{0,11}|[a-z:]{0,9})\r?", 0..12),
        ) {
            if let Ok(policy) = Policy::parse(lines.join("\n").as_bytes()) {
                prop_assert!(within_bounds(&policy));
            }
        }

        #[test]
        fn a_policy_within_bounds_is_accepted(max_age in 0..=LONGEST, hosts in proptest::collection::vec("[a-z]{1,9}\\.example", 1..9)) {
            let mx: String = hosts.iter().map(|host| format!("mx: {host}\n")).collect();
            let policy = Policy::parse(format!("{HEAD}{mx}max_age: {max_age}\n").as_bytes()).expect("a policy");
            prop_assert_eq!(policy.max_age().as_secs(), max_age);
            prop_assert!(hosts.iter().all(|host| policy.permits(host)));
        }
    }
}
