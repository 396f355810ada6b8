use super::*;
use crate::clock::{Day, Timestamp, Zone};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// 2026-11-20.
const FIRST: u32 = 20_777;
const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

#[derive(Default)]
struct Book {
    kept: Mutex<BTreeMap<(IpAddr, u64), Taken>>,
    broken: AtomicBool,
}

impl Book {
    fn fails(&self) -> Result<(), LedgerError> {
        let error = || LedgerError(Box::new(std::io::Error::other("gone")));
        if self.broken.load(Ordering::SeqCst) { Err(error()) } else { Ok(()) }
    }

    fn messages(&self, provider: u64) -> u32 {
        self.kept.lock().expect("no panic").get(&(ADDRESS, provider)).map_or(0, |taken| taken.messages)
    }
}

impl Ledger for Book {
    fn get(&self, address: IpAddr, provider: u64) -> Result<Option<Taken>, LedgerError> {
        self.fails()?;
        Ok(self.kept.lock().expect("no panic").get(&(address, provider)).cloned())
    }

    fn put(&self, address: IpAddr, provider: u64, taken: &Taken) -> Result<(), LedgerError> {
        self.fails()?;
        self.kept.lock().expect("no panic").insert((address, provider), taken.clone());
        Ok(())
    }
}

fn warmups(caps: &[u32], zone: &str) -> Warmups {
    let schedule = Arc::new(Schedule::new("default", caps.to_vec()).expect("a schedule"));
    let warmup = Warmup { since: Day(FIRST), schedule };
    Warmups { of: [(ADDRESS, warmup)].into(), zone: Zone::parse(zone).expect("a zone") }
}

fn at(day: u32, hour: u64) -> Timestamp {
    Timestamp(u64::from(FIRST + day - 1) * DAY + hour * HOUR)
}

/// Takes all there are and spends them.
fn drain(allowance: &Arc<Allowance>, now: Timestamp) -> u32 {
    let tickets = std::iter::from_fn(|| allowance.take(now).ok().flatten());
    tickets.fold(0, |count, ticket| {
        ticket.spend();
        count + 1
    })
}

#[test]
fn a_schedule_grows_and_then_is_over() {
    assert_eq!(Schedule::new("a", vec![]), Err(Unfit::Empty));
    assert_eq!(Schedule::new("a", vec![0]), Err(Unfit::Zero(0)));
    assert_eq!(Schedule::new("a", vec![5, 5, 4]), Err(Unfit::Falls(2)));
    let warmup = warmups(&[50, 100], "UTC").of.remove(&ADDRESS).expect("there");
    let caps = [0, 1, 2, 3, 900].map(|day: u32| warmup.cap(Day(FIRST + day - 1)));
    assert_eq!(caps, [Some(50), Some(50), Some(100), None, None], "a clock that is behind allows no more");
}

#[test]
fn each_day_has_its_cap_and_the_next_its_own() {
    let book = Arc::new(Book::default());
    let warming = Warming::new(warmups(&[50, 100, 200, 400], "UTC"), book.clone());
    let allowance = warming.allowance(ADDRESS, 7, "google", at(1, 0)).expect("it warms up");
    for (day, cap) in [(1, 50), (2, 100), (3, 200), (4, 400)] {
        assert_eq!(drain(&allowance, at(day, 3)), cap, "day {day}");
        assert_eq!(drain(&allowance, at(day, 23)), 0, "day {day}");
        assert!(!allowance.has_room(at(day, 23)));
        assert_eq!(allowance.take(at(day, 4)).err(), Some(at(day + 1, 0)));
    }
    assert!(allowance.take(at(5, 0)).is_ok_and(|ticket| ticket.is_none()), "it is over");
    assert!(warming.allowance(ADDRESS, 8, "yahoo", at(5, 0)).is_none());
    assert!(warming.allowance("192.0.2.11".parse().expect("an address"), 7, "google", at(1, 0)).is_none());
}

#[test]
fn a_ticket_of_yesterday_is_exchanged_or_void() {
    let book = Arc::new(Book::default());
    let warming = Warming::new(warmups(&[2, 3], "UTC"), book.clone());
    let allowance = warming.allowance(ADDRESS, 7, "google", at(1, 0)).expect("it warms up");
    let mut tickets: Vec<_> = (0..2).map(|_| allowance.take(at(1, 23)).ok().flatten().expect("one")).collect();
    assert_eq!(drain(&allowance, at(2, 0)), 2 + 1, "today's are not yesterday's");
    assert!(!tickets[0].holds(at(2, 0)), "today's are taken");
    assert!(tickets[1].holds(at(1, 23)), "on its own day it holds");
    drop(tickets);
    assert_eq!(
        (book.messages(7), drain(&allowance, at(2, 1))),
        (3, 0),
        "what was yesterday's gives nothing back today"
    );
    let allowance = warming.allowance(ADDRESS, 8, "yahoo", at(1, 0)).expect("it warms up");
    let mut ticket = allowance.take(at(1, 23)).ok().flatten().expect("one");
    assert!(ticket.holds(at(2, 0)));
    assert_eq!(drain(&allowance, at(2, 0)), 2, "the third is ours");
    drop(ticket);
    assert_eq!(drain(&allowance, at(2, 0)), 1, "and was given back");
}

