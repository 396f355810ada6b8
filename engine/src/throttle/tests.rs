//! What holds whatever is asked and answered, and the throttle as a whole.

use super::*;
use crate::shaping::Rate;
use proptest::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn terms(connections: usize, first_window: usize, rates: &[(u32, Duration)]) -> Arc<Terms> {
    let rates = rates.iter().map(|(count, per)| Rate { count: *count, per: *per }).collect();
    Arc::new(Terms { connections, first_window, messages_per_connection: 100, rates, connection_rate: None })
}

fn at(millis: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + millis)
}

#[test]
fn nothing_configured_and_nothing_learned_is_no_limit() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    assert_eq!(throttle.window(at(0)), 20);
    for message in 0..100_000 {
        let now = at(message / 100);
        assert_eq!((throttle.take(now), throttle.connect(now)), (Ok(()), Ok(())));
        throttle.accepted(20, now);
    }
    assert_eq!((throttle.ceiling(), throttle.learned(at(1000)), throttle.window(at(1000))), (None, None, 20));
}

#[test]
fn a_wave_is_one_refusal_and_one_message_asks_whether_it_is_over() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    (0..50).for_each(|_| throttle.take(at(0)).expect("no limit"));
    (0..30).for_each(|_| throttle.accepted(20, at(500)));
    (0..20).for_each(|_| throttle.refused(Refusal::Rate, 20, at(500)));
    let until = throttle.take(at(500)).expect_err("held");
    assert_eq!(throttle.held_until(at(500)), until);
    assert_eq!(until, at(1000));
    assert_eq!(throttle.take(until), Ok(()));
    assert!(throttle.take(until).is_err(), "one asks");
    throttle.refused(Refusal::Rate, 20, at(1100));
    assert_eq!(throttle.take(at(1100)), Err(at(2100)), "held for twice as long");
    throttle.take(at(2100)).expect("the hold is over");
    throttle.accepted(1, at(2200));
    let ceiling = throttle.ceiling().expect("learned");
    assert!((ceiling - 0.5 * 31.0 / 2.2).abs() < 0.1, "half of what was taken since: {ceiling}");
}

#[test]
fn a_probe_that_never_left_is_asked_again() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    throttle.take(at(0)).expect("no limit");
    throttle.refused(Refusal::Rate, 0, at(10));
    throttle.take(at(510)).expect("the hold is over");
    assert!(throttle.take(at(520)).is_err());
    throttle.give_back(at(510), at(530));
    assert_eq!(throttle.take(at(530)), Ok(()));
}

#[test]
fn the_window_is_what_was_open_when_one_more_was_refused() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    (5..20).rev().for_each(|open| throttle.refused(Refusal::Connection, open, at(10)));
    assert_eq!(throttle.window(at(10)), 5);
    assert!(throttle.connect(at(10)).is_err() && throttle.connect(at(1010)).is_ok());
    (0..99).for_each(|message| throttle.accepted(5, at(1000 + message * 500)));
    assert_eq!(throttle.window(at(59_000)), 5);
    (0..5).for_each(|message| throttle.accepted(5, at(60_011 + message)));
    assert_eq!(throttle.window(at(61_000)), 6, "one more after a minute and a hundred messages");
    assert_eq!(throttle.learned(at(61_000)).and_then(|learned| learned.window), Some(5));
    throttle.refused(Refusal::Connection, 5, at(61_000));
    assert_eq!(throttle.window(at(61_000)), 5);
}

#[test]
fn a_session_that_the_server_still_counts_is_no_new_limit() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    throttle.refused(Refusal::Connection, 5, at(0));
    (0..50).for_each(|message| throttle.accepted(5, at(1000 + message)));
    throttle.refused(Refusal::Connection, 4, at(5000));
    assert_eq!(throttle.window(at(5000)), 4);
    (0..4).for_each(|message| throttle.accepted(4, at(5100 + message)));
    assert_eq!(throttle.window(at(5200)), 5, "it held before");
    throttle.refused(Refusal::Connection, 4, at(8000));
    (0..50).for_each(|message| throttle.accepted(4, at(9000 + message)));
    assert_eq!(throttle.window(at(9100)), 4, "twice is true");
}

#[test]
fn a_window_that_was_cut_grows_ever_faster_to_where_it_was() {
    let mut throttle = Throttle::new(terms(50, 50, &[]), None, at(0));
    (0..100).for_each(|message| throttle.accepted(50, at(message)));
    throttle.refused(Refusal::Connection, 5, at(1000));
    let mut seen = Vec::new();
    for message in 0..1500 {
        let now = at(2000 + message * 50);
        throttle.accepted(throttle.window(now), now);
        seen.push(throttle.window(now));
    }
    seen.dedup();
    assert_eq!(seen, [5, 6, 8, 12, 20, 36, 50]);
}

#[test]
fn after_cohorts_that_failed_it_is_dead_and_returns_with_one() {
    let mut throttle = Throttle::new(terms(20, 20, &[]), None, at(0));
    throttle.failed(at(0));
    assert_eq!(throttle.window(at(1)), 1);
    (1..3).for_each(|second| throttle.failed(at(second * 1000)));
    assert_eq!((throttle.window(at(2000)), throttle.held_until(at(2000))), (0, at(32_000)));
    assert_eq!(throttle.connect(at(2000)), Err(at(32_000)));
    assert_eq!(throttle.window(at(32_000)), 1);
    throttle.failed(at(32_000));
    assert_eq!(throttle.held_until(at(32_000)), at(92_000), "twice as long");
    (0..6).for_each(|message| throttle.accepted(20, at(100_000 + message)));
    assert_eq!(throttle.window(at(100_100)), 4, "one more with each cohort");
}

