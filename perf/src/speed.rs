//! `make perf WHAT=speed`: what a message costs us in each mode, everything on, beside the bar.

use crate::bench::Bench;
use crate::mode::Mode;
use crate::profile::{self, Profile};
use crate::sending::{self, Own, Run};
use crate::signing;
use crate::spread::Spread;
use std::error::Error;
use std::fmt::Write as _;

/// What a message may cost besides 1.1 times its signatures, in µs.
const REST: f64 = 120.0;
/// The share of what the machine can give that is asked for when sender and sink share its CPUs.
const SHARE: f64 = 0.85;

/// Rows enough for a warm-up.
const WARM_UP: u64 = 40_000;

/// Sends the rows `runs` times in each mode, by turns, after one warm-up of each, and gives the tables.
///
/// # Errors
/// A run fails.
pub fn measure(bench: &Bench, modes: &[Mode], runs: usize) -> Result<(String, Flames), Box<dyn Error>> {
    let mut measured: Vec<Vec<Run>> = vec![Vec::new(); modes.len()];
    let mut ceilings = Vec::new();
    for round in 0..=runs {
        for (mode, measured) in modes.iter().zip(&mut measured) {
            let first = (round == 0 && bench.rows > WARM_UP).then_some(WARM_UP);
            let run = sending::run(bench, *mode, first)?;
            println!("{}{}: {}", if round == 0 { "warm-up: " } else { "" }, mode.word(), run.line());
            if round > 0 {
                measured.push(run);
            }
        }
        if round > 0 {
            ceilings.push(signing::ceiling(&bench.desk())?);
        }
    }
    let mut text = figures(modes, &measured, bench.pinned)?;
    writeln!(text, "\nTwo copies of the signing benchmark at once do {} × the work of one.", Spread::of(ceilings))?;
    let mut flames = Flames::new();
    for (mode, measured) in modes.iter().zip(&measured) {
        if let Some(own) = measured.last().and_then(|run| run.own.as_ref()) {
            writeln!(text, "\n## {}\n", mode.word())?;
            text += &details(own, bench)?;
            let profile = profile::take(bench, *mode);
            text += &profiled(&profile, measured)?;
            flames.extend(profile.shares.into_iter().map(|(_, flame)| (*mode, flame)));
        }
    }
    Ok((text, flames))
}

/// Flame graphs, in SVG.
pub type Flames = Vec<(Mode, String)>;

/// A figure of every run.
type Figure = fn(&Run, &Own) -> f64;

const FIGURES: [(&str, Figure); 12] = [
    ("messages/s", |run, _| run.rate()),
    ("messages per sender CPU-second", |run, _| run.per_cpu_second()),
    ("sender CPU a message, µs", |run, _| run.cost()),
    ("of that in the kernel, µs", |run, _| run.sender.system * 1e6 / run.rows),
    ("r: signatures of a message and verifying them, µs", |_, own| own.signatures),
    ("the bar, 1.1 r + 120 µs", |_, own| bar(own)),
    ("sink CPU a message, µs", |run, _| run.sink_cost()),
    ("peak memory, MB", |run, _| run.peak_mb),
    ("voluntary context switches a message", |run, own| own.switches.0 / run.rows),
    ("involuntary ones", |run, own| own.switches.1 / run.rows),
    ("octets of SMTP a message, inside TLS", |run, _| run.totals.octets / run.totals.accepted),
    ("round trips a message, by the sink's count", |run, _| run.totals.turns / run.totals.accepted),
];

fn bar(own: &Own) -> f64 {
    1.1 * own.signatures + REST
}

fn figures(modes: &[Mode], measured: &[Vec<Run>], pinned: bool) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let row = |name: &str, cells: Vec<String>| format!("| {name} | {} |\n", cells.join(" | "));
    let each = |figure: Figure| -> Vec<Spread> {
        let pairs =
            |runs: &Vec<Run>| Spread::of(runs.iter().filter_map(|run| run.own.as_ref().map(|own| figure(run, own))));
        measured.iter().map(pairs).collect()
    };
    text += &row("median (least–most)", modes.iter().map(|mode| mode.word().to_owned()).collect());
    text += &row("---", modes.iter().map(|_| "---".to_owned()).collect()).replace(' ', "");
    for (name, figure) in FIGURES {
        text += &row(name, each(figure).iter().map(Spread::to_string).collect());
    }
    let verified = |runs: &Vec<Run>| runs.last().map_or_else(String::new, |run| run.verified.clone());
    text += &row("signatures of the sample that hold (dkimpy)", measured.iter().map(verified).collect());
    let within = each(|run, own| run.cost() - bar(own));
    let within = within.iter().map(|over| verdict(over.median() <= 0.0, over.median(), "µs over the bar"));
    text += &row("**sender CPU ≤ 1.1 r + 120 µs**", within.collect());
    text += &together(modes, measured)?;
    if !pinned {
        text += &row(
            "messages/s that two busy CPUs give",
            each(|run, _| run.possible()).iter().map(Spread::to_string).collect(),
        );
        let share = each(|run, _| run.rate() / run.possible());
        text += &row("messages/s, as a share of that", share.iter().map(Spread::to_string).collect());
        let share =
            share.iter().map(|share| verdict(share.median() >= SHARE, share.median(), "of what the machine can give"));
        text += &row("**messages/s ≥ 0.85 of two busy CPUs**", share.collect());
    }
    Ok(text)
}

