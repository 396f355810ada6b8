//! What a site counted second by second (`sealpost sandbox --course`), and what of it was refused.

use serde_json::Value;
use std::ops::Range;

pub struct Course(Value);

impl Course {
    /// Of a site's last line.
    pub fn of(totals: &Value) -> Course {
        assert!(totals["course"].is_object(), "no course in {totals}");
        Course(totals["course"].clone())
    }

    /// How many seconds it took.
    pub fn len(&self) -> usize {
        self.seconds().len()
    }

    /// How many of something there were in these seconds.
    pub fn sum(&self, what: &str, seconds: Range<usize>) -> u64 {
        let count = |second: &Value| second[what].as_u64().unwrap_or_else(|| panic!("no {what} in {second}"));
        self.seconds()[seconds].iter().map(count).sum()
    }

    /// The first second in which something happened, counted from the site's start.
    pub fn first(&self, what: &str) -> usize {
        (0..self.len())
            .find(|at| self.sum(what, *at..at + 1) > 0)
            .unwrap_or_else(|| panic!("no {what} ever: {}", self.0))
    }

    /// The last.
    pub fn last(&self, what: &str) -> usize {
        (0..self.len())
            .rfind(|at| self.sum(what, *at..at + 1) > 0)
            .unwrap_or_else(|| panic!("no {what} ever: {}", self.0))
    }

    /// Connections and messages that were one too many.
    pub fn refused(&self, seconds: Range<usize>) -> u64 {
        self.sum("refused_connections", seconds.clone()) + self.sum("refused_rate", seconds)
    }

    /// Of what was tried, messages and connections in vain, the share that was one too many.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn share_refused(&self, seconds: Range<usize>) -> f64 {
        let tried = self.sum("offered", seconds.clone()) + self.sum("refused_connections", seconds.clone());
        self.refused(seconds) as f64 / tried.max(1) as f64
    }

    /// The most in any second (`most_a_second`) or ten (`most_ten_seconds`) or minute (`most_a_minute`), wherever it begins.
    pub fn most(&self, span: &str, what: &str) -> u64 {
        self.0[span][what].as_u64().unwrap_or_else(|| panic!("no {span} {what}: {}", self.0))
    }

    /// One line a second, for a person who wants to know what happened.
    pub fn shown(&self) -> String {
        let line = |(at, second): (usize, &Value)| format!("{at:>4} {second}\n");
        self.seconds().iter().enumerate().map(line).collect()
    }

    fn seconds(&self) -> &Vec<Value> {
        self.0["seconds"].as_array().expect("seconds")
    }
}
