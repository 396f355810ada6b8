//! A source that nobody knows yet, over several days: what each day's cap leaves waits for the next.

use super::case::{Case, Story, a_source, play};
use super::plan::{Blast, Domain, Host, Plan, Site, Temper};
use crate::clock::{Day, Zone};
use crate::queue::Limits;
use crate::retry::Retry;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{advance, sleep};

/// What a day's messages take, and more.
const MORNING: Duration = Duration::from_secs(1800);

/// Lets days pass once their work is done, as many as the plan has: nothing happens on what is left of them.
pub(super) async fn days(case: Rc<Case>) {
    for _ in 0..case.world.plan.days {
        sleep(MORNING).await;
        let run = &case.runs[0].shared;
        let evening = (run.settle.tally(), run.tomorrow.load(Ordering::SeqCst));
        case.world.facts().evenings.push(evening);
        let now = case.clock.now();
        let zone = case.world.plan.zone;
        let tomorrow = zone.begins(Day(zone.day(now).0 + 1));
        // The last seconds are lived through: who looks at the clock too early would go on now.
        advance(tomorrow.since(now) - Duration::from_secs(2)).await;
    }
}

/// A server that refuses nothing.
const TAKES_EVERYTHING: Temper = Temper {
    refuse: 0,
    turn_away: 0,
    mishap: 0,
    bounce: 0,
    greylist: 0,
    sessions: 100,
    pace: None,
    pipelining: true,
    chunking: true,
    forget: 0,
    stutter: 0,
    ehlo: true,
    slow: 50,
};

/// One site that takes everything, one domain, one run.
fn plan(rows: usize, sources: usize, caps: &[u32]) -> Plan {
    let host = |site: usize| Host {
        name: format!("mx.site{site}.example"),
        preference: 10,
        addresses: vec![format!("10.{site}.0.1:25").parse().expect("an address")],
        temper: TAKES_EVERYTHING,
    };
    let domain = |site: usize| Domain {
        name: format!("d{site}.example"),
        site,
        moves: None,
        exists: true,
        fails: 0,
        ttl: Duration::from_secs(3600),
    };
    Plan {
        seed: 1 << 40,
        limits: Limits {
            connections: 4,
            connections_per_provider: 4,
            messages_per_connection: 20,
            rows_in_memory: 1,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            command_timeout: Some(super::plan::PATIENCE),
        },
        shards: 1,
        sources,
        retry: Retry { first: Duration::from_secs(5), longest: Duration::from_secs(5) },
        sites: (0..2).map(|site| Site { hosts: vec![host(site)] }).collect(),
        domains: (0..2).map(domain).collect(),
        // A fifth of them go to the second site.
        runs: vec![Blast {
            rows: (0..rows).map(|row| usize::from(row % 5 == 4)).collect(),
            begins: Duration::ZERO,
            weight: 1,
            resend: false,
            room: 40,
            lifetime: Duration::from_secs(48 * 3600),
            canary: None,
        }],
        orders: 0,
        stop: None,
        outage: None,
        exhausted: 0,
        caps: caps.to_vec(),
        zone: Zone::default(),
        days: u32::try_from(caps.len()).expect("few"),
    }
}

/// Messages that `site` took from the source of that number, day by day.
fn daily(story: &Story, site: usize, source: usize) -> Vec<u32> {
    let from = a_source(source).ipv4.map(IpAddr::from);
    let of = |((day, at, by), messages): (&_, &u32)| (*at == site && *by == from).then_some((*day, *messages));
    let days: BTreeMap<_, _> = story.daily.iter().filter_map(of).collect();
    days.into_values().collect()
}

/// The show: 1,000 rows for one site and 250 for another, from one new address.
#[test]
fn each_day_has_exactly_its_cap_and_the_rest_waits_for_the_next() {
    let (_folder, store) = super::a_store();
    let story = play(plan(1250, 1, &[50, 100, 200, 400]), &store);
    assert!(story.wrong.is_empty(), "{:#?}", story.wrong);
    // On the fifth day it is warm.
    assert_eq!(daily(&story, 0, 0), [50, 100, 200, 400, 250]);
    assert_eq!(daily(&story, 1, 0), [50, 100, 100], "each provider has its own");
    let evenings: Vec<_> =
        story.evenings.iter().map(|(tally, tomorrow)| (tally.ended(), tally.waiting, *tomorrow)).collect();
    assert_eq!(evenings, [(100, 1150, 1150), (300, 950, 950), (600, 650, 650), (1000, 250, 250)]);
    assert!(story.evenings.iter().all(|(tally, _)| tally.deferred == 0));
    assert!(story.reached.get("spilt").is_some_and(|rows| *rows > 500), "{:?}", story.reached);
}

#[test]
fn what_a_new_source_may_not_send_a_warm_one_sends_at_once() {
    let (_folder, store) = super::a_store();
    let story = play(Plan { days: 0, ..plan(500, 2, &[50]) }, &store);
    assert!(story.wrong.is_empty(), "{:#?}", story.wrong);
    assert_eq!([daily(&story, 0, 0), daily(&story, 0, 1)], [[50], [350]]);
    assert_eq!([daily(&story, 1, 0), daily(&story, 1, 1)], [[50], [50]]);
}
