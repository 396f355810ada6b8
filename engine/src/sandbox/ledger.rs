//! What the embedded MX accepted, and what it refused.

use super::course::{Course, Event, Recorder};
use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The receiver's own count. Message-IDs are kept as hashes, and written one a line where a file was asked for: before the
/// reply is, so that what a client was told is in the file whoever dies next.
#[derive(Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    totals: Totals,
    seen: HashSet<u64>,
    deferred: HashSet<u64>,
    accepted: Option<File>,
    transcript: Option<File>,
    recipients: bool,
    sample: Option<Sample>,
    course: Option<Recorder>,
}

/// Where whole messages are kept, and how many there were to choose from.
struct Sample {
    folder: PathBuf,
    met: u64,
}

/// One message in so many is kept where a sample was asked for.
const ONE_IN: u64 = 100;

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Messages begun (MAIL).
    pub offered: u64,
    /// Messages answered with 250 after the final dot.
    pub accepted: u64,
    /// Of them, those whose Message-ID was accepted before.
    pub twice: u64,
    /// Messages refused because they came too fast.
    pub refused_rate: u64,
    /// Connections refused because there were too many at once.
    pub refused_connections: u64,
    /// Recipients refused with 450.
    pub deferred: u64,
    /// Recipients refused with 550.
    pub bounced: u64,
    /// Connections that were let in.
    pub sessions: u64,
    /// Sessions that came to TLS.
    pub encrypted: u64,
    /// Octets that clients said, inside TLS where there is TLS.
    pub octets: u64,
    /// How often something was said, and the client's next words had to be waited for: its round trips.
    pub turns: u64,
}

impl Ledger {
    /// A ledger that also writes accepted Message-IDs and what clients say, where files are named.
    ///
    /// # Errors
    /// A file can't be made.
    pub fn new(accepted: Option<&Path>, transcript: Option<&Path>) -> std::io::Result<Ledger> {
        let open =
            |path: Option<&Path>| path.map(|path| File::options().create(true).append(true).open(path)).transpose();
        let book = Book { accepted: open(accepted)?, transcript: open(transcript)?, ..Book::default() };
        Ok(Ledger { book: Mutex::new(book) })
    }

    /// Writes the recipient behind each Message-ID, with a space between.
    pub fn with_recipients(self) -> Ledger {
        self.with(|book| book.recipients = true);
        self
    }

    /// Keeps the first of every hundred messages in `folder`, whole, for a judge of signatures.
    pub fn with_sample(self, folder: &Path) -> Ledger {
        self.with(|book| book.sample = Some(Sample { folder: folder.to_owned(), met: 0 }));
        self
    }

    /// Counts second by second, too.
    pub fn with_course(self) -> Ledger {
        self.with(|book| book.course = Some(Recorder::new()));
        self
    }

    /// What happened second by second, if that was asked for.
    pub fn course(&self) -> Option<Course> {
        self.with(|book| book.course.as_mut().map(Recorder::course))
    }

    /// The counts now.
    pub fn totals(&self) -> Totals {
        self.book.lock().expect("no holder panics").totals
    }

    /// A connection came, and was let in.
    pub(super) fn session(&self) {
        self.with(|book| {
            book.totals.sessions += 1;
            book.note(Event::Opened);
        });
    }

    /// One that was let in is over.
    pub(super) fn ended(&self) {
        self.with(|book| book.note(Event::Closed));
    }

    /// A connection came, and was one too many.
    pub(super) fn turned_away(&self) {
        self.with(|book| {
            book.totals.refused_connections += 1;
            book.note(Event::RefusedConnection);
        });
    }

    /// A message was begun.
    pub(super) fn offered(&self) {
        self.with(|book| {
            book.totals.offered += 1;
            book.note(Event::Offered);
        });
    }

    /// One was too fast.
    pub(super) fn too_fast(&self) {
        self.with(|book| {
            book.totals.refused_rate += 1;
            book.note(Event::RefusedRate);
        });
    }

    pub(super) fn encrypted(&self) {
        self.with(|book| book.totals.encrypted += 1);
    }

    pub(super) fn bounced(&self) {
        self.with(|book| {
            book.totals.bounced += 1;
            book.note(Event::Bounced);
        });
    }

    /// Whether this is the first time that this recipient is to be put off.
    pub(super) fn put_off(&self, recipient: &str) -> bool {
        self.with(|book| {
            let first = book.deferred.insert(hash(recipient.as_bytes()));
            if first {
                book.totals.deferred += 1;
                book.note(Event::Deferred);
            }
            first
        })
    }

    /// Records a message before its 250 is sent.
    ///
    /// # Errors
    /// The file can't be written; the message must not be accepted then.
    pub(super) fn accept(&self, message_id: &[u8], recipient: &str) -> std::io::Result<()> {
        self.with(|book| {
            if let Some(file) = &mut book.accepted {
                let recipient = if book.recipients { format!(" {recipient}") } else { String::new() };
                // One write: a line is whole or not there.
                file.write_all(&[message_id, recipient.as_bytes(), b"\n"].concat())?;
            }
            book.totals.accepted += 1;
            book.totals.twice += u64::from(!book.seen.insert(hash(message_id)));
            book.note(Event::Accepted);
            Ok(())
        })
    }

    /// A client said so many octets, `after` it was answered or without having waited for that.
    pub(super) fn heard(&self, octets: u64, after: bool) {
        self.with(|book| {
            book.totals.octets += octets;
            book.totals.turns += u64::from(after);
        });
    }

    /// A whole message, which may be one for the sample.
    pub(super) fn content(&self, message: impl FnOnce() -> Vec<u8>) {
        self.with(|book| {
            let Some(sample) = &mut book.sample else { return };
            sample.met += 1;
            if sample.met % ONE_IN == 1 {
                std::fs::write(sample.folder.join(format!("{}.eml", sample.met)), message()).ok();
            }
        });
    }

    pub(super) fn said(&self, line: &str) {
        self.with(|book| {
            if let Some(file) = &mut book.transcript {
                writeln!(file, "{line}").ok();
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.book.lock().expect("no holder panics"))
    }
}

impl Book {
    fn note(&mut self, event: Event) {
        if let Some(course) = &mut self.course {
            course.note(event);
        }
    }
}

fn hash(octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    octets.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_first_of_every_hundred() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::default().with_sample(folder.path());
        (1..=201).for_each(|number| ledger.content(|| format!("message {number}").into_bytes()));
        let kept = |number: u32| std::fs::read_to_string(folder.path().join(format!("{number}.eml"))).ok();
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 3);
        assert_eq!(kept(101).as_deref(), Some("message 101"));
        assert!(kept(1).is_some() && kept(201).is_some());
    }
}
