//! Leave to send: which rows may be on a wire.

use super::batch::Batch;
use super::codec::{self, VERSION, number};
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::RunId;

/// How far a leased row has come.
///
/// Leased → Started when the last octets of its message are about to be handed to the socket; either is removed with its
/// outcome or deferral. Again → Leased when it is made ready. Started never becomes Leased: it might have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its message is made and may be sent.
    Leased,
    /// Its last octets may have left.
    Started,
    /// It was in doubt, and is to be sent again whatever became of it.
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
    /// Gives rows leave to be sent, in one write: run, ordinal and the time of the first attempt. `synced` waits for the disk,
    /// and with it for everything written before.
    ///
    /// # Errors
    /// The store can't be written; none of them may be sent then.
    pub fn lease(&self, rows: impl Iterator<Item = (RunId, u64, Timestamp)>, synced: bool) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (run, ordinal, first) in rows {
            let value = self.lease_value(Hold::Leased, first, None);
            batch.put(Family::Lease, codec::key(run, &[ordinal]), value);
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, synced) }
    }

    /// Marks that the last octets of this row's message are about to be handed to the socket. Not synced: its lease is.
    ///
    /// # Errors
    /// The store can't be written; the message must not be sent then.
    pub fn start(&self, run: RunId, ordinal: u64, first: Timestamp, now: Timestamp) -> Result<(), Error> {
        let value = self.lease_value(Hold::Started, first, Some(now));
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
            let value = self.lease_value(Hold::Again, *first, None);
            batch.put(Family::Lease, codec::key(run, &[*ordinal]), value);
            batch.delete(Family::Outcome, codec::key(run, &[*ordinal]));
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, true) }
    }

    /// Takes leave back from rows that were not started.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn forget_leases(&self, run: RunId, ordinals: impl Iterator<Item = u64>) -> Result<(), Error> {
        let mut batch = Batch::default();
        ordinals.for_each(|ordinal| batch.delete(Family::Lease, codec::key(run, &[ordinal])));
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

    fn lease_value(&self, hold: Hold, first: Timestamp, started: Option<Timestamp>) -> Vec<u8> {
        encode(&Lease { ordinal: 0, hold, boot: self.boot, first, started })
    }
}

fn encode(lease: &Lease) -> Vec<u8> {
    let hold = match lease.hold {
        Hold::Leased => 1,
        Hold::Started => 2,
        Hold::Again => 3,
    };
    let mut value = [&[VERSION, hold], &lease.boot[..], &lease.first.0.to_be_bytes()].concat();
    value.extend(lease.started.into_iter().flat_map(|started| started.0.to_be_bytes()));
    value
}

fn decode(ordinal: u64, value: &[u8]) -> Option<Lease> {
    let (hold, rest) = value.strip_prefix(&[VERSION])?.split_first()?;
    let hold = match hold {
        1 => Hold::Leased,
        2 => Hold::Started,
        3 => Hold::Again,
        _ => return None,
    };
    let (boot, times) = rest.split_first_chunk()?;
    let first = Timestamp(number(times, 0)?);
    Some(Lease { ordinal, hold, boot: *boot, first, started: number(times, 1).map(Timestamp) })
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, Settings, Tally};
    use super::*;
    use crate::mail::{Kind, Outcome};
    use crate::secret::DataKey;
    use proptest::prelude::*;

    const RUN: RunId = RunId(7);

    proptest! {
        #[test]
        fn leases_come_back(ordinal: u64, hold in 0_usize..3, boot: [u8; 16], first: u64, started: Option<u64>) {
            let hold = [Hold::Leased, Hold::Started, Hold::Again][hold];
            let lease = Lease { ordinal, hold, boot, first: Timestamp(first), started: started.map(Timestamp) };
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
        store.lease([1, 2, 3].into_iter().map(|ordinal| (RUN, ordinal, first)), true).expect("leased");
        store.start(RUN, 2, first, Timestamp(9)).expect("started");
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
        store.forget_leases(RUN, [1, 3].into_iter()).expect("forgotten");
        assert_eq!(store.leases(RUN).expect("leases").len(), 2);
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
