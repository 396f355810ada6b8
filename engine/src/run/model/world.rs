//! The store and the runs at work on it, beside the model that says what must be in them.

use super::live::Live;
use super::ops::{Case, KEYS, Op, Says};
use super::rig::{ROWS, Rig, key_text};
use super::state::{At, RUNS, State, observe};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::mail::Kind;
use crate::retry::Retry;
use crate::run::doubt;
use crate::run::{index_key, offline};
use crate::secret::SentKey;
use crate::smtp::Fate;
use crate::store::{Hold, Manifest, Settings, Store, Tally, WalEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) const RETRY: Retry = Retry { first: Duration::from_secs(300), longest: Duration::from_secs(4200) };
pub(super) const LIFETIME: Duration = Duration::from_secs(6 * 3600);
pub(super) const KEPT: Duration = Duration::from_secs(10 * 24 * 3600);

pub(super) type Done = Result<(), String>;

/// A row of a run, by the run's index.
pub(super) type Name = (usize, u64);

/// What happened out there, whatever the store says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ghost {
    /// Rows whose message somebody may have, and nobody has said that it may be sent again.
    pub(super) may_have: BTreeSet<Name>,
    /// Rows whose lease was promised to be on the disk.
    pub(super) promised: BTreeSet<Name>,
}

/// One thing done: where the WAL ended before and after, and how all stood.
pub(super) struct Step {
    pub(super) op: Option<Op>,
    pub(super) from: WalEnd,
    pub(super) to: WalEnd,
    pub(super) synced: WalEnd,
    pub(super) before: (State, Ghost),
    /// Once the leases of a dead engine were taken up, which is the first thing that some steps do.
    pub(super) taken_up: State,
    pub(super) after: State,
}

pub(super) struct World {
    pub(super) case: Case,
    pub(super) rig: Rig,
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Arc<Store>,
    pub(super) keys: Vec<SentKey>,
    pub(super) lives: [Option<Live>; 2],
    pub(super) state: State,
    pub(super) ghost: Ghost,
    pub(super) steps: Vec<Step>,
    /// Rows deferred by this step, with the bounds of their time.
    pub(super) loose: BTreeMap<Name, (Timestamp, Timestamp)>,
    pub(super) began: Timestamp,
}

impl World {
    pub(super) fn new(case: &Case) -> World {
        // Years ahead of the machine's clock, which is the one that RocksDB drops reservations by.
        let began = SystemClock.now().after(Duration::from_secs(1000 * 24 * 3600));
        let rig = Rig::new(began, &case.keys);
        let folder = scratch();
        std::fs::write(folder.path().join("lock"), "").expect("a lock");
        let store = open(folder.path(), [1; 16]);
        for run in RUNS {
            let manifest = Manifest::new("eob".into(), "eob.csv".into(), "f".into(), began);
            store.put_manifest(run, &manifest, true).expect("written");
        }
        let index = index_key(&store, &rig.master).expect("a key");
        let keys = (0..KEYS).map(|number| index.sent("eob", &key_text(number))).collect();
        let mut world = World {
            case: case.clone(),
            rig,
            folder,
            store,
            keys,
            lives: [None, None],
            state: State::default(),
            ghost: Ghost::default(),
            steps: Vec::new(),
            loose: BTreeMap::new(),
            began,
        };
        world.begin().expect("an empty store");
        world
    }

    /// Does one thing to the store and to the model, and compares them.
    pub(super) fn step(&mut self, op: Option<Op>, act: impl FnOnce(&mut World) -> Done) -> Done {
        let (from, synced) = (WalEnd::of(self.folder.path()), self.store.synced_to());
        let before = (self.state.clone(), self.ghost.clone());
        let mut taken_up = self.state.clone();
        if matches!(op, None | Some(Op::Person { .. } | Op::Cancel { .. })) {
            taken_up.runs.iter_mut().for_each(|run| run.recover(self.store.boot(), false));
        }
        self.loose.clear();
        act(self)?;
        let seen = observe(&self.store, &self.keys)?;
        self.adopt(&seen)?;
        if seen != self.state {
            return Err(difference(&seen, &self.state));
        }
        self.check()?;
        let (to, after) = (WalEnd::of(self.folder.path()), self.state.clone());
        self.steps.push(Step { op, from, to, synced, before, taken_up, after });
        Ok(())
    }

