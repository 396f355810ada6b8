//! `make perf WHAT=peers`: the same messages through us and through others, by turns, into the same kind of sink.

use crate::bench::Bench;
use crate::messages::{self, Messages};
use crate::mode::Mode;
use crate::peer::Peer;
use crate::sending::{self, Run};
use crate::spread::Spread;
use std::error::Error;
use std::fmt::Write as _;

/// Who takes part: with what it is called, and what came of its runs.
struct Contender {
    who: Who,
    name: String,
    runs: Vec<Run>,
    /// Why it has no more runs.
    trouble: Option<String>,
}

#[derive(Clone, Copy)]
enum Who {
    Us(Mode),
    Peer(Peer),
}

/// Lets everyone send `runs` times, by turns, after one warm-up of each, and gives the table.
///
/// # Errors
/// One of ours fails; a peer that does is a line in the table.
pub fn measure(bench: &Bench, modes: &[Mode], peers: &[Peer], runs: usize) -> Result<String, Box<dyn Error>> {
    let messages = messages::write(&bench.campaign, &bench.folder.join("messages"))?;
    let mut contenders: Vec<Contender> = modes.iter().map(|mode| Contender::us(*mode)).collect();
    contenders.extend(peers.iter().map(|peer| Contender::peer(*peer)));
    for round in 0..=runs {
        for contender in contenders.iter_mut().filter(|contender| contender.trouble.is_none()) {
            match contender.run(bench, &messages) {
                Ok(run) => {
                    println!("{}{}: {}", if round == 0 { "warm-up: " } else { "" }, contender.name, run.line());
                    if round > 0 {
                        contender.runs.push(run);
                    }
                }
                Err(why) if matches!(contender.who, Who::Us(_)) => return Err(why),
                Err(why) => {
                    println!("{}: {why}", contender.name);
                    contender.trouble = Some(format!("failed: {why}"));
                }
            }
        }
    }
    table(&contenders, sending::f64_of(messages.size) / sending::f64_of(messages.count))
}

impl Contender {
    fn us(mode: Mode) -> Contender {
        Contender { who: Who::Us(mode), name: format!("Sealpost, {}", mode.word()), runs: Vec::new(), trouble: None }
    }

    fn peer(peer: Peer) -> Contender {
        let (name, trouble) = match peer.install() {
            Ok(name) => (name, None),
            Err(why) => (peer.word().to_owned(), Some(format!("not installed: {why}"))),
        };
        Contender { who: Who::Peer(peer), name, runs: Vec::new(), trouble }
    }

    fn run(&self, bench: &Bench, messages: &Messages) -> Result<Run, Box<dyn Error>> {
        match self.who {
            Who::Us(mode) => sending::run(bench, mode, None),
            Who::Peer(peer) => peer.run(bench, messages),
        }
    }

    fn per_cpu_second(&self) -> f64 {
        Spread::of(self.runs.iter().map(Run::per_cpu_second)).median()
    }
}

