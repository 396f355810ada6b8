//! What a session's opening costs us: in clear, with a whole handshake, and with a resumed one. The server is a thread of its
//! own, whose CPU is not counted; sessions follow one another, so that each meets the tickets of the last.

use crate::signing::cpu;
use engine::mail::{Demand, Level, MxTrust, Tlsa};
use engine::metrics::{Config, Metrics};
use engine::sandbox::{Ledger, Recipe, Sandbox};
use engine::smtp::{Access, Connector, Policy, Root, Session, Target, Tcp, Timeouts};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// A way to open sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Clear,
    /// Each with a host that was never met.
    Whole,
    /// All with one host.
    Resumed,
}

const WAYS: [(Way, &str); 3] =
    [(Way::Clear, "in clear"), (Way::Whole, "whole handshake"), (Way::Resumed, "resumed handshake")];

/// One round of one way.
#[derive(Clone, Copy, Default)]
struct Round {
    /// Of our thread, in µs a session.
    cpu: f64,
    /// Share of sessions that went on from another.
    resumed: f64,
}

/// Opens `sessions` sessions in every way, `runs` times by turns, and gives the table.
///
/// # Errors
/// The server can't be started, or takes no session.
pub fn measure(sessions: u64, runs: usize) -> Result<String, Box<dyn Error>> {
    let ledger = Arc::new(Ledger::new(None, None)?);
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), Recipe::default(), ledger)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rounds: [Vec<Round>; WAYS.len()] = Default::default();
    // The first round warms up and is not counted.
    for number in 0..=runs {
        for (index, (way, name)) in WAYS.iter().enumerate() {
            let round = runtime.block_on(round(&sandbox, *way, sessions))?;
            println!("{name}: {:.0} µs of CPU a session, {:.1} % resumed", round.cpu, round.resumed * 100.0);
            if number > 0 {
                rounds[index].push(round);
            }
        }
    }
    table(&mut rounds)
}

async fn round(sandbox: &Sandbox, way: Way, sessions: u64) -> Result<Round, Box<dyn Error>> {
    let connector = Connector::new(&[Root::Der(sandbox.root())], None)?;
    let metrics = Arc::new(Metrics::new(Config { providers: 1 }));
    let level = if way == Way::Clear { Level::Opportunistic } else { Level::Verified };
    let policy = Policy {
        ehlo: "out.acme-health.example".into(),
        demand: Demand::new(level),
        tlsa: Tlsa::Absent,
        mx_trust: MxTrust::Static,
        avoid_tls: way == Way::Clear,
        looked_at: false,
        careful: false,
        access: Access::default(),
        replies: [].into(),
    };
    let timeouts = Timeouts { connect: Duration::from_secs(10), command: None };
    let (mut resumed, before) = (0_u64, cpu());
    for number in 0..sessions {
        let host = if way == Way::Whole { format!("mx{number}.example") } else { "mx.example".to_owned() };
        let target = Target { address: sandbox.address(), host: &host, from: None };
        let session = Session::open(&Tcp, target, &policy, &connector, timeouts, metrics.clone()).await;
        let session = session.map_err(|verdict| verdict.why())?;
        resumed += u64::from(session.proof().is_some_and(|proof| proof.evidence().resumed));
        session.quit().await;
    }
    let sessions = sessions as f64;
    Ok(Round { cpu: (cpu() - before) / sessions, resumed: resumed as f64 / sessions })
}

fn table(rounds: &mut [Vec<Round>; WAYS.len()]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    writeln!(text, "| session | CPU µs: min, median, max | more than in clear | resumed |")?;
    writeln!(text, "|---|---|---|---|")?;
    let median = |rounds: &[Round]| rounds[rounds.len() / 2].cpu;
    rounds.iter_mut().for_each(|rounds| rounds.sort_by(|a, b| a.cpu.total_cmp(&b.cpu)));
    let clear = median(&rounds[0]);
    for ((_, name), rounds) in WAYS.iter().zip(rounds.iter()) {
        let (least, most) = (rounds[0].cpu, rounds[rounds.len() - 1].cpu);
        let resumed = rounds.iter().map(|round| round.resumed).sum::<f64>() / rounds.len() as f64;
        let (middle, share) = (median(rounds), resumed * 100.0);
        writeln!(text, "| {name} | {least:.0}, {middle:.0}, {most:.0} | {:+.0} | {share:.1} % |", middle - clear)?;
    }
    writeln!(
        text,
        "\nConnect, greeting, EHLO, STARTTLS, handshake, EHLO, QUIT; TLS 1.3, X25519MLKEM768, an ECDSA P-256 certificate \
verified to a root. Each whole handshake is with a host of its own."
    )?;
    Ok(text)
}
