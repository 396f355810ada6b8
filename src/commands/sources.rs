//! `sealpost sources`: our addresses, how each warms up, and what it has sent whom today. Read from the configuration and the
//! store, which an engine at work keeps up to date; only what is paused is the engine's to say.

use super::status;
use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored;
use engine::clock::{Clock, Day, SystemClock};
use engine::control::Target;
use engine::plan::Machine;
use engine::report::rfc3339;
use engine::run::sent_today;
use engine::smtp::Source;
use engine::warmup::{Taken, Warmup};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Shows them.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let today = machine.warmups.zone.day(SystemClock.now());
    let sources = standings(&machine, today)?;
    if args.json {
        let refills = rfc3339(machine.warmups.zone.begins(Day(today.0 + 1)));
        let sources: Vec<_> = sources.iter().map(|standing| standing.json(today)).collect();
        let zone = machine.warmups.zone.to_string();
        outln!("{}", json!({"today": today.to_string(), "zone": zone, "refills": refills, "sources": sources}));
    } else {
        sources.iter().flat_map(|standing| standing.lines(today)).for_each(|line| outln!("{line}"));
    }
    Ok(SETTLED)
}

/// One source.
struct Standing<'a> {
    source: &'a Source,
    warmup: Option<&'a Warmup>,
    /// What its address sent today, while it warms up.
    sent: Vec<Taken>,
    paused: bool,
}

fn standings(machine: &Machine, today: Day) -> Result<Vec<Standing<'_>>, Failure> {
    let state_dir = &machine.state_dir;
    let engine = status::live(state_dir)?.unwrap_or_default();
    let sent = match stored::observe(state_dir)? {
        Some((store, ..)) => sent_today(&store, today).map_err(|error| stored::unreadable(state_dir, error))?,
        None => Vec::new(),
    };
    let standing = |source| {
        let addresses = addresses(source);
        let theirs = sent.iter().filter(|(address, _)| addresses.contains(address)).map(|(_, taken)| taken.clone());
        let warmup = addresses.iter().find_map(|address| machine.warmups.of.get(address));
        // One that is warm since yesterday has no count any more that would mean something.
        let sent = if warmup.is_some_and(|warmup| warmup.cap(today).is_some()) { theirs.collect() } else { Vec::new() };
        let paused = engine.paused.iter().any(|target| *target == Target::Source(source.name.to_string()));
        Standing { source, warmup, sent, paused }
    };
    Ok(machine.sources.iter().map(standing).collect())
}

fn addresses(source: &Source) -> Vec<IpAddr> {
    [source.ipv4.map(IpAddr::V4), source.ipv6.map(IpAddr::V6)].into_iter().flatten().collect()
}

impl Standing<'_> {
    fn lines(&self, today: Day) -> Vec<String> {
        let Source { name, ehlo, .. } = self.source;
        let addresses: Vec<_> = addresses(self.source).iter().map(ToString::to_string).collect();
        let at = if addresses.is_empty() { "any address of this machine".into() } else { addresses.join(", ") };
        let paused = if self.paused { " (paused)" } else { "" };
        let mut lines = vec![format!("{name}: {ehlo}, {at}{paused}")];
        lines.extend(self.warmup.map(|warmup| format!("  {}", about(warmup, today))));
        let cap = self.warmup.and_then(|warmup| warmup.cap(today)).unwrap_or_default();
        let share = |taken: &Taken| format!("    {:<40} {} of {cap}", taken.provider, taken.messages);
        lines.extend(self.sent.iter().map(share));
        lines
    }

    fn json(&self, today: Day) -> Value {
        let Source { name, ehlo, ipv4, ipv6 } = self.source;
        let warmup = self.warmup.map(|warmup| {
            json!({
                "since": warmup.since.to_string(), "schedule": warmup.schedule.name(), "day": warmup.number(today),
                "days": warmup.schedule.days(), "cap": warmup.cap(today),
            })
        });
        let provider = |taken: &Taken| json!({"provider": taken.provider, "sent_today": taken.messages});
        json!({
            "name": &**name, "ehlo": ehlo, "ipv4": ipv4, "ipv6": ipv6, "paused": self.paused, "warmup": warmup,
            "providers": self.sent.iter().map(provider).collect::<Vec<_>>(),
        })
    }
}

fn about(warmup: &Warmup, today: Day) -> String {
    let (since, schedule) = (warmup.since, warmup.schedule.name());
    match warmup.cap(today) {
        Some(cap) => {
            let (number, days) = (warmup.number(today), warmup.schedule.days());
            format!(
                "warms up: day {number} of {days} (\"{schedule}\", since {since}), {cap} messages to each provider today"
            )
        }
        None => format!("warm (\"{schedule}\", since {since}): `warmup` can go"),
    }
}
