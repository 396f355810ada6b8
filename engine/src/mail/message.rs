//! A message ready for the wire.

/// A rendered and signed message: CR LF lines, no line over 998 octets, not yet dot-stuffed. It is 7-bit, but for `To` where
/// the recipient's address needs SMTPUTF8: there that field is UTF-8 (RFC 6532), and the body still 7-bit.
///
/// Only [`Message::sealed`] makes one, from content and a proof that it was signed.
pub struct Message {
    content: Vec<u8>,
}

/// Signature header fields over some content: what only the signer makes.
pub struct Sealed(pub(crate) Vec<u8>);

impl Message {
    /// `content` under its signatures.
    pub fn sealed(signatures: Sealed, content: &[u8]) -> Message {
        let mut whole = signatures.0;
        whole.extend_from_slice(content);
        Message { content: whole }
    }

    /// The very octets, without dot-stuffing.
    pub fn octets(&self) -> &[u8] {
        &self.content
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} octets)", self.content.len())
    }
}
