//! A policy that is remembered, and the form in which it rests.

use super::{Mode, Policy, PolicyId};
use crate::clock::Timestamp;
use crate::mail::MxPattern;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A domain's policy as it was fetched last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub(super) policy: Policy,
    pub(super) id: PolicyId,
    pub(super) fetched: Timestamp,
    pub(super) last_tried: Timestamp,
}

/// A fetch that was made within this time is not made again: the least that RFC 8461 section 3.3 asks after one that failed.
/// A policy with a shorter `max_age` holds as long, since otherwise each row of its domain would cost a fetch.
pub(super) const REST: Duration = Duration::from_secs(300);
/// How often a policy is fetched again while it lives (section 3.3).
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// How soon after a refresh that failed.
const REFRESH_AGAIN: Duration = Duration::from_secs(3600);
/// The version of the stored form.
const VERSION: u8 = 1;
/// No stored form is longer: 512 patterns of 255 characters, quoted.
const LARGEST: usize = 256 << 10;

impl Kept {
    /// What was fetched at `now` under `id`.
    pub(super) fn new(policy: Policy, id: PolicyId, now: Timestamp) -> Kept {
        Kept { policy, id, fetched: now, last_tried: now }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The `id` of the TXT record under which it was fetched.
    pub fn id(&self) -> &PolicyId {
        &self.id
    }

    /// When it was fetched.
    pub fn fetched(&self) -> Timestamp {
        self.fetched
    }

    /// When somebody last tried to fetch it, or a newer one.
    pub fn last_tried(&self) -> Timestamp {
        self.last_tried
    }

    /// Until when it holds.
    pub fn until(&self) -> Timestamp {
        self.fetched.after(self.lifetime())
    }

    /// Whether it holds at `now`. One from the future, which a wrong clock has left, does: to forget it would be to trust whoever
    /// sets clocks.
    pub fn lives(&self, now: Timestamp) -> bool {
        now < self.until()
    }

    /// Whether it should be fetched again before it ends (section 3.3): daily, or at half of its life if that is shorter; after
    /// a refresh that failed, each hour.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let span = REFRESH.min(self.lifetime() / 2);
        let over = |since: Timestamp, span| since > now || now.since(since) >= span;
        over(self.fetched, span) && over(self.last_tried, span.min(REFRESH_AGAIN))
    }

    /// Whether it was fetched so lately that it is not fetched again.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        lately(self.fetched, now)
    }

    fn lifetime(&self) -> Duration {
        self.policy.max_age().max(REST)
    }

    /// The form in which it rests on a shelf.
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            id: self.id.to_string(),
            mode: self.policy.mode(),
            mx: self.policy.mx().iter().map(ToString::to_string).collect(),
            max_age: self.policy.max_age().as_secs(),
            fetched: self.fetched,
            last_tried: self.last_tried,
        };
        serde_json::to_vec(&stored).expect("text and numbers can be written")
    }

    /// Reads that form; none if it is damaged or of another version. Nothing comes out that could not have been fetched.
    pub fn decode(octets: &[u8]) -> Option<Kept> {
        if octets.len() > LARGEST {
            return None;
        }
        let stored: Stored = serde_json::from_slice(octets).ok()?;
        if stored.version != VERSION {
            return None;
        }
        let mx = stored.mx.iter().map(|text| MxPattern::parse(text)).collect::<Option<_>>()?;
        let policy = Policy::new(stored.mode, mx, stored.max_age).ok()?;
        let id = PolicyId::parse(&stored.id)?;
        Some(Kept { policy, id, fetched: stored.fetched, last_tried: stored.last_tried })
    }
}

