//! What must hold when everything rests.

use super::case::{Case, OneRun, a_source};
use super::world::Taken;
use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, RunId};
use crate::metrics::{Connection, Queue};
use crate::store::{Family, Manifest, Tally};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Writes down everything that is wrong.
pub(super) fn judge(case: &Case) {
    for (number, run) in case.runs.iter().enumerate() {
        accounts(case, run);
        rows(case, number, run);
        run.shared.room.resize(1);
        if run.shared.room.is_full() {
            case.world.wrong(format_args!("run {number}: its room is not empty"));
        }
    }
    gauges(case);
    caps(case);
    case.world.reach("runs that left", case.runs.iter().filter(|run| run.left.get()).count() as u64);
    if case.world.connected() > 0 {
        case.world.wrong("connections are left");
    }
}

/// Counters and store say the same, and nothing is missing.
fn accounts(case: &Case, run: &OneRun) {
    let settle = &run.shared.settle;
    let counted = settle.tally();
    let manifest = Manifest { read: counted.read, ..Manifest::new("c".into(), "i".into(), "f".into(), Timestamp(0)) };
    let stored = Tally::of(&case.store, run.shared.id, &manifest, true).expect("readable");
    if counted != stored {
        case.world.wrong(format_args!("counted {counted:?}, stored {stored:?}"));
    }
    if !settle.is_idle() {
        case.world.wrong("rows are in hand");
    }
    let all = case.world.plan.stop.is_none() && !run.left.get();
    if all && counted.left() > 0 {
        case.world.wrong(format_args!("rows are left: {counted:?}"));
    }
    let places: BTreeSet<_> = in_family(case, Family::Backlog, run.shared.id).into_iter().collect();
    if all && !places.is_empty() {
        case.world.wrong(format_args!("the backlog keeps {places:?}"));
    }
    let started = case.store.leases(run.shared.id).expect("readable").into_iter();
    let started: Vec<_> = started.filter(|lease| lease.started.is_some()).map(|lease| lease.ordinal).collect();
    if !started.is_empty() {
        case.world.wrong(format_args!("started and never settled: {started:?}"));
    }
}

/// Every row stands in one place, and that agrees with what servers took.
fn rows(case: &Case, number: usize, run: &OneRun) {
    let mut outcomes: BTreeMap<u64, Outcome> = BTreeMap::new();
    let insert = |ordinal, outcome| drop(outcomes.insert(ordinal, outcome));
    case.store.scan_outcomes(run.shared.id, Some(&run.key), insert).expect("readable");
    let deferred = in_family(case, Family::Deferred, run.shared.id);
    let backlog = in_family(case, Family::Backlog, run.shared.id);
    let standing: Vec<_> = outcomes.keys().chain(&deferred).chain(&backlog).collect();
    if standing.iter().collect::<BTreeSet<_>>().len() < standing.len() {
        case.world.wrong(format_args!("run {number}: rows stand in two places: {standing:?}"));
    }
    let resend = case.world.plan.runs[number].resend;
    for ordinal in 1..=run.shared.settle.tally().read {
        let taken = case.world.taken((number, ordinal));
        let kind = outcomes.get(&ordinal).map(|outcome| outcome.kind);
        if !agrees(taken, kind, resend) {
            let name = (number, ordinal);
            case.world.wrong(format_args!("{name:?} stands as {kind:?}, and a server has it: {taken:?}"));
        }
    }
    for (ordinal, outcome) in outcomes {
        if outcome.kind == Kind::Bounced && outcome.code.is_some() && !case.world.was_refused((number, ordinal)) {
            case.world.wrong(format_args!("({number}, {ordinal}) bounced and nobody refused it: {outcome:?}"));
        }
        let (kind, reason, attempts) = (outcome.kind.word(), &outcome.reason, outcome.attempts);
        let trace = format!("{:>8} ({number}, {ordinal}) {kind} {reason} after {attempts}", outcome.at.0);
        case.world.facts().trace.push(trace);
        case.world.reach(kind, 1);
        case.world.reach("later attempts", u64::from(attempts > 1));
        case.world.reach("taken more than once", u64::from(case.world.taken((number, ordinal)).times > 1));
    }
}

/// Whether a row may stand so. One that is sent again after a doubt may have been taken each time, and end as its last
/// attempt did.
fn agrees(taken: Taken, kind: Option<Kind>, resend: bool) -> bool {
    if taken.muddled > 0 {
        return resend || matches!((taken.times, kind), (1, Some(Kind::Delivered | Kind::InDoubt)));
    }
    match (taken.times, taken.told) {
        (0, _) => kind != Some(Kind::Delivered),
        (1, 1) => kind == Some(Kind::Delivered),
        (1, 0) if !resend => kind == Some(Kind::InDoubt),
        (_, 1) => resend && kind == Some(Kind::Delivered),
        (_, 0) => resend && kind != Some(Kind::Delivered),
        _ => false,
    }
}

/// No site had more from the source that warms up than that day's cap; what was on the wire at midnight may have been begun a day
/// before it was taken.
fn caps(case: &Case) {
    let plan = &case.world.plan;
    let Some(first) = case.warmup.as_ref().map(|warmup| warmup.since) else { return };
    let (warms_up, daily) = (a_source(0).ipv4.map(IpAddr::from), case.world.facts().daily.clone());
    let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
    for ((day, site, from), messages) in daily.into_iter().filter(|((.., from), _)| *from == warms_up) {
        let number = day.after(first).unwrap_or(0) as usize;
        let cap = plan.caps.get(number).copied().unwrap_or(u32::MAX);
        let late = if number == 0 { 0 } else { plan.limits.connections_per_provider as u64 };
        let taken = sums.entry(site).or_default();
        *taken += u64::from(messages);
        let allowed = plan.caps.iter().take(number).map(|cap| u64::from(*cap)).sum::<u64>() + u64::from(cap);
        if u64::from(messages) > u64::from(cap) + late || *taken > allowed {
            case.world.wrong(format_args!("site {site} took {messages} from {from:?} on {day}, and {cap} is its cap"));
        }
        case.world.reach("allowance used up", u64::from(messages == cap));
        case.world.reach("sent on two days", number as u64);
    }
}

fn in_family(case: &Case, family: Family, run: RunId) -> Vec<u64> {
    let mut ordinals = Vec::new();
    case.store.ordinals(family, run, |ordinal| ordinals.push(ordinal)).expect("readable");
    ordinals
}

fn gauges(case: &Case) {
    for queue in [Queue::Routing, Queue::Backlog, Queue::Rendering, Queue::Ready, Queue::InFlight] {
        let count = case.metrics.rows(queue).get();
        if count != 0 {
            case.world.wrong(format_args!("{queue:?} shows {count}"));
        }
    }
    let deferred: u64 = case.runs.iter().map(|run| run.shared.settle.tally().deferred).sum();
    let shown = case.metrics.rows(Queue::Deferred).get();
    if i64::try_from(deferred) != Ok(shown) {
        case.world.wrong(format_args!("Deferred shows {shown}, and there are {deferred}"));
    }
    for state in [Connection::Opening, Connection::Idle, Connection::Busy] {
        let count = case.metrics.connections(state).get();
        if count != 0 {
            case.world.wrong(format_args!("{count} connections are {state:?}"));
        }
    }
}