fn table(contenders: &[Contender], size: f64) -> Result<String, Box<dyn Error>> {
    let ours = |wanted: &dyn Fn(Mode) -> bool| {
        let rates = contenders.iter().filter(|one| matches!(one.who, Who::Us(mode) if wanted(mode)));
        rates.map(Contender::per_cpu_second).filter(|rate| rate.is_finite()).fold(f64::NAN, f64::max)
    };
    let (best, portable) = (ours(&|_| true), ours(&|mode| mode == Mode::Rsa));
    let mut text = String::new();
    writeln!(text, "Messages of {size:.0} octets on average, before signatures.\n")?;
    writeln!(
        text,
        "| sender | messages per sender CPU-second | share of our best | of our `rsa` | CPU µs a message (in the kernel) | messages/s | \
sink CPU µs | memory, MB | octets | round trips | sessions | signatures that hold |"
    )?;
    writeln!(text, "|{}", "---|".repeat(12))?;
    for one in contenders {
        if one.runs.is_empty() {
            writeln!(text, "| {} | {} |{}", one.name, one.trouble.as_deref().unwrap_or("no run"), " |".repeat(10))?;
            continue;
        }
        let figure = |figure: &dyn Fn(&Run) -> f64| Spread::of(one.runs.iter().map(figure));
        let rate = one.per_cpu_second();
        let trouble = one.trouble.as_deref().map(|why| format!("; then {why}")).unwrap_or_default();
        writeln!(
            text,
            "| {}{trouble} | {} | {} | {} | {} ({:.0}) | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {} |",
            one.name,
            figure(&Run::per_cpu_second),
            share(rate, best),
            share(rate, portable),
            figure(&Run::cost),
            figure(&|run| run.sender.system * 1e6 / run.rows).median(),
            figure(&Run::rate),
            figure(&Run::sink_cost).median(),
            figure(&|run| run.peak_mb).median(),
            figure(&|run| run.totals.octets / run.totals.accepted).median(),
            figure(&|run| run.totals.turns / run.totals.accepted).median(),
            figure(&|run| run.totals.sessions).median(),
            one.runs.last().map_or("", |run| run.verified.as_str()),
        )?;
    }
    text += &verdict(contenders, best, portable);
    Ok(text)
}

/// Whether every peer stays under half of our best mode, and of the portable one.
fn verdict(contenders: &[Contender], best: f64, portable: f64) -> String {
    let (ran, missing): (Vec<&Contender>, Vec<_>) =
        contenders.iter().filter(|one| matches!(one.who, Who::Peer(_))).partition(|one| !one.runs.is_empty());
    let most = ran.iter().map(|one| one.per_cpu_second()).fold(f64::NAN, f64::max);
    let word = |against: f64| match most / against {
        share if share.is_nan() => "not measured",
        share if share < 0.5 => "**pass**",
        _ => "**fail**",
    };
    let who = if missing.is_empty() { "Every peer" } else { "Every peer that ran" };
    format!("\n{who} under half of our best mode: {}; under half of `rsa`: {}.\n", word(best), word(portable))
}

/// A share of something that was measured.
fn share(rate: f64, of: f64) -> String {
    let share = rate / of;
    if share.is_nan() { String::new() } else { format!("{share:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Cpu;

    fn contender(who: Who, name: &str, rate: f64) -> Contender {
        let sender = Cpu { user: 1000.0 / rate, system: 0.0 };
        let run = Run { rows: 1000.0, seconds: 1.0, sender, ..Run::default() };
        Contender { who, name: name.to_owned(), runs: vec![run; 3], trouble: None }
    }

    #[test]
    fn a_peer_at_half_of_ours_is_no_pass_and_one_that_is_not_there_is_named() {
        let missing = Contender {
            who: Who::Peer(Peer::Exim),
            name: "exim".to_owned(),
            runs: Vec::new(),
            trouble: Some("not installed: no apt-get".to_owned()),
        };
        let ours =
            || [contender(Who::Us(Mode::Rsa), "rsa", 1600.0), contender(Who::Us(Mode::Ed25519), "ed25519", 6000.0)];
        for (rate, verdict) in [(799.0, "under half of `rsa`: **pass**"), (801.0, "under half of `rsa`: **fail**")] {
            let mut all = Vec::from(ours());
            all.push(contender(Who::Peer(Peer::Postfix), "Postfix", rate));
            let text = table(&all, 7000.0).expect("a table");
            assert!(text.contains(verdict) && text.contains("our best mode: **pass**"), "{text}");
        }
        let without_rsa = [
            contender(Who::Us(Mode::Ed25519), "ed25519", 6000.0),
            contender(Who::Peer(Peer::Haraka), "Haraka", 99.0),
            missing,
        ];
        let text = table(&without_rsa, 7000.0).expect("a table");
        assert!(text.contains("| exim | not installed: no apt-get |"), "{text}");
        assert!(
            text.contains(
                "Every peer that ran under half of our best mode: **pass**; under half of `rsa`: not measured."
            ),
            "{text}"
        );
    }
}
