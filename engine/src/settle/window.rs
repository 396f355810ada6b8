//! The last answers of servers to rows, and what of them counts against us.

use crate::mail::Class;
use crate::smtp::{Fate, Verdict};
use std::collections::VecDeque;

/// How many answers a window holds.
pub const WINDOW: usize = 1000;
/// So many answers of one signal never stop anything: below, a share says nothing.
pub const FEW: usize = 50;

/// So many answers of one signal more than their share hold no canary: one of 20 rows is held for five.
pub const LUCK: usize = 3;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// A mailbox or domain that is not there: bought, old or misread lists have many.
    Unknown,
    /// Taken for spam, distrusted, or not authenticated.
    Blocked,
}

/// The shares above which it stops; none where it does not look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of unknown mailboxes.
    pub unknown: Option<f64>,
    /// Of blocks.
    pub blocked: Option<f64>,
    /// How many rows for each provider go ahead of its others.
    pub canary: Option<u32>,
}

impl Signal {
    pub(super) const ALL: [Signal; 2] = [Signal::Unknown, Signal::Blocked];

    /// What a refusal of this class counts as.
    pub(super) fn of(class: Class) -> Option<Signal> {
        match class {
            _ if class.is_hard() => Some(Signal::Unknown),
            _ if class.is_block() => Some(Signal::Blocked),
            _ => None,
        }
    }

    /// The closed label of what a person confirms.
    pub(super) fn reason(self, of_provider: bool) -> &'static str {
        match (self, of_provider) {
            (Signal::Unknown, false) => "unknown_of_run",
            (Signal::Unknown, true) => "unknown_of_provider",
            (Signal::Blocked, false) => "blocked_of_run",
            (Signal::Blocked, true) => "blocked_of_provider",
        }
    }

    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Signal::Unknown => ("were for addresses that are not there", "[brakes] unknown"),
            Signal::Blocked => ("were refused for what we are or send", "[brakes] blocked"),
        }
    }
}

impl Limits {
    pub(super) fn of(&self, signal: Signal) -> Option<f64> {
        match signal {
            Signal::Unknown => self.unknown,
            Signal::Blocked => self.blocked,
        }
    }
}

/// What a verdict on a row says of the list or of us, where it says anything: nothing bad, or this.
pub(super) fn answer(verdict: &Verdict) -> Option<Option<Signal>> {
    let signal = Signal::of(verdict.class);
    let counts = match verdict.fate {
        Fate::Delivered => return Some(None),
        Fate::Bounced => verdict.code.is_some(),
        Fate::Deferred => verdict.code.is_some() && signal == Some(Signal::Blocked),
        Fate::Dropped | Fate::InDoubt => false,
    };
    counts.then_some(signal)
}

/// The last answers: which of all that came were bad. A million small sites cost no more than that they are there.
#[derive(Default)]
pub(super) struct Window {
    came: u64,
    /// The oldest first.
    bad: VecDeque<(u64, Signal)>,
    counts: [usize; Signal::ALL.len()],
}

impl Window {
    pub(super) fn push(&mut self, answer: Option<Signal>) {
        self.came += 1;
        if let Some(signal) = answer {
            self.bad.push_back((self.came, signal));
            self.counts[signal as usize] += 1;
        }
        while let Some((_, signal)) = self.bad.pop_front_if(|(number, _)| *number + WINDOW as u64 <= self.came) {
            self.counts[signal as usize] -= 1;
        }
    }

    /// Why it passes `limit`, if it does.
    pub(super) fn passes(&self, signal: Signal, limit: f64) -> Option<String> {
        let count = self.counts[signal as usize];
        (count > FEW && exceeds(count, limit, WINDOW)).then(|| {
            let (what, limited_by) = signal.words();
            let (last, limit) = (self.came.min(WINDOW as u64), limit * 100.0);
            format!("{count} of the last {last} answers {what}, which passes {limited_by} ({limit} %)")
        })
    }

    /// The same of the answers to a canary of so many rows: [`LUCK`] more than their share may be bad.
    pub(super) fn passes_of_canary(&self, signal: Signal, limit: f64, rows: u32) -> Option<String> {
        let count = self.counts[signal as usize];
        exceeds(count.saturating_sub(LUCK), limit, rows as usize).then(|| {
            let ((what, limited_by), limit) = (signal.words(), limit * 100.0);
            let came = self.came;
            format!(
                "{count} of {came} answers to its canary of {rows} rows {what}, which passes {limited_by} ({limit} %)"
            )
        })
    }
}

/// Whether so many are more than that share of a window.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn exceeds(count: usize, limit: f64, window: usize) -> bool {
    count as f64 > limit * window as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_window_is_the_last_answers(
            answers in proptest::collection::vec(proptest::sample::select(vec![
                None, None, None, Some(Signal::Unknown), Some(Signal::Blocked),
            ]), 0..3000),
        ) {
            let mut window = Window::default();
            answers.iter().for_each(|answer| window.push(*answer));
            let last = &answers[answers.len().saturating_sub(WINDOW)..];
            let counts = Signal::ALL.map(|signal| last.iter().filter(|answer| **answer == Some(signal)).count());
            proptest::prop_assert_eq!(window.counts, counts);
        }
    }
}