#[test]
fn what_was_learned_is_begun_with_and_trusted_less_as_it_ages() {
    let learned = |days: u64| Learned {
        window: Some(5),
        ceiling: Some(20.0),
        held_until: at(0),
        at: Timestamp(at(0).0 - days * 86_400_000),
        spent: Vec::new(),
    };
    // Seconds until more than the level is tried.
    let tried = |days| {
        let mut throttle = Throttle::new(terms(20, 20, &[]), Some(learned(days)), at(0));
        assert!(throttle.window(at(0)) == 5 && throttle.ceiling().is_some_and(|ceiling| ceiling < 20.0));
        (0..10_000).find(|hundredth| {
            let now = at(hundredth * 10);
            while throttle.take(now).is_ok() {
                throttle.accepted(20, now);
            }
            throttle.ceiling().is_none_or(|ceiling| ceiling > 20.0)
        })
    };
    let [fresh, yesterday, old, stale] = [0, 1, 5, 10].map(|days| tried(days).expect("some time") / 100);
    assert!((65..80).contains(&fresh) && yesterday < fresh && old < yesterday && (5..20).contains(&stale));
    let forgotten = Throttle::new(terms(20, 20, &[]), Some(learned(40)), at(0));
    assert_eq!((forgotten.window(at(0)), forgotten.ceiling()), (20, None));
}

#[test]
fn the_next_process_counts_what_this_one_sent_today() {
    let terms = terms(20, 20, &[(100, DAY), (50, HOUR)]);
    let mut throttle = Throttle::new(terms.clone(), None, at(0));
    (0..50).for_each(|_| throttle.take(at(0)).expect("a quota"));
    let learned = throttle.learned(at(10)).expect("what was sent");
    let mut next = Throttle::new(terms.clone(), Some(learned.clone()), at(20));
    assert_eq!(next.take(at(20)), throttle.take(at(20)));
    let hour = at(3_700_000);
    (0..50).for_each(|_| next.take(hour).expect("the second hour"));
    assert!(next.take(at(7_500_000)).is_err(), "the day's are spent");
    // However old: a day rate of a process of last month says nothing, but this is checked where it is counted.
    assert!(Throttle::new(terms, Some(learned.clone()), at(90_000_000)).take(at(90_000_000)).is_ok());
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Send(usize),
    GiveBack(usize),
    Lose,
    Refuse,
    Terms(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Wait),
        1 => (0_u64..400_000).prop_map(Step::Wait),
        5 => (0_usize..80).prop_map(Step::Send),
        2 => (0_usize..6).prop_map(Step::GiveBack),
        1 => Just(Step::Refuse),
        1 => Just(Step::Lose),
        1 => any::<bool>().prop_map(Step::Terms),
    ];
    proptest::collection::vec(step, 1..250)
}

/// Never more in any span than `most`.
fn holds(sent: &[Timestamp], per: Duration, most: usize) -> Result<(), TestCaseError> {
    let mut from = 0;
    for (to, time) in sent.iter().enumerate() {
        while time.since(sent[from]) >= per {
            from += 1;
        }
        prop_assert!(to - from < most, "{} of {most} in {per:?}", to - from + 1);
    }
    Ok(())
}

proptest! {
    /// Over any span, of several rates at once: the rate and one burst (a sixtieth and one) where it is paced, the rate alone where
    /// it is counted. Tokens come back late, ceilings are learned, terms change to and fro.
    #[test]
    fn rates_hold_over_any_span(steps in steps(), ahead in 1_usize..30) {
        let rates = [(30, SECOND), (200, MINUTE), (600, HOUR), (1500, DAY)];
        let lower = [(30, SECOND), (60, MINUTE), (600, HOUR), (1000, DAY)];
        let (many, few) = (terms(20, 20, &rates), terms(5, 2, &lower));
        let mut throttle = Throttle::new(many.clone(), None, at(0));
        let (mut now, mut sent, mut open) = (at(0), Vec::<Timestamp>::new(), Vec::<Timestamp>::new());
        for step in steps {
            match step {
                Step::Wait(millis) => now = now.after(Duration::from_millis(millis)),
                Step::Send(count) => for _ in 0..count {
                    match throttle.take(now) {
                        Ok(()) => open.push(now),
                        // A time that is named is the next one, and there is a token then unless an answer is awaited.
                        Err(next) => { prop_assert!(next > now); break }
                    }
                    if open.len() > ahead {
                        sent.push(open.remove(0));
                        throttle.accepted(ahead, now);
                    }
                },
                Step::GiveBack(back) => if back < open.len() {
                    let taken = open.remove(open.len() - 1 - back);
                    throttle.give_back(taken, now);
                },
                Step::Refuse => if !open.is_empty() {
                    sent.push(open.remove(0));
                    throttle.refused(Refusal::Rate, ahead, now);
                },
                Step::Lose => if !open.is_empty() {
                    sent.push(open.remove(0));
                    throttle.unanswered(now);
                },
                Step::Terms(wide) => throttle.set_terms(if wide { many.clone() } else { few.clone() }, now),
            }
        }
        sent.extend(open);
        sent.sort_unstable();
        for (count, per) in rates {
            let burst = if per <= MINUTE { 1 + count as usize / 60 } else { 0 };
            holds(&sent, per, count as usize + burst)?;
        }
    }
}