/// How much more a CPU sends where signatures are made eight at a time: beside AWS-LC as it is here, and beside its code for
/// CPUs without AVX-512 IFMA.
fn together(modes: &[Mode], measured: &[Vec<Run>]) -> Result<String, Box<dyn Error>> {
    let rate = |mode: Mode| {
        let at = modes.iter().position(|other| *other == mode)?;
        Some(Spread::of(measured[at].iter().map(Run::per_cpu_second)).median())
    };
    let mut text = String::new();
    for mode in [Mode::Rsa, Mode::RsaNoIfma] {
        if let (Some(eight), Some(one)) = (rate(Mode::CryptoMb), rate(mode)) {
            let cell = |of: &Mode| if *of == Mode::CryptoMb { format!("{:.2}", eight / one) } else { String::new() };
            let cells: Vec<_> = modes.iter().map(cell).collect();
            writeln!(text, "| messages per CPU-second, by those of {} | {} |", mode.word(), cells.join(" | "))?;
        }
    }
    Ok(text)
}

fn verdict(holds: bool, figure: f64, what: &str) -> String {
    if holds { "**pass**".to_owned() } else { format!("**fail**: {figure:.2} {what}") }
}

/// The last run by thread and by stage, and its course.
fn details(own: &Own, bench: &Bench) -> Result<String, Box<dyn Error>> {
    let rows = sending::f64_of(bench.rows);
    let mut text = String::from("CPU by kind of thread in the last run, µs a message: ");
    let threads = own.threads.iter().map(|(thread, seconds)| format!("{thread} {:.1}", seconds * 1e6 / rows));
    writeln!(text, "{}.\n", threads.collect::<Vec<_>>().join(", "))?;
    writeln!(
        text,
        "Time by stage in the last run, as the engine counts it (`sealpost_stage_seconds`): the clock's, so that it"
    )?;
    writeln!(
        text,
        "includes waiting for a CPU, and in `open` and `send` for the sink.\n\n| stage | times | µs a message |\n|---|---|---|"
    )?;
    for (stage, (seconds, count)) in &own.stages {
        writeln!(text, "| {stage} | {count:.0} | {:.1} |", seconds * 1e6 / rows)?;
    }
    text += &own.course.table()?;
    Ok(text)
}

fn profiled(profile: &Profile, measured: &[Run]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let cost = Spread::of(measured.iter().map(Run::cost)).median();
    writeln!(text, "\nSystem calls a message: {}\n", profile.calls)?;
    match &profile.shares {
        Ok((shares, _)) => {
            writeln!(
                text,
                "Where the CPU goes, by `perf record` of a run of its own, each sample counted for the innermost stage on its"
            )?;
            writeln!(text, "stack; µs are that share of the median above.\n\n| stage | share | µs |\n|---|---|---|")?;
            for (stage, share) in shares {
                writeln!(text, "| {stage} | {:.1} % | {:.1} |", share * 100.0, share * cost)?;
            }
        }
        Err(why) => writeln!(text, "No profile: {why}.")?,
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_passed_or_missed() {
        let own = Own { signatures: 400.0, ..Own::default() };
        let run = |cpu: f64| {
            let sender = crate::group::Cpu { user: cpu, system: 0.0 };
            Run { rows: 1000.0, seconds: 1.0, sender, own: Some(own.clone()), ..Run::default() }
        };
        let table = |cpu| figures(&[Mode::Rsa], &[vec![run(cpu), run(cpu), run(9.0)]], true).expect("a table");
        assert!(table(0.560).contains("| **sender CPU ≤ 1.1 r + 120 µs** | **pass** |"), "{}", table(0.560));
        assert!(table(0.561).contains("| **fail**: 1.00 µs over the bar |"), "{}", table(0.561));
        // Two CPUs give 2 ÷ (700 + 500 µs) = 1,667 messages/s, of which 1,000 are 0.6.
        let sink = crate::group::Cpu { user: 0.5, system: 0.0 };
        let unpinned = figures(&[Mode::Rsa], &[vec![Run { sink, ..run(0.7) }]], false).expect("a table");
        assert!(unpinned.contains("give | 1667 |") && unpinned.contains("**fail**: 0.60 of what"), "{unpinned}");
    }
}
