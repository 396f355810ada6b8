//! How a server is entered: an MX host by STARTTLS, a smarthost by whatever it asks of us.

use std::fmt;
use zeroize::Zeroizing;

/// What a server asks before it takes mail. The default is what an MX host asks: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// TLS begins with the connection (RFC 8314 section 3.3, port 465), not with STARTTLS.
    pub implicit_tls: bool,
    /// The server relays for us by agreement: what it says of our sender is about our configuration, not about a message.
    pub relays: bool,
    /// Who we are to it.
    pub login: Option<Login>,
    /// Whether it is shown our certificate.
    pub certificate: bool,
}

impl Access {
    /// Whether the server must be proven before it learns who we are.
    pub fn needs_proof(&self) -> bool {
        self.login.is_some() || self.certificate
    }
}

/// A user and a password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(redacted)")
    }
}
