//! `sealpost sources`: our addresses, how each warms up, what it has sent whom today, and what it has learned of providers. Read
//! from the configuration and the store, which an engine at work keeps up to date; only what is paused is the engine's to say.

use super::{learned, status};
use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored;
use engine::clock::{Clock, Day, SystemClock, Timestamp};
use engine::control::Target;
use engine::plan::Machine;
use engine::report::rfc3339;
use engine::run::sent_today;
use engine::smtp::Source;
use engine::store::Store;
use engine::throttle::Learned;
use engine::warmup::Warmup;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    providers: BTreeMap<String, Provider>,
    paused: bool,
}

/// What a source knows of a provider.
#[derive(Default)]
struct Provider {
    /// Messages that it had today, where the source warms up.
    sent: Option<u32>,
    learned: Option<Learned>,
}

fn standings(machine: &Machine, today: Day) -> Result<Vec<Standing<'_>>, Failure> {
    let state_dir = &machine.state_dir;
    let engine = status::live(state_dir)?.unwrap_or_default();
    let mut known = match stored::observe(state_dir)? {
        Some((store, ..)) => known(machine, &store, today).map_err(|error| stored::unreadable(state_dir, error))?,
        None => BTreeMap::new(),
    };
    let standing = |source| Standing {
        source,
        warmup: warmup(machine, source),
        providers: known.remove(&*source.name).unwrap_or_default(),
        paused: engine.paused.contains(&Target::Source(source.name.to_string())),
    };
    Ok(machine.sources.iter().map(standing).collect())
}

/// What the store knows, by source and provider.
fn known(machine: &Machine, store: &Store, today: Day) -> Result<Known, engine::store::Error> {
    let mut known = Known::new();
    for (address, taken) in sent_today(store, today)? {
        // One that is warm since yesterday has no count any more that would mean something.
        let warms_up = |source: &&Source| {
            addresses(source).contains(&address) && warmup(machine, source).is_some_and(|it| it.cap(today).is_some())
        };
        for source in machine.sources.iter().filter(warms_up) {
            let provider = known.entry(source.name.to_string()).or_default().entry(taken.provider.clone()).or_default();
            // Domains without MX hosts share a name: the one that had most is shown.
            provider.sent = provider.sent.max(Some(taken.messages));
        }
    }
    for (source, lessons) in learned::lessons(store)? {
        let of_source = known.entry(source).or_default();
        for (provider, lesson) in lessons {
            of_source.entry(provider).or_default().learned = Some(lesson);
        }
    }
    Ok(known)
}

type Known = BTreeMap<String, BTreeMap<String, Provider>>;

fn warmup<'a>(machine: &'a Machine, source: &Source) -> Option<&'a Warmup> {
    addresses(source).iter().find_map(|address| machine.warmups.of.get(address))
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
        let now = SystemClock.now();
        lines.extend(
            self.providers.iter().map(|(name, provider)| format!("    {name:<40} {}", provider.words(cap, now))),
        );
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
        let provider = |(name, provider): (&String, &Provider)| {
            let mut shown = learned::json(provider.learned.as_ref());
            (shown["provider"], shown["sent_today"]) = (name.as_str().into(), provider.sent.into());
            shown
        };
        json!({
            "name": &**name, "ehlo": ehlo, "ipv4": ipv4, "ipv6": ipv6, "paused": self.paused, "warmup": warmup,
            "providers": self.providers.iter().map(provider).collect::<Vec<_>>(),
        })
    }
}

impl Provider {
    /// What is known of it, where `cap` is today's.
    fn words(&self, cap: u32, now: Timestamp) -> String {
        let mut words: Vec<_> = self.sent.iter().map(|sent| format!("{sent} of {cap} today")).collect();
        words.extend(self.learned.iter().flat_map(|learned| learned::words(learned, now)));
        if words.is_empty() { "nothing held against us".into() } else { words.join(", ") }
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
