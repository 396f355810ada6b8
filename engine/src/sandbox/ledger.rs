//! What the embedded MX accepted.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
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
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Messages answered with 250 after the final dot.
    pub accepted: u64,
    /// Of them, those whose Message-ID was accepted before.
    pub twice: u64,
    /// Recipients refused with 450.
    pub deferred: u64,
    /// Recipients refused with 550.
    pub bounced: u64,
    /// Sessions.
    pub sessions: u64,
    /// Sessions that came to TLS.
    pub encrypted: u64,
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

    /// The counts now.
    pub fn totals(&self) -> Totals {
        self.book.lock().expect("no holder panics").totals
    }

    pub(super) fn session(&self) {
        self.with(|book| book.totals.sessions += 1);
    }

    pub(super) fn encrypted(&self) {
        self.with(|book| book.totals.encrypted += 1);
    }

    pub(super) fn bounced(&self) {
        self.with(|book| book.totals.bounced += 1);
    }

    /// Whether this is the first time that this recipient is to be put off.
    pub(super) fn put_off(&self, recipient: &str) -> bool {
        self.with(|book| {
            let first = book.deferred.insert(hash(recipient.as_bytes()));
            book.totals.deferred += u64::from(first);
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
            Ok(())
        })
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

fn hash(octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    octets.hash(&mut hasher);
    hasher.finish()
}
