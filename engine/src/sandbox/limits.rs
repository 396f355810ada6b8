//! What a site takes of one client: so many connections at once, so many messages in a time; and how that changes.
//!
//! As a file (`sealpost sandbox --limits`), each table holds from its moment on, by itself, until the next one's:
//! ```toml
//! [[limits]]
//! most_connections = 5
//! rate   = "20/s"       # as in shaping rules: a second, a minute (min), an hour (h) or a day
//! burst  = 20           # of a bucket: what it takes at once after a rest [default: what comes in a second]
//! window = "bucket"     # or "fixed": so many from the full second, minute … on, then none until the next
//! refuse_at = "mail"    # which step of a message: mail, rcpt or message
//! reply  = "451 4.7.1 …" # a 421 hangs up
//!
//! [[limits]]
//! from = "60s"          # after the start, or after the file was read anew
//! rate = "2/s"
//! ```

use crate::shaping::Rate;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchWord;
use serde::{Deserialize, Deserializer};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Limits, from a moment on. The default is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// When they begin to hold.
    #[serde(deserialize_with = "span")]
    pub from: Duration,
    /// Connections at once; one more is told 421 and hung up on.
    pub most_connections: Option<usize>,
    /// Messages in a time.
    #[serde(deserialize_with = "rate")]
    pub rate: Option<Rate>,
    /// Messages that a bucket takes at once.
    pub burst: Option<NonZeroU32>,
    /// How messages are counted.
    pub window: Window,
    /// Which step of a message too many is refused.
    pub refuse_at: Step,
    /// What is said to a message too many.
    pub reply: String,
}

/// How messages are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A bucket of tokens that fills evenly: in no span of any length more than its burst and what came in meanwhile.
    #[default]
    Bucket,
    /// Whole seconds, minutes, hours or days since the start, each by itself: at their border twice as many may pass.
    Fixed,
}

/// A step of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// MAIL FROM.
    #[default]
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The final dot, or the last chunk.
    Message,
}

/// Limits that change: each holds from its moment until that of the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<Limits>);

/// Why limits are none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LimitsError(String);

const REPLY: &str = "451 4.7.1 rate limited, try again later";

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            from: Duration::ZERO,
            most_connections: None,
            rate: None,
            burst: None,
            window: Window::default(),
            refuse_at: Step::default(),
            reply: REPLY.into(),
        }
    }
}

/// What is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) rate: Rate,
    pub(crate) window: Window,
    /// What a bucket takes at once.
    pub(crate) burst: u32,
}

impl Limits {
    /// How messages are counted, if they are.
    pub(super) fn allowed(&self) -> Option<Allowed> {
        let rate = self.rate?;
        let a_second = u64::from(rate.count).div_ceil(rate.per.as_secs());
        let burst = self.burst.map_or_else(|| u32::try_from(a_second).unwrap_or(u32::MAX), NonZeroU32::get);
        Some(Allowed { rate, window: self.window, burst })
    }

    fn check(&self) -> Result<(), LimitsError> {
        let code = self.reply.as_bytes().get(..4);
        let is_refusal = code.is_some_and(|code| {
            matches!(code[0], b'4' | b'5') && code[1..3].iter().all(u8::is_ascii_digit) && code[3] == b' '
        });
        if !is_refusal || self.reply.contains(['\r', '\n']) {
            return Err(LimitsError(format!("\"{}\" is no line that refuses, like \"{REPLY}\"", self.reply)));
        }
        if self.burst.is_some() && (self.rate.is_none() || self.window == Window::Fixed) {
            return Err(LimitsError("a burst is that of a rate's bucket".into()));
        }
        Ok(())
    }
}

impl Schedule {
    /// These from the start and for good.
    ///
    /// # Errors
    /// They make no sense.
    pub fn of(limits: Limits) -> Result<Schedule, LimitsError> {
        Schedule::new(vec![limits])
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Schedule, LimitsError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            limits: Vec<Limits>,
        }
        let file: File = toml::from_str(text).map_err(|error| LimitsError(error.to_string()))?;
        Schedule::new(file.limits)
    }

    fn new(limits: Vec<Limits>) -> Result<Schedule, LimitsError> {
        limits.iter().try_for_each(Limits::check)?;
        if !limits.is_sorted_by(|one, next| one.from < next.from) {
            return Err(LimitsError("each [[limits]] begins after the one before it".into()));
        }
        Ok(Schedule(limits))
    }

    /// What holds at this time since the start.
    pub(super) fn at(&self, time: Duration) -> Option<&Limits> {
        self.0.iter().rfind(|limits| limits.from <= time)
    }
}

impl FromStr for Window {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Window, LimitsError> {
        word(text)
    }
}

impl FromStr for Step {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Step, LimitsError> {
        word(text)
    }
}

/// A word as a file has it.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, LimitsError> {
    T::deserialize(text.into_deserializer()).map_err(|error: NoSuchWord| LimitsError(error.to_string()))
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("\"{text}\" is no rate like 20/s or 100/min"));
    Rate::parse(&text).map(Some).ok_or_else(wrong)
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| serde::de::Error::custom(format!("\"{text}\" is no time like 60s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_holds_when() {
        let text = "[[limits]]\nfrom = \"10s\"\nmost_connections = 5\nrate = \"90/min\"\n\
                    [[limits]]\nfrom = \"1m\"\nrate = \"20/s\"\nburst = 3\nrefuse_at = \"message\"\nreply = \"450 4.7.0 slow\"\n";
        let schedule = Schedule::parse(text).expect("good");
        let at = |seconds| schedule.at(Duration::from_secs(seconds)).cloned();
        assert_eq!(at(9), None);
        let first = at(59).expect("limits");
        let Allowed { rate, burst, .. } = first.allowed().expect("a rate");
        assert_eq!((first.most_connections, rate.count, rate.per.as_secs(), burst), (Some(5), 90, 60, 2));
        let second = at(60).expect("limits");
        let burst = second.allowed().expect("a rate").burst;
        assert_eq!((second.most_connections, second.refuse_at, burst), (None, Step::Message, 3));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, why) in [
            ("most_connections = 5", "unknown field"),
            ("[[limits]]\nmost = 5", "unknown field"),
            ("[[limits]]\nrate = \"20\"", "no rate like"),
            ("[[limits]]\nrate = \"0/s\"", "no rate like"),
            ("[[limits]]\nfrom = \"soon\"", "no time like"),
            ("[[limits]]\nreply = \"250 ok\"", "no line that refuses"),
            ("[[limits]]\nreply = \"4\"", "no line that refuses"),
            ("[[limits]]\nburst = 5", "a rate's bucket"),
            ("[[limits]]\nrate = \"1/s\"\nburst = 5\nwindow = \"fixed\"", "a rate's bucket"),
            ("[[limits]]\nfrom = \"2s\"\n[[limits]]\nfrom = \"2s\"", "begins after"),
        ] {
            let error = Schedule::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
