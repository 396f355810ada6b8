//! Takes up a run where it stopped.

use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, Row, RunId};
use crate::secret::DataKey;
use crate::store::{Change, Error, Family, Hold, Lease, Store};
use std::collections::{BTreeMap, BTreeSet};

/// Which rows of the input are not to be taken up again: a bit a row, so that ten million cost 1.2 MB.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<u64>);

impl Known {
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        let (word, bit) = place(ordinal);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn insert(&mut self, ordinal: u64) {
        let (word, bit) = place(ordinal);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }
}

fn place(ordinal: u64) -> (usize, u64) {
    (usize::try_from(ordinal / 64).expect("row numbers fit memory"), 1 << (ordinal % 64))
}

/// What the last engine left open.
#[derive(Debug, Default)]
pub(super) struct LeftOver {
    /// Rows that go out again although they may have been sent, with the time of their first attempt: the `Date` and lifetime of
    /// those that are read from the input stay.
    pub(super) again: BTreeMap<u64, Timestamp>,
    /// How many rows were in doubt.
    pub(super) in_doubt: usize,
    /// Rows of the backlog have turns below this.
    pub(super) horizon: u64,
}

/// Backlog rows looked at together.
const CHUNK: usize = 1000;

/// What a lease that its engine left behind says of its row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Nothing of it was sent.
    NotSent,
    /// It is to go out again.
    Again,
    /// It may have been sent.
    Doubt(&'static str),
}

/// While the system runs on, what a dead process wrote is still there: a message without `started` mark was not sent. After
/// power loss only what was synced is, and every leased row may have been sent.
fn says(lease: &Lease, boot: [u8; 16]) -> Says {
    match lease.hold {
        Hold::Again => Says::Again,
        _ if lease.boot != boot => Says::Doubt("power_lost"),
        Hold::Started => Says::Doubt("engine_died"),
        Hold::Leased => Says::NotSent,
    }
}

/// Settles what the leases of a run say: rows in doubt are recorded so (`hold`), or go out again under the same Message-ID
/// (`resend`).
pub(super) fn take_up(store: &Store, run: RunId, key: &DataKey, resend: bool) -> Result<LeftOver, Error> {
    let mut left = LeftOver { horizon: store.turns(0), ..LeftOver::default() };
    let (mut not_sent, mut doubt) = (Vec::new(), BTreeMap::new());
    for lease in store.leases(run)? {
        match says(&lease, store.boot()) {
            Says::NotSent => {
                if lease.doubted {
                    left.again.insert(lease.ordinal, lease.first);
                }
                not_sent.push(lease);
            }
            Says::Again => drop(left.again.insert(lease.ordinal, lease.first)),
            Says::Doubt(why) => drop(doubt.insert(lease.ordinal, Doubted { why, lease })),
        }
    }
    store.forget_leases(run, not_sent.into_iter())?;
    left.in_doubt = doubt.len();
    if resend {
        let again: Vec<_> = doubt.into_iter().map(|(ordinal, doubted)| (ordinal, doubted.lease.first)).collect();
        store.lease_again(run, &again)?;
        left.again.extend(again);
    } else if !doubt.is_empty() {
        hold(store, run, key, &doubt)?;
    }
    Ok(left)
}

/// Rows that were to be sent again, now or when their time comes, are in doubt again: they will not be sent.
pub(super) fn doubt_again(store: &Store, run: RunId, key: &DataKey) -> Result<(), Error> {
    let again = store.leases(run)?.into_iter().filter(|lease| lease.hold == Hold::Again);
    let doubted = |lease: Lease| (lease.ordinal, Doubted { why: "not_sent_again", lease });
    let again: BTreeMap<_, _> = again.map(doubted).collect();
    if again.is_empty() {
        return Ok(());
    }
    hold(store, run, key, &again)
}

