//! What an operator sees during a run: a bar on a terminal, a line now and then elsewhere.

use engine::control::{RunState, RunView};
use engine::mail::Kind;
use engine::store::Tally;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run's counts on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
    since: Instant,
    settled_before: u64,
    last_line: Instant,
}

impl Progress {
    /// From how the run stands.
    pub fn new(run: &RunView) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Progress { bar, since: now, settled_before: run.tally().ended(), last_line: now }
    }

    /// Shows how the run stands now.
    pub fn show(&mut self, run: &RunView) {
        let (tally, rows) = (&run.tally(), run.rows);
        let paused = if run.state == RunState::Paused { "paused · " } else { "" };
        match &self.bar {
            Some(bar) => {
                if let Some(rows) = rows.filter(|rows| bar.length() != Some(*rows)) {
                    bar.set_length(rows);
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} · {msg}");
                    bar.set_style(style.expect("the template is constant and right"));
                }
                bar.set_position(tally.ended());
                bar.set_message(format!("{paused}{}", self.line(tally, rows)));
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let of = rows.map_or_else(String::new, |rows| format!("/{rows}"));
                eprintln!("{}{of} settled · {paused}{}", tally.ended(), self.line(tally, rows));
            }
            None => {}
        }
    }

    /// Says something on stderr without tearing the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, tally: &Tally, rows: Option<u64>) -> String {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
        let rate = tally.ended().saturating_sub(self.settled_before) as f64 / seconds;
        let mut parts = vec![format!("{rate:.0}/s")];
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
        if let Some(left) = rows.map(|rows| rows.saturating_sub(tally.ended())).filter(|left| *left > 0 && rate > 0.5) {
            parts.push(format!("{} left", hours(left as f64 / rate)));
        }
        parts.extend(words(tally));
        parts.join(" · ")
    }
}

/// `1,240 delivered`, `3 bounced`, …: what isn't zero.
pub fn words(tally: &Tally) -> Vec<String> {
    let ended = Kind::ALL.map(|kind| (tally.count(kind), kind.word().replace('_', " ")));
    let open = [(tally.deferred, "deferred".to_owned()), (tally.waiting, "waiting".to_owned())];
    let shown = ended.into_iter().chain(open).filter(|(count, _)| *count > 0);
    shown.map(|(count, word)| format!("{count} {word}")).collect()
}

/// A span as `3 h 5 min`.
pub fn hours(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9)).as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
