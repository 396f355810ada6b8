//! What an operator sees during a run: a bar on a terminal, a line now and then elsewhere.

use engine::clock::{Clock, Recent, SteadyClock};
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
    clock: Box<dyn Clock>,
    recent: Recent,
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
        Progress::by(Box::new(SteadyClock::start()), bar, run)
    }

    fn by(clock: Box<dyn Clock>, bar: Option<ProgressBar>, run: &RunView) -> Progress {
        let mut recent = Recent::default();
        recent.note(clock.now(), run.tally().ended());
        Progress { bar, clock, recent, last_line: Instant::now() }
    }

    /// Shows how the run stands now.
    pub fn show(&mut self, run: &RunView) {
        let (tally, rows) = (&run.tally(), run.rows);
        self.recent.note(self.clock.now(), tally.ended());
        let paused = if run.state == RunState::Paused { "paused · " } else { "" };
        match &self.bar {
            Some(bar) => {
                if let Some(rows) = rows.filter(|rows| bar.length() != Some(*rows)) {
                    bar.set_length(rows);
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} · {msg}");
                    bar.set_style(style.expect("the template is constant and right"));
                }
                bar.set_position(tally.ended());
                bar.set_message(format!("{paused}{}", self.line(run)));
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let of = rows.map_or_else(String::new, |rows| format!("/{rows}"));
                eprintln!("{}{of} settled · {paused}{}", tally.ended(), self.line(run));
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

    fn line(&self, run: &RunView) -> String {
        let (tally, rows) = (&run.tally(), run.rows);
        let rate = self.recent.per_second(self.clock.now(), tally.ended());
        let mut parts = vec![format!("{rate:.0}/s")];
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
        if let Some(left) = rows.map(|rows| rows.saturating_sub(tally.ended())).filter(|left| *left > 0 && rate > 0.5) {
            parts.push(format!("{} left", hours(left as f64 / rate)));
        }
        parts.extend(words(tally));
        if run.tomorrow > 0 {
            parts.push(format!("{} of them for tomorrow (warm-up)", run.tomorrow));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::clock::Timestamp;
    use engine::mail::RunId;
    use engine::store::Manifest;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Hand(Arc<AtomicU64>);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn view(delivered: u64) -> RunView {
        let manifest = serde_json::json!({
            "campaign": "eob", "input": "eob.csv", "fingerprint": "", "opened": 0, "finished": null, "read": 0,
            "read_all": false, "seconds": 0.0,
        });
        let manifest: Manifest = serde_json::from_value(manifest).expect("a manifest");
        let tally = Tally { read: 10_000, ended: [(Kind::Delivered, delivered)].into(), ..Tally::default() };
        RunView { rows: Some(10_000), ..RunView::at_rest(RunId(1), &manifest, &tally, RunState::Running) }
    }

    #[test]
    fn a_stall_is_seen_and_the_time_left_goes_by_what_is_sent_lately() {
        let hand = Arc::new(AtomicU64::new(0));
        let mut progress = Progress::by(Box::new(Hand(hand.clone())), None, &view(0));
        let mut line = |seconds: std::ops::Range<u64>, begin: u64, per_second: u64| {
            let mut delivered = begin;
            for second in seconds {
                hand.store(second * 1000 + 1000, Ordering::SeqCst);
                delivered += per_second;
                progress.show(&view(delivered));
            }
            progress.line(&view(delivered))
        };
        // Two minutes at 50 a second, then 10 a second, then nothing.
        assert!(line(0..120, 0, 50).starts_with("50/s · 1 min 20 s left"));
        let slow = line(120..160, 6000, 10);
        assert!(slow.starts_with("10/s · 6 min 0 s left"), "{slow}");
        let stalled = line(160..200, 6400, 0);
        assert!(stalled.starts_with("0/s · 6400 delivered"), "{stalled}");
        let held = progress.line(&RunView { waiting: 3600, tomorrow: 3500, ..view(6400) });
        assert!(held.ends_with("3600 waiting · 3500 of them for tomorrow (warm-up)"), "{held}");
    }
}
