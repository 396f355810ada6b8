//! How the embedded MX answers.

use super::Schedule;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A recipe. Shares are of recipients, chosen by a hash of the address: the same recipient always meets the same answer.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Offer STARTTLS.
    pub starttls: bool,
    /// Offer PIPELINING.
    pub pipelining: bool,
    /// Offer CHUNKING.
    pub chunking: bool,
    /// Share of recipients refused with 450 the first time and accepted afterwards, 0 to 1.
    pub greylist: f64,
    /// Share of recipients refused with 550, 0 to 1.
    pub bounce: f64,
    /// Wait before the reply to each message.
    pub latency: Duration,
    /// What it takes of one client.
    pub limits: Schedule,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            starttls: true,
            pipelining: true,
            chunking: true,
            greylist: 0.0,
            bounce: 0.0,
            latency: Duration::ZERO,
            limits: Schedule::default(),
        }
    }
}

/// What happens to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accept,
    Greylist,
    Bounce,
}

impl Recipe {
    pub(super) fn answer(&self, recipient: &str) -> Answer {
        let mut hasher = DefaultHasher::new();
        recipient.hash(&mut hasher);
        // 32 bits of the hash as a fraction of one.
        let draw = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        if draw < self.bounce {
            Answer::Bounce
        } else if draw < self.bounce + self.greylist {
            Answer::Greylist
        } else {
            Answer::Accept
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_out_about_right() {
        let recipe = Recipe { bounce: 0.1, greylist: 0.2, ..Recipe::default() };
        let mut counts = [0; 3];
        for at in 0..10_000 {
            counts[recipe.answer(&format!("r{at}@b.example")) as usize] += 1;
        }
        assert!(
            (6500..7500).contains(&counts[0]) && (1700..2300).contains(&counts[1]) && (800..1200).contains(&counts[2]),
            "{counts:?}"
        );
    }
}
