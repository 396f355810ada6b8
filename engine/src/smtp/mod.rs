//! One SMTP session (RFC 5321), from connect to QUIT.
//!
//! 1. [`session`] connects ([`dial`]), reads, writes ([`framing`], [`writing`]) and does TLS; it decides nothing.
//! 2. [`machine`] decides what is said next; it does no I/O.
//! 3. [`reply`] makes replies of octets, [`extensions`] reads what EHLO offers.
//! 4. [`verdict`] alone says what a reply or failure means for the message, the session and the site; [`classes`] is the table of
//!    what refusals are about.
//! 5. [`source`] is who we are, [`access`] what a smarthost asks of us before, [`auth`] how we answer.
//! 6. [`tls`] is the only maker of a [`Proof`]; without one that satisfies the demand there is no MAIL FROM.

mod access;
mod auth;
mod classes;
mod dial;
mod envelope;
mod extensions;
mod framing;
mod machine;
mod policy;
mod reply;
mod session;
mod source;
mod step;
mod tls;
mod verdict;
mod writing;

pub use access::{Access, Login};
pub use dial::{Dial, Dialling, Octets, Tcp, Wire};
pub use envelope::Envelope;
pub use framing::Framing;
pub use machine::{Directive, Machine};
pub use policy::Policy;
pub use reply::{Malformed, ReplyParser};
pub use session::{Leaving, Sent, Session, Target, Timeouts};
pub use source::{Source, WrongFamily};
pub use step::Step;
pub use tls::{Connector, Evidence, Identity, Proof, Root, RootsError, trusted};
pub use verdict::{EXHAUSTED, Fate, IoFault, Scope, Verdict};
pub use verdict::{of_address, of_machine, of_stop, of_tls};
