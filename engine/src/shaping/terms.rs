//! What one provider is given from one source.

use crate::mail::Class;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How fast a provider may be sent to from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Connections open at once, at most.
    pub connections: usize,
    /// Connections open at once before anything is learned.
    pub first_window: usize,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Messages begun (MAIL); each rate holds by itself. None: unbounded.
    pub rates: Vec<Rate>,
    /// Connections begun.
    pub connection_rate: Option<Rate>,
}

/// What the machine allows to any provider (`[limits]`); no rule allows more. All above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections open at once, to one provider.
    pub connections: usize,
    /// Messages on one connection.
    pub messages_per_connection: u32,
}

impl Bounds {
    /// None worth the name.
    pub const NONE: Bounds = Bounds { connections: usize::MAX, messages_per_connection: u32::MAX };
}

/// So many in any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; above zero.
    pub count: u32,
    /// A second, a minute, an hour or a day.
    pub per: Duration,
}

/// The spans that a rate can be of, shortest first.
const SPANS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("day", 24 * 3600)];

impl Rate {
    /// Reads what [`Rate`] displays: `100/s`, `3000/min`, `10000/h`, `200000/day`.
    pub fn parse(text: &str) -> Option<Rate> {
        let (count, unit) = text.split_once('/')?;
        let digits = !count.is_empty() && count.bytes().all(|octet| octet.is_ascii_digit());
        let count = count.parse().ok().filter(|count| digits && *count > 0)?;
        let (_, seconds) = SPANS.iter().find(|(name, _)| *name == unit)?;
        Some(Rate { count, per: Duration::from_secs(*seconds) })
    }

    /// How many that would be in `span`.
    pub(super) fn over(&self, span: Duration) -> u128 {
        u128::from(self.count) * span.as_millis() / self.per.as_millis().max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.per.as_secs();
        match SPANS.iter().find(|(_, span)| *span == seconds) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{} in {seconds} s", self.count),
        }
    }
}

/// What a provider means by a text in its replies, where the table for everybody would take it for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPattern {
    /// In lower case: letters are compared without regard to it.
    pub(super) text: Box<str>,
    /// What a reply with that text is about.
    pub class: Class,
    /// Its line in the file.
    pub line: usize,
}

impl ReplyPattern {
    /// One that no file holds.
    #[cfg(test)]
    pub(crate) fn of(text: &str, class: Class) -> ReplyPattern {
        ReplyPattern { text: text.into(), class, line: 1 }
    }

    /// The word of its class.
    pub fn word(&self) -> &'static str {
        self.class.word()
    }

    /// The text that is looked for, in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a reply's text holds it.
    pub fn matches(&self, reply: &str) -> bool {
        let wanted = self.text.as_bytes();
        reply.as_bytes().windows(wanted.len()).any(|octets| octets.eq_ignore_ascii_case(wanted))
    }
}

/// What `patterns` say of a reply: the first that matches.
pub fn class_of(patterns: &[ReplyPattern], reply: &str) -> Option<Class> {
    patterns.iter().find(|pattern| pattern.matches(reply)).map(|pattern| pattern.class)
}

/// What the rules make of a destination.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Of which edition of the rules.
    pub edition: u64,
    /// The provider that a rule makes it part of.
    pub group: Option<Arc<str>>,
    /// How fast it may be sent to.
    pub terms: Arc<Terms>,
    /// What its replies mean.
    pub replies: Arc<[ReplyPattern]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_written_in_one_way() {
        for bad in ["", "100", "/s", "0/s", "-1/s", "+1/s", "1.5/s", " 1/s", "1/ s", "1/m", "1/sec", "1/d", "1/min/h"] {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
        assert_eq!(Rate::parse("4294967296/s"), None, "more than anybody sends");
    }

    proptest! {
        #[test]
        fn a_rate_is_read_as_it_is_written(count in 1u32.., span in 0usize..4) {
            let rate = Rate { count, per: Duration::from_secs(SPANS[span].1) };
            prop_assert_eq!(Rate::parse(&rate.to_string()), Some(rate));
            prop_assert_eq!(rate.over(rate.per), u128::from(count));
        }
    }

    #[test]
    fn the_first_pattern_that_matches_says_what_a_reply_means() {
        let pattern = |text: &str, class| ReplyPattern { text: text.into(), class, line: 1 };
        let patterns = [pattern("[tss04]", Class::Rate), pattern("[ts", Class::Reputation)];
        assert_eq!(class_of(&patterns, "4.7.0 [TSS04] Messages from 192.0.2.1"), Some(Class::Rate));
        assert_eq!(class_of(&patterns, "4.7.0 [TS03] All messages"), Some(Class::Reputation));
        assert_eq!(class_of(&patterns, "4.7.0"), None);
    }
}
