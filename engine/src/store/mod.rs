//! What survives a crash: RocksDB in `<state_dir>/db`.
//!
//! # Format, version 2
//! Numbers are big-endian. A value begins with its version, one octet. *Sealed* means AES-256-GCM under the run's data key,
//! bound to (column family, run, ordinal) (see [`crate::secret`]). Times are milliseconds since 1970, 8 octets.
//!
//! | family | key | value after the version |
//! |---|---|---|
//! | `engine` | `format` | nothing: the version is the format's number |
//! | | `standing` | [`Standing`]: generation (8), boot id (16), inode (8) and birth in ns (8) of `<state_dir>/lock`, the same of `<state_dir>/generation` |
//! | `key` | name: `token`, `index`, `audit`, or `data` ‖ run (8) | wrapped key |
//! | `run` | run (8) | [`Manifest`] as JSON; no PHI |
//! | `outcome` | run (8), ordinal (8) | kind (1; + 128 where *doubted*, + 64 where it names a session, + 32 where it names the addressee, + 16 where it names a class), time (8), attempts (4), code (2, 0 = none), enhanced class (1, 0 = none), subject (2), detail (2), reason length (1), reason, class (1, only with + 16: [`Class`](crate::mail::Class)), session (8, only with + 64), sealed text (may be absent; with + 32 sealed JSON: text, address, key) |
//! | `deferred` | run (8), due (8), ordinal (8) | length (1), reason it waits for and, behind a tab, the word of its class where it has one; sealed row |
//! | `backlog` | run (8), provider (8), turn (8) | ordinal (8), sealed row |
//! | `lease` | run (8), ordinal (8) | hold (1: 1 leased, 2 started, 3 again; 1 and 2 + 128 where *doubted*), boot id (16), first attempt (8), time of `started` (8, only there) |
//! | `sent` | HMAC of campaign and key (16, see [`crate::secret::IndexKey`]) | run (8), ordinal (8), time (8), kept (1) |
//! | `session` | number (8) | [`SessionRecord`] as JSON: how a session travelled; nothing of a row |
//! | `tls` | `h`, `d`, `p`, `f` or `r`, name of host or domain | what a host or domain has shown, a policy, what a probe found, or what is to be reported (JSON) |
//!
//! A sealed row is JSON: recipient, fields, attempts, first attempt, and *doubted* (left out: no). *Doubted* is a row of which
//! an earlier attempt was in doubt: it may have been delivered, however it ends. A store that was written before there was such a
//! flag is read as one without it, and *again* says it in either. A *turn* is a number that only grows: (generation of the
//! engine << 40) + a count, so that a provider's rows stand in order of arrival over all engines. Provider 0 is the backlog
//! of rows whose provider is not known yet.
//!
//! A session's number comes from the same count. A session is kept when the first message is sent over it, and as long as the
//! outcomes that refer to it. Outcomes of rows that a letter may follow (bounced, dropped, expired) hold the address and the
//! key, sealed: their rows are nowhere else once they ended, and the input may be gone.
//!
//! Beside the database, `<state_dir>/generation` holds the generation as a decimal line.
//!
//! A store of format 1 has no family `engine`, and is refused: its leases can't tell what is in doubt.
//!
//! # Order
//! * The gate reserves the keys of a batch of rows in `sent` before any of these rows is taken up.
//! * A message is ready only when the `lease` of its row (*leased*) is on the disk. *started* replaces it before the last octet
//!   of the message is handed to the socket; the outcome, or the new `deferred` entry, replaces that in one write batch before
//!   anything else is committed to on that connection. Leases that were not started are removed at a graceful stop.
//! * Rows past the memory's bound, and deferred rows that are due, stand in `backlog` (the latter move there in one batch)
//!   until they are settled: the batch of the outcome or deferral removes them. A row that gets another provider moves in one
//!   batch.
//! * A session's record is written before the first message is begun on it, and so stands in the WAL before every outcome that
//!   refers to it.
//! * So at every moment a row stands in exactly one of: nowhere (not read, or waiting in memory), `backlog`, `deferred`,
//!   `outcome`; and in `lease` besides while its outcome is open. A doubted row always is, so that whoever ends it finds that
//!   without opening it: deferred, taken back or waiting in `backlog` it stands there as *again*.
//! * `sent` is not touched when a row is settled: whether a key is taken is read off the outcome of the row that took it.
//!   Reservations older than the retention are free, and dropped when RocksDB compacts.
//! * A cancelled run's rows get their outcomes first, then its `backlog`, `deferred` and `lease` are cleared. Its manifest says
//!   `cancelled` before either, so that the next engine ends what this one began.
//!
//! # Sync points
//! Writes go to the WAL, which reaches the operating system at once: they survive the death of the process. On the disk, when
//! the call returns, are: keys, manifests that open or end a run, the standing, leases (a group at a time, and with them
//! everything written before, reservations above all, since the WAL is one), *again*, and the end of a run's backlog. Not
//! synced are sessions, `started`, outcomes, deferrals and backlog: after power loss their rows are in doubt by their leases, or stand
//! where they stood before.
//!
//! # Recovery
//! RocksDB replays the WAL up to the first record that is damaged or torn. Then, for each open run, an entry of `lease` is
//!
//! | hold | same boot (the process died) | another boot (power loss) |
//! |---|---|---|
//! | started | in doubt | in doubt |
//! | leased | removed: not sent; doubted: *again* | in doubt: `started` may be lost |
//! | again | goes out again, first attempt kept | the same |
//!
//! Counters are not stored: they are what the families hold.
//!
//! # Trouble
//! No write fails because of the disk: it waits until there is room, says why meanwhile, and the engine begins no message then
//! (`health`). What can't be read is named, and nothing more is sent from such a store.
//!
//! # Copies
//! An engine takes its standing before it sends: the generation grows by one, first in the store, then in the file beside it.
//! A store whose files are not those named in its standing, or which is behind the file, is a copy and does not send until a
//! person adopts it ([`Store::take_standing`]).

mod backlog;
mod ballast;
mod batch;
mod clear;
mod codec;
#[cfg(test)]
mod crash;
mod db;
mod error;
mod family;
mod health;
mod lease;
mod manifest;
mod options;
mod pace;
mod reschedule;
mod rows;
mod runs;
mod sent;
mod sessions;
mod shown;
mod standing;
mod tally;

pub use codec::{decode_outcome, encode_outcome};
#[cfg(test)]
pub(crate) use crash::{WalEnd, copy_folder};
pub use db::{Settings, Store};
pub use error::Error;
pub use family::Family;
pub use lease::{Hold, Lease, Leave};
pub use manifest::{Bounds, Braked, DropCause, HeldProvider, Latency, Manifest};
pub use options::OPEN_FILES;
pub use pace::PaceRecord;
pub use rows::Change;
pub use sent::Reservation;
pub use sessions::SessionRecord;
pub use shown::About;
pub use standing::{Copied, Home, Standing};
pub use tally::Tally;
