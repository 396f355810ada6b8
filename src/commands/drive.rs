//! Watches a run to its end: progress, news, the last line, the exit code. Where the engine is makes no difference.

use crate::args::Args;
use crate::failure::{BRAKED, Failure, ROWS_LEFT, SETTLED, UNDELIVERED};
use crate::news::News;
use crate::output::outln;
use crate::progress::{Progress, words};
use crate::seat::Seat;
use crate::signals::Signals;
use engine::control::{EngineView, RunState, RunView};
use engine::mail::{Kind, rows};
use engine::report::{counts, latency_into, rounded};
use engine::run::Exporter;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);

/// Shows `run` until it is over or we are asked to leave, and says how it stands then.
pub fn watch(seat: &dyn Seat, run: &RunView, signals: &Signals) -> Result<RunView, Failure> {
    let mut progress = Progress::new(run);
    let mut news = News::default();
    loop {
        let view = seat.look()?;
        let now = find(&view, &run.run)?;
        let lines = news.of_engine(&view).into_iter().chain(news.of_run(now));
        lines.for_each(|line| progress.say(&line));
        if now.state.is_over() || signals.asked() {
            progress.end();
            return Ok(now.clone());
        }
        progress.show(now);
        std::thread::sleep(seat.pace());
    }
}

/// The run of that name among an engine's.
pub fn find<'a>(view: &'a EngineView, run: &str) -> Result<&'a RunView, Failure> {
    let forgotten = || Failure::internal(format!("the engine forgot run {run}"));
    view.runs.iter().find(|view| view.run == run).ok_or_else(forgotten)
}

/// Lets the engine go on until no run is open.
pub fn wait_for_others(seat: &dyn Seat, signals: &Signals) -> Result<(), Failure> {
    let (mut said, mut news) = (0, News::default());
    loop {
        let view = seat.look()?;
        let open = view.runs.iter().filter(|run| !run.state.is_over()).count();
        if open == 0 || signals.asked() {
            return Ok(());
        }
        news.of_engine(&view).iter().for_each(|line| eprintln!("{line}"));
        if std::mem::replace(&mut said, open) != open {
            let runs = if open == 1 { "1 other run is".to_owned() } else { format!("{open} other runs are") };
            eprintln!("{runs} open here: the engine goes on for them (Ctrl-C stops it, sealpost status shows them)");
        }
        std::thread::sleep(seat.pace());
    }
}

/// Lets Prometheus see the end, unless somebody wants us gone.
pub fn linger(exporter: Option<Exporter>, signals: &Signals) {
    let Some(exporter) = exporter else { return };
    let until = Instant::now() + exporter.linger();
    while Instant::now() < until && !signals.asked() {
        std::thread::sleep(TICK);
    }
}

/// Prints how a run ended or was left, and gives the exit code.
pub fn conclude(args: &Args, run: &RunView, tolerate: f64) -> u8 {
    if let Some(refusal) = &run.failed {
        return Failure::refused(refusal.clone()).say();
    }
    print(args, run);
    exit_code(run, tolerate)
}

/// Prints how a run stands: one JSON object, or a line or two.
pub fn print(args: &Args, run: &RunView) {
    let (tally, rate) = (run.tally(), run.messages_per_second());
    if args.json {
        let mut object = counts(&run.campaign, &run.run, &tally);
        object.insert("seconds".into(), rounded(run.seconds));
        object.insert("messages_per_second".into(), rounded(rate));
        latency_into(&mut object, run.latency);
        object.insert("braked".into(), run.braked.clone().into());
        outln!("{}", serde_json::Value::Object(object));
        return;
    }
    outln!("{} (run {}): {} read", run.campaign, run.run, rows(tally.read));
    outln!("  {}", words(&tally).join(" · "));
    if run.delivered_now > 0 {
        outln!("  {} delivered in {:.1} s, {rate:.0} a second", run.delivered_now, run.seconds);
    }
    match run.state {
        RunState::Cancelled => outln!("  it was cancelled"),
        RunState::Braked => brake_lines(run).iter().for_each(|line| outln!("  {line}")),
        _ if !run.read_all => {
            outln!("  the input was not read to its end: `sealpost send` goes on where this stopped");
        }
        _ if tally.left() > 0 => {
            outln!("  `sealpost send` goes on with what is left; `sealpost report` says why rows wait")
        }
        _ => {}
    }
    if tally.count(Kind::InDoubt) > 0 {
        outln!("  rows in doubt may have been delivered: `sealpost doubt list`");
    }
}

/// What its brake has done, and what a person can do.
pub fn brake_lines(run: &RunView) -> Vec<String> {
    let Some(why) = &run.braked else { return Vec::new() };
    let hint = "see what is wrong there, and mend it if it is ours; what ends there gets no message, only a letter";
    vec![
        format!("stopped by its brake: {why}"),
        format!("hint: {hint}; then `sealpost resume --run {}`, and `sealpost send` if no engine is at work", run.run),
    ]
}

