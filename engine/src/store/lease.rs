//! Leave to send: which rows may be on a wire.

use super::batch::Batch;
use super::codec::{self, VERSION, flagged, number, unflagged};
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::{Row, RunId};

/// How far a leased row has come.
///
/// Leased → Started when the last octets of its message are about to be handed to the socket; either is removed with its
/// outcome or deferral. Again → Leased when it is made ready. Started never becomes Leased: it might have been sent. A row
/// that was in doubt once never loses its entry before its outcome: instead of being removed it becomes Again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its message is made and may be sent.
    Leased,
    /// Its last octets may have left.
    Started,
    /// It was in doubt, and is to be sent again whatever became of it: now, or when its time comes.
    Again,
}

/// An entry of `lease`: a row without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The row.
    pub ordinal: u64,
    /// How far it has come.
    pub hold: Hold,
    /// The kernel's name for the boot in which this was written.
    pub boot: [u8; 16],
    /// When its first attempt was made: its message's `Date`.
    pub first: Timestamp,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// Whether an earlier attempt was in doubt; of Again always.
    pub doubted: bool,
}

/// A row that is given leave.
#[derive(Clone, Copy, Debug)]
pub struct Leave {
    /// Its run.
    pub run: RunId,
    /// The row.
    pub ordinal: u64,
    /// When its first attempt was made.
    pub first: Timestamp,
    /// Whether an earlier attempt was in doubt.
    pub doubted: bool,
}

impl Leave {
    /// Leave for `row`; `now` is when its first attempt is made, if it had none.
    pub fn of(run: RunId, row: &Row, now: Timestamp) -> Leave {
        Leave { run, ordinal: row.ordinal, first: row.first_attempt.unwrap_or(now), doubted: row.doubted }
    }
}

impl Lease {
    /// Whether the row may have been sent, seen in boot `now` when nobody is at work on it. A leased row may after power loss,
    /// since `started` is not synced.
    pub fn is_doubtful(&self, now: [u8; 16]) -> bool {
        match self.hold {
            Hold::Started => true,
            Hold::Leased => self.boot != now,
            Hold::Again => false,
        }
    }
}

impl Store {
    /// Gives rows leave to be sent, in one write. `synced` waits for the disk, and with it for everything written before.
    ///
    /// # Errors
    /// The store can't be written; none of them may be sent then.
    pub fn lease(&self, rows: impl Iterator<Item = Leave>, synced: bool) -> Result<(), Error> {
        let mut batch = Batch::default();
        for Leave { run, ordinal, first, doubted } in rows {
            let value = self.lease_value(Hold::Leased, first, None, doubted);
            batch.put(Family::Lease, codec::key(run, &[ordinal]), value);
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, synced) }
    }

    /// Marks that the last octets of this row's message are about to be handed to the socket. Not synced: its lease is.
    ///
    /// # Errors
    /// The store can't be written; the message must not be sent then.
    pub fn start(&self, row: &Leave, now: Timestamp) -> Result<(), Error> {
        let &Leave { run, ordinal, first, doubted } = row;
        let value = self.lease_value(Hold::Started, first, Some(now), doubted);
        self.write(&Batch::of(Family::Lease, codec::key(run, &[ordinal]), value), false)
    }

    /// Gives rows leave to be sent although they may have been: each with the time of its first attempt. An outcome that said
    /// so is removed in the same write, which is synced.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn lease_again(&self, run: RunId, rows: &[(u64, Timestamp)]) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (ordinal, first) in rows {
            batch.put(Family::Lease, codec::key(run, &[*ordinal]), self.again_value(*first));
            batch.delete(Family::Outcome, codec::key(run, &[*ordinal]));
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, true) }
    }

    /// Takes leave back from rows that were not started. Those that were in doubt before are to be sent again, as they were.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn forget_leases(&self, run: RunId, leases: impl Iterator<Item = Lease>) -> Result<(), Error> {
        let mut batch = Batch::default();
        for Lease { ordinal, first, doubted, .. } in leases {
            let key = codec::key(run, &[ordinal]);
            if doubted {
                batch.put(Family::Lease, key, self.again_value(first));
            } else {
                batch.delete(Family::Lease, key);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, false) }
    }

    /// The rows of `run` that have leave and no outcome, by ordinal.
    ///
    /// # Errors
    /// The store can't be read, or an entry is damaged.
    pub fn leases(&self, run: RunId) -> Result<Vec<Lease>, Error> {
        let mut leases = Vec::new();
        self.scan(Family::Lease, run, |key, value| {
            let ordinal = number(key, 1).unwrap_or(0);
            leases.push(decode(ordinal, value).ok_or(Error::Damaged { family: "lease", run, ordinal })?);
            Ok(true)
        })?;
        Ok(leases)
    }

    /// The entry of a row that is to be sent again.
    pub(super) fn again_value(&self, first: Timestamp) -> Vec<u8> {
        self.lease_value(Hold::Again, first, None, true)
    }

    fn lease_value(&self, hold: Hold, first: Timestamp, started: Option<Timestamp>, doubted: bool) -> Vec<u8> {
        encode(&Lease { ordinal: 0, hold, boot: self.boot, first, started, doubted })
    }
}

fn encode(lease: &Lease) -> Vec<u8> {
    let hold = match lease.hold {
        Hold::Leased => 1,
        Hold::Started => 2,
        Hold::Again => 3,
    };
    // *Again* says it by itself, as it did before there was a flag.
    let hold = flagged(hold, lease.doubted && lease.hold != Hold::Again);
    let mut value = [&[VERSION, hold], &lease.boot[..], &lease.first.0.to_be_bytes()].concat();
    value.extend(lease.started.into_iter().flat_map(|started| started.0.to_be_bytes()));
    value
}