/// Whether `at` is within [`REST`] before `now`. What a wrong clock has left in the future is not.
pub(super) fn lately(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.since(at) < REST
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    id: String,
    mode: Mode,
    mx: Vec<String>,
    max_age: u64,
    fetched: Timestamp,
    last_tried: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::super::policy::{LONGEST, MOST_MX};
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    const T0: Timestamp = Timestamp(1_800_000_000_000);

    fn kept(max_age: u64) -> Kept {
        let mx = vec![MxPattern::parse("*.b.example").expect("a pattern")];
        let policy = Policy::new(Mode::Enforce, mx, max_age).expect("a policy");
        Kept::new(policy, PolicyId::parse("a1").expect("an id"), T0)
    }

    fn later(seconds: u64) -> Timestamp {
        T0.after(Duration::from_secs(seconds))
    }

    #[test]
    fn how_long_it_holds_and_when_it_is_due() {
        // `max_age`, and seconds after the fetch: until when it holds, from when on it is due.
        let cases =
            [(7 * DAY, 7 * DAY, DAY), (DAY, DAY, DAY / 2), (HOUR, HOUR, HOUR / 2), (60, 300, 150), (0, 300, 150)];
        for (max_age, ends, due) in cases {
            let kept = kept(max_age);
            assert!(kept.lives(later(ends - 1)) && !kept.lives(later(ends)), "{max_age}");
            assert!(!kept.is_due(later(due - 1)) && kept.is_due(later(due)), "{max_age}");
        }
    }

    #[test]
    fn a_refresh_that_failed_is_tried_hourly() {
        let mut kept = kept(7 * DAY);
        kept.last_tried = later(DAY);
        assert!(!kept.is_due(later(DAY + HOUR - 1)) && kept.is_due(later(DAY + HOUR)));
    }

    #[test]
    fn one_from_the_future_holds_and_is_due() {
        let kept = kept(DAY);
        let now = Timestamp(T0.0 - 1);
        assert!(kept.lives(now) && kept.is_due(now) && !kept.is_fresh(now));
    }

    #[test]
    fn what_was_not_written_by_us_is_not_read() {
        let good = String::from_utf8(kept(DAY).encode()).expect("text");
        let changes = [
            ("\"version\":1", "\"version\":2"),
            ("\"a1\"", "\"a-1\""),
            ("enforce", "enforced"),
            ("*.b.example", "*.*.example"),
            ("[\"*.b.example\"]", "[]"),
            ("86400", "31557601"),
            ("\"id\"", "\"more\":1,\"id\""),
        ];
        for (from, to) in changes {
            assert!(good.contains(from) && Kept::decode(good.replace(from, to).as_bytes()).is_none(), "{to}");
        }
        assert_eq!(Kept::decode(good.as_bytes()), Some(kept(DAY)));
    }

    #[test]
    fn the_largest_policy_can_be_kept() {
        let label = "a".repeat(63);
        let name = format!("*.{label}.{label}.{label}.{}", "a".repeat(61));
        let mx = vec![MxPattern::parse(&name).expect("the longest name"); MOST_MX];
        let policy = Policy::new(Mode::Testing, mx, LONGEST).expect("a policy");
        let kept = Kept::new(policy, PolicyId::parse(&"z".repeat(32)).expect("an id"), Timestamp(u64::MAX));
        assert_eq!(Kept::decode(&kept.encode()), Some(kept));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Kept::decode(&octets), None);
        }

        #[test]
        fn it_comes_back_as_it_was(max_age in 0..=LONGEST, fetched: u64, last_tried: u64) {
            let kept = Kept { fetched: Timestamp(fetched), last_tried: Timestamp(last_tried), ..kept(max_age) };
            prop_assert_eq!(Kept::decode(&kept.encode()), Some(kept));
        }

        /// However it was tried in between, a policy is due once at least before it ends.
        #[test]
        fn it_is_due_before_it_ends(max_age in 600..=LONGEST, tried in 0..LONGEST) {
            let kept = Kept { last_tried: later(tried.min(max_age / 2 - 1)), ..kept(max_age) };
            prop_assert!(kept.is_due(Timestamp(kept.until().0 - 1)));
        }
    }
}
