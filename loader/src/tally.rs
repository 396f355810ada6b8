//! The running digest of an input's raw octets.

use crate::Mark;
use aws_lc_rs::digest::{Context, SHA256};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// What a watched [`Mark`] turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The octets of the mark have not passed yet, or nothing is watched.
    NotYet,
    /// The input begins with the octets that the mark describes.
    Same,
    /// It does not, or it ended before.
    Differs,
}

/// The digest, shared between the readers that feed it and the input that is asked for it.
///
/// Until [`Tally::begin`] octets are held back: opening an input reads its header, and a mark may be watched after that.
#[derive(Clone)]
pub(crate) struct Tally(Arc<Mutex<Sum>>);

struct Sum {
    context: Context,
    octets: u64,
    watch: Option<Mark>,
    watched: Watched,
    held: Option<Vec<u8>>,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        let context = Context::new(&SHA256);
        Tally(Arc::new(Mutex::new(Sum {
            context,
            octets: 0,
            watch: None,
            watched: Watched::NotYet,
            held: Some(Vec::new()),
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Sum) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the next raw octets.
    pub(crate) fn take(&self, octets: &[u8]) {
        self.with(|sum| match &mut sum.held {
            Some(held) => held.extend_from_slice(octets),
            None => sum.take(octets),
        });
    }

    /// Reading starts: what was held back counts, and what comes counts at once.
    pub(crate) fn begin(&self) {
        self.with(|sum| {
            if let Some(held) = sum.held.take() {
                sum.take(&held);
            }
        });
    }

    /// The input has ended: a mark not reached never will be.
    pub(crate) fn end(&self) {
        self.with(|sum| {
            if sum.watch.take().is_some() {
                sum.watched = Watched::Differs;
            }
        });
    }

    pub(crate) fn watch(&self, mark: Mark) {
        self.with(|sum| {
            (sum.watch, sum.watched) = (Some(mark), Watched::NotYet);
            sum.compare();
        });
    }

    pub(crate) fn watched(&self) -> Watched {
        self.with(|sum| sum.watched)
    }

    pub(crate) fn mark(&self) -> Mark {
        self.with(|sum| {
            let mut context = sum.context.clone();
            let held = sum.held.as_deref().unwrap_or_default();
            context.update(held);
            Mark::new(sum.octets + held.len() as u64, context)
        })
    }
}

impl Sum {
    fn take(&mut self, mut octets: &[u8]) {
        if let Some(mark) = self.watch {
            let left = usize::try_from(mark.octets.saturating_sub(self.octets)).unwrap_or(usize::MAX);
            if left <= octets.len() {
                let (before, after) = octets.split_at(left);
                self.add(before);
                self.compare();
                octets = after;
            }
        }
        self.add(octets);
    }

    fn add(&mut self, octets: &[u8]) {
        self.context.update(octets);
        self.octets += octets.len() as u64;
    }

    /// Settles the watched mark if this is its place.
    fn compare(&mut self) {
        if let Some(mark) = self.watch.filter(|mark| mark.octets == self.octets) {
            let same = Mark::new(self.octets, self.context.clone()) == mark;
            (self.watch, self.watched) = (None, if same { Watched::Same } else { Watched::Differs });
        }
    }
}

/// A reader that shows the tally whatever passes.
pub(crate) struct Tee<R> {
    inner: R,
    tally: Tally,
}

impl<R: Read> Tee<R> {
    pub(crate) fn new(inner: R, tally: Tally) -> Self {
        Tee { inner, tally }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        self.tally.take(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark_of(octets: &[u8]) -> Mark {
        let tally = Tally::new();
        tally.take(octets);
        tally.mark()
    }

    #[test]
    fn a_mark_of_nothing_is_there_at_once() {
        let tally = Tally::new();
        assert_eq!(tally.watched(), Watched::NotYet);
        tally.watch(mark_of(b""));
        assert_eq!(tally.watched(), Watched::Same);
    }

    proptest! {
        /// However the octets are cut, before and after the begin, a mark inside them is found and another is not.
        #[test]
        fn a_mark_is_found_where_it_is(octets in proptest::collection::vec(any::<u8>(), 1..200),
                                       at in any::<prop::sample::Index>(), step in 1_usize..40, held in 0_usize..10) {
            let at = at.index(octets.len() + 1);
            let other = Mark { digest: [7; 32], ..mark_of(&octets[..at]) };
            for (mark, expected) in [(mark_of(&octets[..at]), Watched::Same), (other, Watched::Differs)] {
                let tally = Tally::new();
                for (turn, part) in octets.chunks(step).enumerate() {
                    if turn == held {
                        tally.watch(mark);
                        tally.begin();
                    }
                    tally.take(part);
                }
                if held >= octets.chunks(step).len() {
                    tally.watch(mark);
                }
                tally.begin();
                prop_assert_eq!(tally.watched(), expected);
                prop_assert_eq!(tally.mark(), mark_of(&octets));
            }
            let tally = Tally::new();
            tally.watch(mark_of(&octets));
            tally.begin();
            tally.take(&octets[1..]);
            tally.end();
            prop_assert_eq!(tally.watched(), Watched::Differs);
        }
    }
}
