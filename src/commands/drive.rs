//! Watches a run to its end: progress, signals, the last line, the exit code.

use crate::args::Args;
use crate::failure::{Failure, ROWS_LEFT, SETTLED, UNDELIVERED};
use crate::output::outln;
use crate::progress::{Progress, words};
use crate::signals;
use engine::mail::Kind;
use engine::report::{counts, latency_into, rounded};
use engine::run::{Exporter, Running, Summary};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);

/// Waits until the run is done or asked to stop, showing its progress.
pub fn to_the_end(mut running: Box<Running>) -> Result<Ended, Failure> {
    let asked = signals::watch()?;
    if running.found_in_doubt() > 0 {
        eprintln!(
            "{} rows were on the wire when the last engine died; `on_doubt` decides what becomes of them",
            running.found_in_doubt()
        );
    }
    let mut progress = Progress::new(&running.tally());
    let mut told = false;
    while !running.is_done() && !asked.load(Ordering::SeqCst) {
        if let Some(error) = running.input_broke().filter(|_| !std::mem::replace(&mut told, true)) {
            eprintln!("{error}; what was read before is still sent");
        }
        progress.show(&running.tally(), running.rows());
        std::thread::sleep(TICK);
    }
    progress.end();
    let exporter = running.take_exporter();
    Ok(Ended { summary: running.finish()?, exporter, asked })
}

/// A run that ended or stopped, whose metrics may still be scraped.
pub struct Ended {
    pub summary: Summary,
    exporter: Option<Exporter>,
    asked: Arc<AtomicBool>,
}

impl Ended {
    /// Lets Prometheus see the end, unless somebody wants us gone.
    pub fn linger(self) {
        let Some(exporter) = self.exporter else { return };
        let until = Instant::now() + exporter.linger();
        while Instant::now() < until && !self.asked.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
        }
    }
}

/// Prints how the run stands: one JSON object, or a line or two.
pub fn print(args: &Args, summary: &Summary) {
    #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
    let rate = if summary.seconds > 0.0 { summary.delivered_now as f64 / summary.seconds } else { 0.0 };
    if args.json {
        let mut object = counts(&summary.campaign, summary.run, &summary.tally);
        object.insert("seconds".into(), rounded(summary.seconds));
        object.insert("messages_per_second".into(), rounded(rate));
        latency_into(&mut object, summary.latency);
        outln!("{}", serde_json::Value::Object(object));
        return;
    }
    outln!("{} (run {}): {} rows read", summary.campaign, summary.run, summary.tally.read);
    outln!("  {}", words(&summary.tally).join(" · "));
    if summary.delivered_now > 0 {
        outln!("  {} delivered in {:.1} s, {rate:.0} a second", summary.delivered_now, summary.seconds);
    }
    if !summary.read_all {
        outln!("  the input was not read to its end: `sealpost send` goes on where this stopped");
    }
}

/// The exit code of DESIGN's table.
pub fn exit_code(summary: &Summary, tolerate: f64) -> u8 {
    let tally = &summary.tally;
    if !summary.read_all || tally.left() > 0 {
        return ROWS_LEFT;
    }
    let undelivered = tally.ended() - tally.count(Kind::Delivered) - tally.count(Kind::Duplicate);
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let share = undelivered as f64 * 100.0 / tally.read.max(1) as f64;
    if tally.count(Kind::InDoubt) > 0 || share > tolerate { UNDELIVERED } else { SETTLED }
}
