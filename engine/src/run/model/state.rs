//! Where every row stands, as plain values: what the model predicts and what the store is seen to hold.

use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, RunId};
use crate::secret::SentKey;
use crate::store::{Family, Hold, Reservation, Store, Tally};
use std::collections::{BTreeMap, BTreeSet};

/// Both runs of the campaign.
pub(super) const RUNS: [RunId; 2] = [RunId(0x0a), RunId(0x0b)];

/// The one place where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Not read, or waiting in memory.
    Nowhere,
    Backlog,
    Deferred(Timestamp),
    Ended(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) at: At,
    pub(super) lease: Option<(Hold, [u8; 16])>,
    /// An attempt before the last was in doubt.
    pub(super) doubted: bool,
}

pub(super) const UNREAD: Stand = Stand { at: At::Nowhere, lease: None, doubted: false };

/// A run as a whole. Rows that stand nowhere and have no lease are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunState {
    pub(super) rows: BTreeMap<u64, Stand>,
    pub(super) read: u64,
    pub(super) finished: bool,
    pub(super) cancelled: bool,
}

/// All that the store says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) runs: [RunState; 2],
    /// By number of the key.
    pub(super) keys: BTreeMap<u8, Reservation>,
}

impl RunState {
    /// Whether its cancellation was begun and not brought to its end.
    pub(super) fn is_half_cancelled(&self) -> bool {
        self.cancelled && !self.finished
    }

    pub(super) fn row(&self, ordinal: u64) -> Stand {
        self.rows.get(&ordinal).copied().unwrap_or(UNREAD)
    }

    pub(super) fn set(&mut self, ordinal: u64, stand: Stand) {
        if stand == UNREAD {
            self.rows.remove(&ordinal);
        } else {
            self.rows.insert(ordinal, stand);
        }
    }

    pub(super) fn end(&mut self, ordinal: u64, kind: Kind) {
        self.set(ordinal, Stand { at: At::Ended(kind), lease: None, ..self.row(ordinal) });
    }

    pub(super) fn lease(&mut self, ordinal: u64, hold: Hold, boot: [u8; 16]) {
        let stand = self.row(ordinal);
        let doubted = stand.doubted || hold == Hold::Again;
        self.set(ordinal, Stand { lease: Some((hold, boot)), doubted, ..stand });
    }

    /// It was not sent, or is to be sent later: only a row that was in doubt keeps an entry.
    pub(super) fn take_back(&mut self, ordinal: u64, boot: [u8; 16]) {
        let stand = self.row(ordinal);
        self.set(ordinal, Stand { lease: stand.doubted.then_some((Hold::Again, boot)), ..stand });
    }

    pub(super) fn ordinals(&self, which: impl Fn(&Stand) -> bool) -> Vec<u64> {
        self.rows.iter().filter(|(_, stand)| which(stand)).map(|(ordinal, _)| *ordinal).collect()
    }

    /// The rows that are due at `now`, the longest due first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<u64> {
        let due = |(ordinal, stand): (&u64, &Stand)| match stand.at {
            At::Deferred(due) if due <= now => Some((due, *ordinal)),
            _ => None,
        };
        let mut due: Vec<_> = self.rows.iter().filter_map(due).collect();
        due.sort();
        due.into_iter().map(|(_, ordinal)| ordinal).collect()
    }

    /// When the first deferred row is due.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        let due = |stand: &Stand| if let At::Deferred(due) = stand.at { Some(due) } else { None };
        self.rows.values().filter_map(due).min()
    }

    /// What the leases of a dead engine make of its rows: the table of `store`'s module doc.
    pub(super) fn recover(&mut self, boot: [u8; 16], resend: bool) {
        for (ordinal, stand) in self.rows.clone() {
            let Some((hold, of)) = stand.lease else { continue };
            let doubt = hold == Hold::Started || (hold == Hold::Leased && of != boot);
            match (hold, doubt, resend) {
                (Hold::Again, ..) => {}
                (_, false, _) => self.take_back(ordinal, boot),
                (_, true, false) => self.end(ordinal, Kind::InDoubt),
                (_, true, true) => self.lease(ordinal, Hold::Again, boot),
            }
        }
    }

    /// Every row that was read and has not ended is cancelled, but for those that may have been sent, also those that were to
    /// be sent again.
    pub(super) fn cancel(&mut self, boot: [u8; 16]) {
        self.recover(boot, false);
        for ordinal in self.ordinals(|stand| matches!(stand.lease, Some((Hold::Again, _)))) {
            self.end(ordinal, Kind::InDoubt);
        }
        for ordinal in 1..=self.read {
            if !matches!(self.row(ordinal).at, At::Ended(_)) {
                self.end(ordinal, Kind::Cancelled);
            }
        }
        (self.finished, self.cancelled) = (true, true);
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally { read: self.read, ..Tally::default() };
        for stand in self.rows.values() {
            match stand.at {
                At::Ended(kind) => *tally.ended.entry(kind).or_default() += 1,
                At::Deferred(_) => tally.deferred += 1,
                At::Nowhere | At::Backlog => {}
            }
        }
        tally.waiting = self.read - tally.ended() - tally.deferred;
        tally
    }
}

/// Reads everything off the store; a row that stands in two places is an error.
pub(super) fn observe(store: &Store, keys: &[SentKey]) -> Result<State, String> {
    let mut state = State::default();
    for (run, id) in state.runs.iter_mut().zip(RUNS) {
        *run = observe_run(store, id)?;
    }
    let found = store.reservations(keys).map_err(|error| error.to_string())?;
    state.keys = (0..).zip(found).filter_map(|(number, found)| Some((number, found?))).collect();
    Ok(state)
}

fn observe_run(store: &Store, id: RunId) -> Result<RunState, String> {
    let text = |error: crate::store::Error| error.to_string();
    let (mut places, mut dues, mut due_rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut doubted = BTreeSet::new();
    let ended = |ordinal, outcome: Outcome| {
        places.push((ordinal, At::Ended(outcome.kind)));
        doubted.extend(outcome.doubted.then_some(ordinal));
    };
    store.scan_outcomes(id, None, ended).map_err(text)?;
    store.ordinals(Family::Backlog, id, |ordinal| places.push((ordinal, At::Backlog))).map_err(text)?;
    store.ordinals(Family::Deferred, id, |ordinal| due_rows.push(ordinal)).map_err(text)?;
    store.scan_deferred(id, |due, _| dues.push(At::Deferred(due))).map_err(text)?;
    places.extend(due_rows.into_iter().zip(dues));
    let mut run = RunState::default();
    if let Some(manifest) = store.manifest(id).map_err(text)? {
        run.read = manifest.read;
        (run.finished, run.cancelled) = (manifest.finished.is_some(), manifest.cancelled.is_some());
    }
    let half = run.is_half_cancelled();
    for (ordinal, at) in places {
        // Until a cancelled run is cleared its rows are where they were, besides.
        if half && matches!(run.row(ordinal).at, At::Ended(_)) {
            continue;
        }
        let stand = Stand { at, lease: None, doubted: doubted.contains(&ordinal) };
        if let Some(other) = run.rows.insert(ordinal, stand) {
            return Err(format!("row {ordinal} of {id} stands in two places: {:?} and {at:?}", other.at));
        }
    }
    for lease in store.leases(id).map_err(text)? {
        run.lease(lease.ordinal, lease.hold, lease.boot);
        if let Some(stand) = run.rows.get_mut(&lease.ordinal) {
            stand.doubted = lease.doubted;
        }
    }
    Ok(run)
}