/// Records every row of the store that has not ended as in doubt: the original of a copied state directory may have sent it.
pub(super) fn doubt_all(store: &Store, run: RunId, key: &DataKey, now: Timestamp) -> Result<(), Error> {
    let mut deferred = BTreeSet::new();
    store.ordinals(Family::Deferred, run, |ordinal| _ = deferred.insert(ordinal))?;
    // One that was deferred since has been sent again: the original may have done so once more.
    let waits = |lease: &Lease| lease.hold == Hold::Again && !deferred.contains(&lease.ordinal);
    let again: Vec<_> = store.leases(run)?.into_iter().filter(waits).collect();
    let mut open = BTreeSet::new();
    for family in [Family::Deferred, Family::Backlog, Family::Lease] {
        store.ordinals(family, run, |ordinal| {
            open.insert(ordinal);
        })?;
    }
    // A person wants these sent again, whatever the original did.
    for lease in &again {
        open.remove(&lease.ordinal);
    }
    doubt_rows(store, run, key, open.into_iter(), now)?;
    store.clear(run)?;
    store.lease_again(run, &again.into_iter().map(|lease| (lease.ordinal, lease.first)).collect::<Vec<_>>())
}

/// Records every row up to `read` that has not ended as in doubt.
pub(super) fn doubt_rest(store: &Store, run: RunId, key: &DataKey, read: u64, now: Timestamp) -> Result<(), Error> {
    let ended = known(store, run, &[Family::Outcome, Family::Lease])?;
    doubt_rows(store, run, key, (1..=read).filter(|ordinal| !ended.contains(*ordinal)), now)
}

fn doubt_rows(
    store: &Store,
    run: RunId,
    key: &DataKey,
    rows: impl Iterator<Item = u64>,
    now: Timestamp,
) -> Result<(), Error> {
    let doubt: Vec<_> = rows.map(|row| (row, Outcome::new(Kind::InDoubt, now, 1, "state_copied"))).collect();
    doubt.chunks(CHUNK).try_for_each(|rows| store.put_outcomes(run, rows, key))
}

/// A row in doubt, and the lease that says so.
struct Doubted {
    why: &'static str,
    lease: Lease,
}

/// Records rows as in doubt, wherever they stood.
fn hold(store: &Store, run: RunId, key: &DataKey, doubt: &BTreeMap<u64, Doubted>) -> Result<(), Error> {
    let outcome = |doubted: &Doubted, attempts| {
        // Whoever searches the receiver's log wants the time of the message, not of our coming back.
        let since = doubted.lease.started.unwrap_or(doubted.lease.first);
        let outcome = Outcome::new(Kind::InDoubt, since, attempts + 1, doubted.why);
        Outcome { doubted: doubted.lease.doubted, ..outcome }
    };
    let mut fresh: BTreeMap<u64, Outcome> =
        doubt.iter().map(|(ordinal, doubted)| (*ordinal, outcome(doubted, 0))).collect();
    backlog(store, run, key, |row| {
        if let Some(doubted) = doubt.get(&row.ordinal) {
            fresh.remove(&row.ordinal);
            store.settle(run, &row, &Change::Ended(&outcome(doubted, row.attempts)), key)?;
        }
        Ok(())
    })?;
    store.put_outcomes(run, &fresh.into_iter().collect::<Vec<_>>(), key)
}

/// Every row of the backlog.
fn backlog(
    store: &Store,
    run: RunId,
    key: &DataKey,
    mut each: impl FnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let rows = store.backlog_from(run, after, CHUNK, key)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.origin.place();
        for row in rows {
            each(row)?;
        }
    }
}

/// The rows that stand in `families`.
pub(super) fn known(store: &Store, run: RunId, families: &[Family]) -> Result<Known, Error> {
    let mut known = Known::default();
    for family in families {
        store.ordinals(*family, run, |ordinal| known.insert(ordinal))?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_says_what_its_boot_allows() {
        let lease = |hold, boot| Lease {
            ordinal: 1,
            hold,
            boot: [boot; 16],
            first: Timestamp(0),
            started: None,
            doubted: false,
        };
        let said = |hold, boot| says(&lease(hold, boot), [1; 16]);
        assert!(said(Hold::Leased, 1) == Says::NotSent && said(Hold::Leased, 2) == Says::Doubt("power_lost"));
        assert!(said(Hold::Started, 1) == Says::Doubt("engine_died"));
        assert!(said(Hold::Started, 2) == Says::Doubt("power_lost"));
        assert!(said(Hold::Again, 1) == Says::Again && said(Hold::Again, 2) == Says::Again);
    }

    #[test]
    fn known_rows_are_bits() {
        let mut known = Known::default();
        [1, 64, 1000].into_iter().for_each(|ordinal| known.insert(ordinal));
        assert_eq!((0..2000).filter(|ordinal| known.contains(*ordinal)).collect::<Vec<_>>(), [1, 64, 1000]);
    }
}
