//! MX patterns of MTA-STS policies.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A host, or all hosts one label below a name (RFC 8461 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MxPattern {
    /// Lower case, without the wildcard and a final dot.
    name: String,
    wildcard: bool,
}

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a host name nor a host name behind \"*.\"")]
pub struct NoPattern;

/// RFC 1035 section 2.3.4, in octets.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

impl MxPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<MxPattern, NoPattern> {
        let lower = text.to_ascii_lowercase();
        let (wildcard, name) = lower.strip_prefix("*.").map_or((false, lower.as_str()), |rest| (true, rest));
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = |label: &str| {
            let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            !label.is_empty() && label.len() <= LONGEST_LABEL && label.bytes().all(plain)
        };
        if name.len() > LONGEST_NAME || !name.split('.').all(fits) {
            return Err(NoPattern);
        }
        Ok(MxPattern { name: name.to_owned(), wildcard })
    }

    /// Whether it names `host`. The wildcard is one label, the left-most (RFC 6125 section 6.4.3).
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        if !self.wildcard {
            return host.eq_ignore_ascii_case(&self.name);
        }
        host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(&self.name))
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

impl TryFrom<String> for MxPattern {
    type Error = NoPattern;

    fn try_from(text: String) -> Result<MxPattern, NoPattern> {
        MxPattern::parse(&text)
    }
}

impl From<MxPattern> for String {
    fn from(pattern: MxPattern) -> String {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_label() {
        let matches = |pattern: &str, host: &str| MxPattern::parse(pattern).expect("a pattern").matches(host);
        assert!(matches("*.example.com", "MX.example.com.") && matches("Mail.Example.com.", "mail.example.com"));
        assert!(!matches("*.example.com", "example.com") && !matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", ".example.com") && !matches("example.com", "mx.example.com"));
        assert!(!matches("*.example.com", "mx.example.org") && !matches("*.example.com", "mxexample.com"));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in
            ["", "*", "*.", ".", "a..b", "*.*.example", "mx.*.example", "*mx.example", "a b.example", "ü.example"]
        {
            assert_eq!(MxPattern::parse(text), Err(NoPattern), "{text:?}");
        }
        assert!(MxPattern::parse(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(MxPattern::parse(&format!("{}example", "a.".repeat(130))).is_err());
    }
}