/// The exit code of DESIGN's table.
pub fn exit_code(run: &RunView, tolerate: f64) -> u8 {
    let tally = run.tally();
    if run.state == RunState::Braked {
        return BRAKED;
    }
    if tally.left() > 0 || !(run.read_all || run.state == RunState::Cancelled) {
        return ROWS_LEFT;
    }
    let undelivered = tally.ended() - tally.count(Kind::Delivered) - tally.count(Kind::Duplicate);
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let share = undelivered as f64 * 100.0 / tally.read.max(1) as f64;
    if tally.count(Kind::InDoubt) > 0 || share > tolerate { UNDELIVERED } else { SETTLED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    fn run(ended: &[(Kind, u64)], deferred: u64, read_all: bool, state: RunState) -> RunView {
        let ended: BTreeMap<_, _> = ended.iter().map(|(kind, rows)| (kind.number(), *rows)).collect();
        RunView {
            campaign: "eob".into(),
            run: "00000000000000aa".into(),
            opened: 0,
            state,
            read: ended.values().sum::<u64>() + deferred,
            ended,
            deferred,
            waiting: 0,
            rows: None,
            read_all,
            found_in_doubt: 0,
            input_broke: None,
            seconds: 0.0,
            delivered_now: 0,
            latency: None,
            failed: None,
            recent: 0.0,
            cancelled_at: Vec::new(),
            held: Vec::new(),
            canaries: Vec::new(),
            braked: None,
            phi_in_clear: false,
            tomorrow: 0,
        }
    }

    /// What a seat sees, one view after the other.
    struct Film(RefCell<Vec<EngineView>>);

    impl Seat for Film {
        fn look(&self) -> Result<EngineView, Failure> {
            Ok(self.0.borrow_mut().remove(0))
        }

        fn pace(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn an_engine_goes_on_for_the_runs_of_others() {
        let view = |states: &[RunState]| {
            let runs = states.iter().map(|state| run(&[(Kind::Delivered, 9)], 0, true, *state)).collect();
            EngineView { runs, ..EngineView::default() }
        };
        use RunState::{Cancelled, Finished, Paused, Running, Stopped};
        let views =
            [&[Finished, Running, Paused][..], &[Finished, Stopped, Running], &[Finished, Stopped, Cancelled], &[]];
        let film = Film(RefCell::new(views.map(view).into()));
        wait_for_others(&film, &Signals::watch(crate::signals::OURS).unwrap()).unwrap();
        assert_eq!(film.0.borrow().len(), 1, "it stops looking when none is open");
    }

    #[test]
    fn a_run_is_watched_to_its_own_end_only() {
        let named = |name: &str, state| RunView { run: name.into(), ..run(&[(Kind::Delivered, 9)], 0, true, state) };
        let ours = named("a", RunState::Running);
        let view = |state| EngineView {
            runs: vec![named("b", RunState::Finished), named("a", state)],
            ..EngineView::default()
        };
        let film = Film(RefCell::new(vec![view(RunState::Running), view(RunState::Paused), view(RunState::Finished)]));
        let signals = Signals::watch(crate::signals::OURS).unwrap();
        assert_eq!(watch(&film, &ours, &signals).unwrap(), named("a", RunState::Finished));
        let film = Film(RefCell::new(vec![EngineView::default()]));
        assert!(watch(&film, &ours, &signals).is_err());
    }

    #[test]
    fn exit_codes() {
        use Kind::{Bounced, Cancelled, Delivered, Dropped, Duplicate, InDoubt};
        use RunState::{Finished, Stopped};
        for (name, ended, deferred, read_all, state, tolerate, code) in [
            ("all delivered", &[(Delivered, 9)][..], 0, true, Finished, 0.0, SETTLED),
            ("nothing to send", &[], 0, true, Finished, 0.0, SETTLED),
            ("bounces are tolerated", &[(Delivered, 9), (Bounced, 1)], 0, true, Finished, 10.0, SETTLED),
            ("too many bounces", &[(Delivered, 9), (Bounced, 1)], 0, true, Finished, 9.9, UNDELIVERED),
            ("duplicates are no failure", &[(Delivered, 1), (Duplicate, 9)], 0, true, Finished, 0.0, SETTLED),
            ("doubt is never passed over", &[(Delivered, 9), (InDoubt, 1)], 0, true, Finished, 100.0, UNDELIVERED),
            ("deferred rows are left", &[(Delivered, 9)], 1, true, Stopped, 100.0, ROWS_LEFT),
            ("unread rows are left", &[(Delivered, 9)], 0, false, Stopped, 100.0, ROWS_LEFT),
            ("stopped by its brake", &[(Delivered, 9), (Dropped, 5)], 6, true, RunState::Braked, 100.0, BRAKED),
            ("cancelled before it was read", &[(Cancelled, 9)], 0, false, RunState::Cancelled, 100.0, SETTLED),
            ("cancelled rows are undelivered", &[(Cancelled, 9)], 0, false, RunState::Cancelled, 50.0, UNDELIVERED),
        ] {
            assert_eq!(exit_code(&run(ended, deferred, read_all, state), tolerate), code, "{name}");
        }
    }
}
