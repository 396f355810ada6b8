//! What is said of a message before its content.

/// MAIL FROM and RCPT TO of one message.
#[derive(Clone)]
pub struct Envelope {
    /// The envelope sender.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// Octets of the message on the wire.
    pub size: usize,
    /// Names the message in the server's reports (RFC 3461 `ENVID`): letters and digits, no PHI.
    pub id: String,
    /// The recipient's address or a header field is not ASCII (RFC 6531).
    pub utf8: bool,
    /// The server is asked to pass it on over proven TLS alone, where it knows how (RFC 8689).
    pub requiretls: bool,
}
