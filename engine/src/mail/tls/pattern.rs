//! One `mx` line of a policy.

use crate::mail::is_host_name;
use std::fmt;
use std::net::IpAddr;

/// Which MX hosts a line of a policy means: one name, or every name with one label before it (RFC 8461 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MxPattern {
    /// In lower case, without `*.`.
    name: String,
    /// Whether `*.` stood before it.
    any_label: bool,
}

impl MxPattern {
    /// Reads `mx.example.net` or `*.example.net`, A-labels only.
    pub fn parse(text: &str) -> Option<MxPattern> {
        let wild = text.strip_prefix("*.");
        let name = wild.unwrap_or(text);
        // What is longer is no name in the DNS (RFC 1035 section 2.3.4).
        let usable = name.len() <= 253 && is_host_name(name);
        usable.then(|| MxPattern { name: name.to_ascii_lowercase(), any_label: wild.is_some() })
    }

    /// Whether `host` (A-labels, no final dot) is meant (RFC 8461 section 4.1): `*` stands for the whole left-most label, for
    /// exactly one, and never for a part of it. An address is no name.
    pub fn matches(&self, host: &str) -> bool {
        if host.parse::<IpAddr>().is_ok() {
            return false;
        }
        let name = match host.split_once('.') {
            Some((label, rest)) if self.any_label && !label.is_empty() => rest,
            _ if self.any_label => return false,
            _ => host,
        };
        name.eq_ignore_ascii_case(&self.name)
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn which_hosts_are_meant() {
        // RFC 8461 section 4.1 gives the first four.
        let cases = [
            ("*.example.com", "mail.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "foo.bar.example.com", false),
            ("mail.example.com", "mail.example.com", true),
            ("mail.example.com", "a.mail.example.com", false),
            ("mail.example.com", "mail.example.com.evil.example", false),
            ("mail.example.com", "MAIL.Example.COM", true),
            ("*.Example.COM", "mail.example.com", true),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "mailexample.com", false),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", true),
            ("*.xn--bcher-kva.example", "mx.XN--bcher-kva.example", true),
            ("192.0.2.1", "192.0.2.1", false),
            ("*.0.2.1", "192.0.2.1", false),
            ("mail.example.com", "::1", false),
            ("mail.example.com", "", false),
        ];
        for (pattern, host, meant) in cases {
            let pattern = MxPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(host), meant, "{pattern} {host}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let bad = [
            "",
            "*",
            "*.",
            ".example.com",
            "*.*.example.com",
            "m*.example.com",
            "mail.*.example.com",
            "example.com.",
            "a..example.com",
            "-a.example.com",
            "bücher.example",
            "[192.0.2.1]",
            "2001:db8::1",
            "mail.example.com other.example.com",
            "mail_1.example.com",
            "localhost",
        ];
        for text in bad {
            assert_eq!(MxPattern::parse(text), None, "{text}");
        }
        assert_eq!(MxPattern::parse(&format!("{}.example", "a.".repeat(130))), None, "longer than any name");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", host in ".{0,80}") {
            if let Some(pattern) = MxPattern::parse(&text) {
                pattern.matches(&host);
                prop_assert_eq!(MxPattern::parse(&pattern.to_string()), Some(pattern.clone()));
                prop_assert_eq!(pattern.to_string(), text.to_ascii_lowercase());
            }
        }

        /// However many labels stand before the name: `*` is one, and a name alone is none.
        #[test]
        fn a_wildcard_is_one_label(labels in proptest::collection::vec("[a-z]{1,9}", 0..5)) {
            let host = labels.iter().map(|label| format!("{label}.")).collect::<String>() + "b.example";
            let wild = MxPattern::parse("*.b.example").expect("a pattern");
            prop_assert_eq!(wild.matches(&host), labels.len() == 1);
            let exact = MxPattern::parse("b.example").expect("a pattern");
            prop_assert_eq!(exact.matches(&host), labels.is_empty());
        }
    }
}
