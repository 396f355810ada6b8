//! The words that every other module uses: address, row, message, reply, outcome. Plain data; nothing here does I/O.

mod address;
mod class;
mod closest;
mod counted;
mod exhausted;
mod hidden;
mod hint;
mod message;
mod mistake;
mod outcome;
mod reply;
mod row;
mod run_id;
mod tls;

pub use address::{Address, AddressFault, Mailbox};
pub(crate) use address::{ascii_domain, is_host_name};
pub use class::Class;
pub use closest::{closest, instead_of};
pub use counted::rows;
pub use exhausted::is_exhausted;
pub(crate) use hidden::misleads;
pub use hint::hint;
pub use message::{Message, Sealed};
pub use mistake::Mistake;
pub(crate) use mistake::line_of;
pub use outcome::{Addressee, Kind, Outcome, why};
pub use reply::{Enhanced, Reply};
pub use row::{Fields, Origin, Row};
pub use run_id::RunId;
pub use tls::{Demand, Level, MxPattern, MxTrust, Peer, Peers, TlsFault, Tlsa, TlsaRecord, Whose};
