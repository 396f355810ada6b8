//! A message ready for the wire.

/// A rendered and signed message: CR LF lines, 7-bit, no line over 998 octets, not yet dot-stuffed.
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
