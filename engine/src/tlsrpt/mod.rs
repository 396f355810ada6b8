//! TLS reports (RFC 8460): how sessions with a domain's MX hosts fared, told daily to domains that ask.
//!
//! 1. [`meeting`]: what a session was, and which policies of the domain it was held to;
//! 2. [`result`]: how it fell short, in the RFC's closed words;
//! 3. [`book`] counts in memory and writes the counts, by day and domain, to the store: what is lost with the power is a minute;
//! 4. [`tally`] are these counts, in the very form in which a report shows them;
//! 5. [`rua`]: the TXT record at `_smtp._tls.DOMAIN` says who wants a report, and where;
//! 6. [`report`] is the report of one domain and day, [`letter`] the mail that carries it, [`post`] the HTTPS request that does;
//! 7. [`postman`] brings it to whom it is for, on connections of its own and at opportunistic TLS (section 5.3).
//!
//! Comes in: every session that shards open or fail to open, towards a domain. Goes out: reports.
//!
//! Promises: nothing of a row is in it but the domain of its address; a session counts once for each domain that it was for; no
//! message and no campaign waits for a report or fails by it; sessions that carry reports are not counted themselves.

mod book;
mod letter;
mod meeting;
mod page;
mod post;
mod postman;
mod report;
mod result;
mod rua;
mod tally;

pub use book::Book;
pub use meeting::{Ending, Meeting, Records};
pub use page::Page;
pub use postman::{Postman, Sender, Undeliverable};
pub use report::Report;
pub use rua::{Place, places};
pub use tally::Counted;
