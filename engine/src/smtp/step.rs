//! What a session waits for, and for how long.

use std::time::Duration;

/// A command whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The server's 220 after connect.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO, for servers that don't know EHLO.
    Helo,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH and what follows it (RFC 4954).
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot.
    Content,
    /// The one chunk that is the whole message (RFC 3030).
    Chunk,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

impl Step {
    /// How long to wait for the reply: RFC 5321 section 4.5.3.2 where it says (greeting, MAIL, RCPT 5 min; DATA 2 min; end of
    /// the message 10 min), 5 min for what it leaves open, and little for a goodbye that nothing hangs on.
    pub fn timeout(self) -> Duration {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        match self {
            Step::Greeting | Step::Ehlo | Step::Helo | Step::StartTls | Step::Auth => minutes(5),
            Step::Mail | Step::Rcpt | Step::Rset => minutes(5),
            Step::Data => minutes(2),
            Step::Content | Step::Chunk => minutes(10),
            Step::Quit => Duration::from_secs(5),
        }
    }

    /// Its word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Step::Greeting => "greeting",
            Step::Ehlo => "EHLO",
            Step::Helo => "HELO",
            Step::StartTls => "STARTTLS",
            Step::Auth => "AUTH",
            Step::Mail => "MAIL",
            Step::Rcpt => "RCPT",
            Step::Data => "DATA",
            Step::Content => "final dot",
            Step::Chunk => "BDAT",
            Step::Rset => "RSET",
            Step::Quit => "QUIT",
        }
    }
}

/// How long writing a block of content may take (RFC 5321 section 4.5.3.2.5).
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_secs(180);
