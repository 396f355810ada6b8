//! Crashes: the folder is copied while the store is open, the WAL cut, the store opened again.

use super::ops::{Long, Op, Says};
use super::state::{At, RunState, State, observe};
use super::world::{Done, Step, World, difference, open, scratch};
use crate::mail::Kind;
use crate::store::{WalEnd, copy_folder};
use std::path::Path;

impl World {
    /// The process dies, or the machine (`power`): what was done last may be cut short, and what was not synced is lost.
    pub(super) fn crash(&mut self, cut: u8, power: bool) -> Done {
        let end = WalEnd::of(self.folder.path());
        let last = self.steps.last();
        let least = match last {
            Some(last) if power => last.synced,
            Some(last) => last.from,
            None => end,
        };
        // What precedes the newest file is in tables.
        let least = if least.file == end.file { least.octets } else { 0 };
        // A process that dies takes nothing with it of what it had done.
        let least = if power || last.is_some_and(|last| last.from.file == end.file) { least } else { end.octets };
        let octets = least + (end.octets - least) * u64::from(cut) / 255;
        self.reopen(WalEnd { octets, ..end }, power)?;
        self.begin()
    }

    /// The process dies in the middle of something that takes several writes, unless it was done by then.
    pub(super) fn die_in(&mut self, what: Long, run: usize, writes: u8) -> Done {
        let folder = scratch();
        if what == Long::Resend {
            self.stop()?;
        }
        let steps = self.steps.len();
        self.store.copy_after(writes, folder.path());
        match what {
            Long::Cancel => self.apply(Op::Cancel { run })?,
            Long::Finish => self.apply(Op::Finish { run })?,
            Long::Resend => self.ask(run, Says::Resend)?,
        }
        self.store.copy_no_more();
        if folder.path().join("db").exists() {
            let Step { before, taken_up, after, .. } = self.steps.swap_remove(steps);
            self.take(folder, self.store.boot());
            (self.state, self.ghost) = before;
            let seen = observe(&self.store, &self.keys)?;
            self.agree(&seen, &[&taken_up, &after])?;
            self.steps.clear();
        }
        self.begin()
    }

    /// Goes on with the store in `folder`.
    fn take(&mut self, folder: tempfile::TempDir, boot: [u8; 16]) {
        self.lives = [None, None];
        self.store = open(folder.path(), boot);
        self.folder = folder;
    }

    fn reopen(&mut self, at: WalEnd, power: bool) -> Done {
        let mut boot = self.store.boot();
        if power {
            boot[0] = boot[0].wrapping_add(1);
        }
        // What was done last did not return, if it synced what is lost.
        let torn = !power || at < self.store.synced_to();
        let folder = scratch();
        copy_folder(self.folder.path(), folder.path());
        cut(folder.path(), at);
        self.take(folder, boot);
        let seen = observe(&self.store, &self.keys)?;
        self.settle_on(at, torn, &seen)?;
        self.steps.clear();
        let promised = self.ghost.promised.clone();
        let state = &self.state;
        // A lease that nobody said was on the disk may be gone, and with it the knowledge that its row was sent.
        let lost = |(run, ordinal): &(usize, u64)| {
            let stand = state.runs[*run].row(*ordinal);
            power && !promised.contains(&(*run, *ordinal)) && stand.lease.is_none() && !matches!(stand.at, At::Ended(_))
        };
        self.ghost.may_have.retain(|row| !lost(row));
        Ok(())
    }

    /// The model as it stood when the WAL ended at `at`.
    fn settle_on(&mut self, at: WalEnd, torn: bool, seen: &State) -> Done {
        let Some(next) = self.steps.iter().position(|step| step.to > at) else {
            return self.agree(seen, &[]);
        };
        let last = self.steps.last().map(|step| step.before.1.clone()).unwrap_or_default();
        let step = self.steps.swap_remove(next);
        if torn {
            // It never returned: it promised nothing, and nothing came of it.
            self.ghost = last;
        }
        self.state = step.before.0;
        if matches!(step.op, Some(Op::Person { .. })) {
            let settled =
                |(run, ordinal): &(usize, u64)| seen.runs[*run].row(*ordinal).at == At::Ended(Kind::Cancelled);
            self.ghost.may_have.retain(|row| !settled(row));
        }
        let later = [&step.taken_up, &step.after];
        self.agree(seen, if step.from < at { &later } else { &[] })
    }

    /// Where a step was cut short, each row stands as before it or as at one of the `later` states of it.
    fn agree(&mut self, seen: &State, later: &[&State]) -> Done {
        let mut expected = self.state.clone();
        for after in later {
            for (index, run) in expected.runs.iter_mut().enumerate() {
                either(run, &after.runs[index], &seen.runs[index]);
            }
            for (number, found) in &seen.keys {
                if after.keys.get(number) == Some(found) {
                    expected.keys.insert(*number, *found);
                }
            }
        }
        self.state = expected;
        if *seen == self.state { Ok(()) } else { Err(difference(seen, &self.state)) }
    }
}

fn either(before: &mut RunState, after: &RunState, seen: &RunState) {
    for ordinal in 1..=super::rig::ROWS {
        if seen.row(ordinal) == after.row(ordinal) {
            before.set(ordinal, after.row(ordinal));
        }
    }
    if seen.read == after.read {
        before.read = after.read;
    }
    if seen.finished == after.finished {
        before.finished = after.finished;
    }
    if seen.cancelled == after.cancelled {
        before.cancelled = after.cancelled;
    }
}

/// Takes the end of the WAL away.
fn cut(folder: &Path, at: WalEnd) {
    let newest = folder.join(format!("db/{:06}.log", at.file));
    let file = std::fs::OpenOptions::new().write(true).open(newest).expect("the newest file of the WAL");
    file.set_len(at.octets).expect("cut");
}