#[test]
fn what_cannot_be_kept_is_not_sent() {
    let book = Arc::new(Book::default());
    let warming = Warming::new(warmups(&[5], "UTC"), book.clone());
    let allowance = warming.allowance(ADDRESS, 7, "google", at(1, 0)).expect("it warms up");
    book.broken.store(true, Ordering::SeqCst);
    assert_eq!(drain(&allowance, at(1, 1)), 0);
    let blind = warming.allowance(ADDRESS, 8, "yahoo", at(1, 0)).expect("it warms up");
    book.broken.store(false, Ordering::SeqCst);
    assert_eq!(drain(&blind, at(1, 1)), 0, "nobody knows what was sent before");
    assert_eq!(drain(&allowance, at(1, 1)), 5);
}

/// What may happen to an allowance.
#[derive(Clone, Debug)]
enum Event {
    Take,
    Spend(usize),
    Drop(usize),
    Hours(u64),
    /// The process dies, and another begins.
    Killed,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Take),
        6 => (0_usize..4).prop_map(Event::Spend),
        3 => (0_usize..4).prop_map(Event::Drop),
        2 => (1_u64..30).prop_map(Event::Hours),
        1 => Just(Event::Killed),
    ]
}

proptest! {
    /// Of whatever day the clock says it is, no more are begun than its cap, and no ticket is lost but by a death.
    #[test]
    fn a_cap_is_never_passed(events in proptest::collection::vec(any_event(), 1..200)) {
        let book = Arc::new(Book::default());
        let warmups = warmups(&[3, 5, 8, 8, 13], "UTC");
        let mut now = at(1, 0);
        let fresh = |now| Warming::new(warmups.clone(), book.clone()).allowance(ADDRESS, 7, "google", now);
        let mut allowance = fresh(now);
        let (mut held, mut begun, mut killed) = (Vec::new(), BTreeMap::<Day, u32>::new(), BTreeSet::new());
        for event in events {
            let today = Zone::default().day(now);
            match event {
                Event::Take => held.extend(allowance.as_ref().and_then(|it| it.take(now).ok().flatten())),
                Event::Spend(at) if at < held.len() => {
                    let mut ticket: Ticket = held.swap_remove(at);
                    if ticket.holds(now) {
                        ticket.spend();
                        *begun.entry(today).or_default() += 1;
                    }
                }
                Event::Drop(at) if at < held.len() => drop(held.swap_remove(at)),
                Event::Hours(hours) => now = Timestamp(now.0 + hours * HOUR),
                Event::Killed => {
                    held.drain(..).for_each(std::mem::forget);
                    killed.insert(today);
                    allowance = fresh(now);
                }
                Event::Spend(_) | Event::Drop(_) => {}
            }
        }
        let warmup = &warmups.of[&ADDRESS];
        for (day, messages) in &begun {
            let cap = warmup.cap(*day).unwrap_or(u32::MAX);
            prop_assert!(*messages <= cap, "{messages} on {day}");
        }
        // Where nobody died today, the ledger says exactly what was begun.
        held.clear();
        let today = Zone::default().day(now);
        let kept = book.kept.lock().expect("no panic").get(&(ADDRESS, 7)).filter(|kept| kept.day == today).cloned();
        let begun = begun.get(&today).copied().unwrap_or(0);
        if warmup.cap(today).is_some() && !killed.contains(&today) {
            prop_assert_eq!(kept.map_or(0, |kept| kept.messages), begun);
        }
    }
}

#[test]
fn a_clock_that_is_set_back_gives_no_second_day() {
    let book = Arc::new(Book::default());
    let fresh = || Warming::new(warmups(&[2, 3], "UTC"), book.clone()).allowance(ADDRESS, 7, "google", at(1, 0));
    let allowance = fresh().expect("it warms up");
    assert_eq!(drain(&allowance, at(2, 1)), 3);
    assert_eq!(drain(&allowance, at(1, 23)), 0);
    assert_eq!(drain(&fresh().expect("it warms up"), at(1, 23)), 0, "nor to another process");
}
