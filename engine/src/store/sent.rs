//! Keys that are taken: one message per key and campaign, over all runs.

use super::batch::Batch;
use super::codec::{VERSION, number};
use super::db::family;
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::RunId;
use crate::secret::SentKey;
use rocksdb::DBPinnableSlice;
use std::time::Duration;

/// Who has taken a key. Whether that still counts is read off the outcome of (run, ordinal): nothing is deleted here when a
/// row is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The run.
    pub run: RunId,
    /// Its row.
    pub ordinal: u64,
    /// When it was taken; older than the retention, it is free again.
    pub at: Timestamp,
    /// It was delivered before this row was sent to it all the same (`--again`): it stays taken, whatever becomes of the row.
    pub kept: bool,
}

impl Reservation {
    /// Whether the key is free again at `now`, because it was taken longer ago than `sent_kept`.
    pub fn is_expired(&self, now: Timestamp, sent_kept: Duration) -> bool {
        self.at.after(sent_kept) < now
    }
}

impl Store {
    /// Who has taken each of `keys`, in their order. Reservations older than the retention may be among them.
    ///
    /// # Errors
    /// The store can't be read, or an entry is damaged.
    pub fn reservations(&self, keys: &[SentKey]) -> Result<Vec<Option<Reservation>>, Error> {
        let octets: Vec<&[u8]> = keys.iter().map(|key| key.0.as_slice()).collect();
        let db = self.db()?;
        let found = db.batched_multi_get_cf(family(&db, Family::Sent), octets, false);
        let damaged = || Error::Damaged { family: "sent", run: RunId(0), ordinal: 0 };
        let read = |value: Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>| {
            let value = value.map_err(|cause| Error::reading(Family::Sent, &[], cause))?;
            value.map(|value| decode(&value).ok_or_else(damaged)).transpose()
        };
        found.into_iter().map(read).collect::<Result<_, _>>().map_err(|error| self.seen(error))
    }

    /// Takes keys, in one write. Not synced: the leases that are given on the strength of it are, and the WAL is ordered.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn reserve(&self, taken: &[(SentKey, Reservation)]) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (key, reservation) in taken {
            batch.put(Family::Sent, key.0, encode(reservation));
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, false) }
    }
}

fn encode(reservation: &Reservation) -> Vec<u8> {
    let Reservation { run, ordinal, at, kept } = reservation;
    [&[VERSION], &run.octets()[..], &ordinal.to_be_bytes(), &at.0.to_be_bytes(), &[u8::from(*kept)]].concat()
}

fn decode(value: &[u8]) -> Option<Reservation> {
    let rest = value.strip_prefix(&[VERSION])?;
    let (numbers, kept) = rest.split_at_checked(24)?;
    Some(Reservation {
        run: RunId(number(numbers, 0)?),
        ordinal: number(numbers, 1)?,
        at: Timestamp(number(numbers, 2)?),
        kept: match kept {
            [0] => false,
            [1] => true,
            _ => return None,
        },
    })
}

/// Whether RocksDB may drop this value. A damaged one stays, to be seen.
pub(super) fn expired(value: &[u8], now: Timestamp, sent_kept: Duration) -> bool {
    decode(value).is_some_and(|reservation| reservation.is_expired(now, sent_kept))
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::secret::IndexKey;
    use proptest::prelude::*;

    fn key(text: &str) -> SentKey {
        IndexKey::new(&[1; 32]).sent("eob", text)
    }

    proptest! {
        #[test]
        fn reservations_come_back(run: u64, ordinal: u64, at: u64, kept: bool) {
            let reservation = Reservation { run: RunId(run), ordinal, at: Timestamp(at), kept };
            prop_assert_eq!(decode(&encode(&reservation)), Some(reservation));
        }

        #[test]
        fn damaged_reservations_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&value);
        }
    }

    #[test]
    fn keys_are_found_in_the_order_asked_for_and_the_last_taker_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let taken = |run, ordinal| Reservation { run: RunId(run), ordinal, at: Timestamp(1), kept: false };
        store.reserve(&[(key("b"), taken(1, 2)), (key("a"), taken(1, 1))]).expect("reserved");
        store.reserve(&[(key("a"), taken(2, 9))]).expect("taken over");
        let found = store.reservations(&[key("c"), key("b"), key("a"), key("b")]).expect("readable");
        assert_eq!(found, [None, Some(taken(1, 2)), Some(taken(2, 9)), Some(taken(1, 2))]);
        assert!(store.reservations(&[]).expect("readable").is_empty());
    }

    #[test]
    fn old_reservations_vanish_and_young_ones_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let settings = Settings { sent_kept: Duration::from_secs(100), ..Settings::default() };
        let store = Store::open(folder.path(), &settings).expect("a store");
        let now = SystemClock.now();
        let taken = |age| Reservation { run: RunId(1), ordinal: 1, at: Timestamp(now.0 - age), kept: true };
        store.reserve(&[(key("old"), taken(200_000)), (key("young"), taken(10_000))]).expect("reserved");
        assert!(
            taken(200_000).is_expired(now, settings.sent_kept) && !taken(10_000).is_expired(now, settings.sent_kept)
        );
        let db = store.db().expect("open");
        db.compact_range_cf(family(&db, Family::Sent), None::<&[u8]>, None::<&[u8]>);
        let found = store.reservations(&[key("old"), key("young")]).expect("readable");
        assert_eq!(found, [None, Some(taken(10_000))]);
    }
}