    /// What the model leaves open: when a deferred row is due, within bounds; which rows of a line are in the store.
    fn adopt(&mut self, seen: &State) -> Done {
        for (index, run) in seen.runs.iter().enumerate() {
            for (&ordinal, stand) in &run.rows {
                let mine = self.state.runs[index].row(ordinal);
                let queued = self.lives[index].as_ref().is_some_and(|live| live.is_queued(ordinal));
                match (mine.at, stand.at) {
                    (At::Nowhere, At::Backlog) if queued && mine.lease == stand.lease => {
                        self.state.runs[index].set(ordinal, *stand);
                    }
                    (At::Deferred(_), At::Deferred(due)) => {
                        let Some((least, most)) = self.loose.get(&(index, ordinal)) else { continue };
                        if due < *least || due > *most {
                            return Err(format!("row {ordinal} is due at {due:?}, not in {least:?}..={most:?}"));
                        }
                        self.state.runs[index].set(ordinal, *stand);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What holds at all times.
    fn check(&mut self) -> Done {
        let state = &self.state;
        let again =
            |(run, ordinal): &Name| state.runs[*run].row(*ordinal).lease.is_some_and(|(hold, _)| hold == Hold::Again);
        self.ghost.may_have.retain(|row| !again(row));
        for (run, ordinal) in &self.ghost.may_have {
            let stand = state.runs[*run].row(*ordinal);
            let known = matches!(stand.at, At::Ended(Kind::Delivered | Kind::InDoubt))
                || stand.lease.is_some_and(|(hold, _)| hold == Hold::Started);
            if !known {
                return Err(format!("row {ordinal} of run {run} may have been delivered, and stands as {stand:?}"));
            }
        }
        for (index, run) in state.runs.iter().enumerate() {
            let open = run.rows.iter().find(|(_, stand)| !matches!(stand.at, At::Ended(_)) || stand.lease.is_some());
            if let Some((ordinal, stand)) = open.filter(|_| run.finished) {
                return Err(format!("row {ordinal} stands as {stand:?} in run {index}, which is over"));
            }
            if let Some(live) = &self.lives[index] {
                live.check(run)?;
                live.check_order(&self.store)?;
            }
        }
        Ok(())
    }

    /// Begins every run that is not over, as an engine does that starts here.
    pub(super) fn begin(&mut self) -> Done {
        self.step(None, |world| {
            // What tells and what is told before anybody has taken the runs up.
            world.check_offline()?;
            let (now, boot) = (world.rig.now(), world.store.boot());
            offline::end_cancelled(&world.store, &world.rig.master, now).map_err(|error| error.to_string())?;
            world.state.runs.iter_mut().filter(|run| run.is_half_cancelled()).for_each(|run| run.cancel(boot));
            for index in 0..2 {
                if world.lives[index].is_none() && !world.state.runs[index].finished {
                    world.begin_run(index)?;
                }
            }
            Ok(())
        })
    }

    fn begin_run(&mut self, index: usize) -> Done {
        let (now, boot, resend) = (self.rig.now(), self.store.boot(), self.case.resend);
        let again = self.case.again && index == 1;
        let (live, in_doubt) = Live::begin(&self.rig, &self.store, index, resend, again);
        let state = &mut self.state.runs[index];
        let beyond = now.after(RETRY.furthest());
        for (ordinal, stand) in state.rows.clone() {
            if matches!(stand.at, At::Deferred(due) if due > beyond) {
                self.loose.insert((index, ordinal), (now, now.after(RETRY.first)));
            }
        }
        let may_have_gone = |(hold, of): (Hold, _)| hold == Hold::Started || (hold == Hold::Leased && of != boot);
        let expected = state.ordinals(|stand| stand.lease.is_some_and(may_have_gone)).len();
        state.recover(boot, resend);
        let goes_out = state.ordinals(|stand| matches!(stand.lease, Some((Hold::Again, _))));
        if in_doubt != expected || live.again.keys().copied().ne(goes_out.iter().copied()) {
            return Err(format!("{in_doubt} in doubt, should be {expected}; again: {:?} and {goes_out:?}", live.again));
        }
        let known = |ordinal: &u64| live.known.contains(*ordinal) != (state.row(*ordinal).at != At::Nowhere);
        if let Some(row) = (1..=ROWS).find(known) {
            return Err(format!("row {row} of run {index} is known or not against {:?}", state.row(row)));
        }
        self.lives[index] = Some(live);
        Ok(())
    }

    /// While nobody is at work: every row in doubt is listed, and the counts are those after recovery.
    fn check_offline(&self) -> Done {
        for (index, id) in RUNS.into_iter().enumerate().filter(|(index, _)| self.lives[*index].is_none()) {
            let mut then = self.state.runs[index].clone();
            if then.is_half_cancelled() {
                continue;
            }
            then.recover(self.store.boot(), false);
            let listed = doubt::list(&self.store, Some(id), |_| false, None).map_err(|error| error.to_string())?;
            let mut listed: Vec<_> = listed.into_iter().map(|doubt| doubt.row).collect();
            listed.sort_unstable();
            let expected = then.ordinals(|stand| stand.at == At::Ended(Kind::InDoubt));
            if listed != expected {
                return Err(format!("in doubt are listed {listed:?} of run {index}, should be {expected:?}"));
            }
            let manifest = self.store.manifest(id).ok().flatten().ok_or("no manifest")?;
            let tally = Tally::of(&self.store, id, &manifest, false).map_err(|error| error.to_string())?;
            let parts = tally.ended() + tally.deferred + tally.waiting;
            if tally.read != parts || tally != then.tally() {
                return Err(format!("run {index} at rest counts {tally:?}, should be {:?}", then.tally()));
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, op: Op) -> Done {
        match op {
            Op::Die { cut } => self.crash(cut, false),
            Op::PowerLoss { cut } => self.crash(cut, true),
            Op::DieIn { what, run, writes } => self.die_in(what, run, writes),
            Op::Stop => {
                self.stop()?;
                self.begin()
            }
            Op::Person { run, says } => {
                self.stop()?;
                self.ask(run, says)?;
                self.begin()
            }
            Op::Clock { seconds } => {
                let clock = &self.rig.clock.0;
                let now = clock.load(Ordering::SeqCst);
                clock.store(now.saturating_add_signed(seconds * 1000), Ordering::SeqCst);
                Ok(())
            }
            _ => self.step(Some(op), |world| world.work(op)),
        }
    }

    pub(super) fn ask(&mut self, run: usize, says: Says) -> Done {
        self.step(Some(Op::Person { run, says }), |world| world.person(run, says))
    }
}

impl Case {
    pub(super) fn key(&self, index: usize, ordinal: u64) -> u8 {
        self.keys[index * ROWS as usize + ordinal as usize - 1]
    }
}

/// In memory: syncs cost nothing there, and crashes are ours to make.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

pub(super) fn open(folder: &Path, boot: [u8; 16]) -> Arc<Store> {
    let settings = Settings { sent_kept: KEPT, ..Settings::default() };
    let store = Store::open_in_boot(folder, &settings, boot).expect("a store");
    store.adopt(folder).expect("its standing");
    Arc::new(store)
}

pub(super) fn difference(seen: &State, expected: &State) -> String {
    let mut text = String::new();
    for index in 0..2 {
        for ordinal in 1..=ROWS {
            let (found, should) = (seen.runs[index].row(ordinal), expected.runs[index].row(ordinal));
            if found != should {
                text += &format!("row {ordinal} of run {index} stands as {found:?}, should be {should:?}\n");
            }
        }
        let whole = |run: &super::state::RunState| (run.read, run.finished, run.cancelled);
        let (found, should) = (whole(&seen.runs[index]), whole(&expected.runs[index]));
        if found != should {
            text += &format!("run {index} (read, finished, cancelled) is {found:?}, should be {should:?}\n");
        }
    }
    if seen.keys != expected.keys {
        text += &format!("keys are {:?}, should be {:?}\n", seen.keys, expected.keys);
    }
    text
}

impl World {
    /// All goes well from now on: every row ends, and the runs with it.
    pub(super) fn send_all(&mut self) -> Done {
        for _ in 0..40 {
            for run in 0..2 {
                while self.lives[run].as_ref().is_some_and(|live| !live.is_read()) {
                    self.apply(Op::Read { run })?;
                }
                self.apply(Op::TakeDue { run, most: 100 })?;
            }
            self.apply(Op::Lease { most: 40, synced: true })?;
            while self.pick(0, |_| true).is_some() {
                self.apply(Op::Start { pick: 0 })?;
                self.apply(Op::Settle { pick: 0, fate: Fate::Delivered })?;
            }
            if self.lives.iter().flatten().all(|live| live.is_read() && live.run.settle.is_at_rest()) {
                return self.check_ended();
            }
            self.apply(Op::Clock { seconds: 3600 })?;
        }
        Err("there is no end of it".into())
    }

    fn check_ended(&self) -> Done {
        for (index, live) in self.lives.iter().enumerate() {
            let state = &self.state.runs[index];
            let last = if live.is_some() { ROWS } else { state.read };
            let open =
                |ordinal: &u64| !matches!(state.row(*ordinal).at, At::Ended(_)) || state.row(*ordinal).lease.is_some();
            if let Some(ordinal) = (1..=last).find(open) {
                return Err(format!("row {ordinal} of run {index} is lost: it stands as {:?}", state.row(ordinal)));
            }
        }
        Ok(())
    }
}
