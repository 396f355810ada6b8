//! What a play comes to.

use super::receiver::Receiver;
use super::world::Second;

/// Figures of one play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// Shares in the steady state: once it had time to settle.
    pub refused: f64,
    pub throughput: f64,
    /// Refused in the first minute.
    pub first_minute: u32,
    /// Where its limit changes.
    pub change: Change,
}

/// How a pace follows a limit that falls and rises again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Seconds from the fall of a limit until no more than a fiftieth is refused, and from its rise until 95 % of it are used.
    pub down: Option<usize>,
    pub back: Option<usize>,
    /// Refused in the five minutes after the rise.
    pub second_wave: u32,
}

/// The first two minutes, and a tenth of the play, are for finding the limit.
const SETTLED: usize = 120;
const FOLLOWED: f64 = 0.02;
const BACK: f64 = 0.95;

/// Judges a play.
pub fn score(receiver: &Receiver, seconds: &[Second]) -> Score {
    let steady = &seconds[SETTLED.max(seconds.len() / 10)..];
    let mut score = Score {
        refused: share(steady),
        throughput: used(steady),
        first_minute: seconds.iter().take(60).map(|second| second.refused).sum(),
        ..Score::default()
    };
    if let [fall, rise] = receiver.change[..] {
        score.change = change(seconds, second(fall.at_seconds), second(rise.at_seconds));
    }
    score
}

/// Judges how a limit was followed that fell and rose at these seconds.
pub fn change(seconds: &[Second], fall: usize, rise: usize) -> Change {
    Change {
        down: seconds[fall..rise].windows(30).position(|ahead| share(ahead) <= FOLLOWED),
        back: seconds[rise..].windows(10).position(|ahead| used(ahead) >= BACK),
        second_wave: seconds[rise..].iter().take(300).map(|second| second.refused).sum(),
    }
}

fn share(seconds: &[Second]) -> f64 {
    let offered: u32 = seconds.iter().map(|second| second.offered).sum();
    let refused: u32 = seconds.iter().map(|second| second.refused).sum();
    f64::from(refused) / f64::from(offered.max(1))
}

fn used(seconds: &[Second]) -> f64 {
    let accepted: u32 = seconds.iter().map(|second| second.accepted).sum();
    f64::from(accepted) / seconds.iter().map(|second| second.capacity).sum::<f64>().max(1e-9)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of day")]
fn second(at: f64) -> usize {
    at as usize
}