fn decode(ordinal: u64, value: &[u8]) -> Option<Lease> {
    let (octet, rest) = value.strip_prefix(&[VERSION])?.split_first()?;
    let (hold, doubted) = unflagged(*octet);
    let hold = match hold {
        1 => Hold::Leased,
        2 => Hold::Started,
        3 => Hold::Again,
        _ => return None,
    };
    let (boot, times) = rest.split_first_chunk()?;
    let (first, started) = (Timestamp(number(times, 0)?), number(times, 1).map(Timestamp));
    Some(Lease { ordinal, hold, boot: *boot, first, started, doubted: doubted || hold == Hold::Again })
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Manifest, Settings, Tally};
    use super::*;
    use crate::mail::{Kind, Outcome};
    use crate::secret::DataKey;
    use proptest::prelude::*;

    const RUN: RunId = RunId(7);

    proptest! {
        #[test]
        fn leases_come_back(
            ordinal: u64, hold in 0_usize..3, boot: [u8; 16], first: u64, started: Option<u64>, doubted: bool
        ) {
            let hold = [Hold::Leased, Hold::Started, Hold::Again][hold];
            let (first, started, doubted) = (Timestamp(first), started.map(Timestamp), doubted || hold == Hold::Again);
            let lease = Lease { ordinal, hold, boot, first, started, doubted };
            prop_assert_eq!(decode(ordinal, &encode(&lease)), Some(lease));
        }

        #[test]
        fn damaged_leases_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(1, &value);
        }
    }

    #[test]
    fn what_is_in_doubt_depends_on_the_boot() {
        let folder = tempfile::tempdir().expect("folder");
        let mut store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let first = Timestamp(5);
        let leave = |ordinal| Leave { run: RUN, ordinal, first, doubted: false };
        store.lease([1, 2, 3].into_iter().map(leave), true).expect("leased");
        store.start(&leave(2), Timestamp(9)).expect("started");
        store.lease_again(RUN, &[(4, first)]).expect("again");
        let doubtful = |store: &Store| {
            let leases = store.leases(RUN).expect("leases").into_iter();
            leases.filter(|lease| lease.is_doubtful(store.boot())).map(|lease| lease.ordinal).collect::<Vec<_>>()
        };
        let tally = |store: &Store, live| {
            let manifest = Manifest { read: 6, ..Manifest::new("c".into(), "i".into(), "f".into(), Timestamp(1)) };
            let tally = Tally::of(store, RUN, &manifest, live).expect("readable");
            (tally.count(Kind::InDoubt), tally.waiting)
        };
        assert_eq!(doubtful(&store), [2], "the process died");
        assert_eq!([tally(&store, false), tally(&store, true)], [(1, 5), (0, 6)]);
        store.boot = [1; 16];
        assert_eq!(doubtful(&store), [1, 2, 3], "the machine died");
        assert_eq!(tally(&store, false), (3, 3));
        assert_eq!(store.leases(RUN).expect("leases")[1].started, Some(Timestamp(9)));
        let leased = |lease: &Lease| lease.hold == Hold::Leased;
        store.forget_leases(RUN, store.leases(RUN).expect("leases").into_iter().filter(leased)).expect("forgotten");
        assert_eq!(store.leases(RUN).expect("leases").len(), 2);
    }

    #[test]
    fn a_row_that_was_in_doubt_stays_known_as_such_until_it_ends() {
        let folder = tempfile::tempdir().expect("folder");
        let (store, key) = (Store::open(folder.path(), &Settings::default()).expect("a store"), DataKey::new(&[1; 32]));
        let holds =
            || store.leases(RUN).expect("leases").iter().map(|lease| (lease.hold, lease.doubted)).collect::<Vec<_>>();
        let mut row = Row {
            ordinal: 4,
            to: crate::mail::Address::parse("ann@b.example").expect("an address"),
            fields: crate::mail::Fields::default(),
            attempts: 1,
            first_attempt: Some(Timestamp(5)),
            doubted: true,
            origin: crate::mail::Origin::Input,
        };
        let leave = Leave::of(RUN, &row, Timestamp(9));
        store.lease([leave].into_iter(), true).expect("leased");
        assert_eq!(holds(), [(Hold::Leased, true)]);
        store.forget_leases(RUN, store.leases(RUN).expect("leases").into_iter()).expect("taken back");
        assert_eq!(holds(), [(Hold::Again, true)]);
        store.start(&leave, Timestamp(9)).expect("started");
        assert_eq!(holds(), [(Hold::Started, true)]);
        store.settle(RUN, &row, &Change::Deferred { due: Timestamp(10), why: "450" }, &key).expect("deferred");
        assert_eq!(holds(), [(Hold::Again, true)]);
        row = store.take_due(RUN, Timestamp(0), Timestamp(10), 1, &key).expect("due").0.remove(0);
        assert!(row.doubted && holds() == [(Hold::Again, true)]);
        let outcome = Outcome { doubted: row.doubted, ..Outcome::new(Kind::Bounced, Timestamp(11), 2, "") };
        store.settle(RUN, &row, &Change::Ended(&outcome), &key).expect("ended");
        assert!(holds().is_empty());
    }

    #[test]
    fn a_row_sent_again_has_no_outcome() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let outcome = Outcome::new(Kind::InDoubt, Timestamp(1), 1, "");
        store.put_outcomes(RUN, &[(4, outcome)], &DataKey::new(&[1; 32])).expect("written");
        store.lease_again(RUN, &[(4, Timestamp(1))]).expect("again");
        assert_eq!(store.outcome_kind(RUN, 4).expect("readable"), None);
        assert_eq!(store.leases(RUN).expect("leases")[0].hold, Hold::Again);
    }
}
