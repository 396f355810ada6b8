//! How a server knows where a message ends.

/// How a server knows where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By a lone dot (RFC 5321 section 4.1.1.4).
    Dot,
    /// By its length (RFC 3030).
    Chunk,
}

/// Room for the commands that leave with a message: two addresses of the longest kind.
const COMMANDS: usize = 1024;

impl Framing {
    /// The message as it goes over the wire, with room for what leaves behind it.
    pub(super) fn wire(self, content: &[u8]) -> Vec<u8> {
        match self {
            Framing::Dot => dot_stuffed(content),
            Framing::Chunk => chunk(content),
        }
    }
}

/// The message as it goes over the wire: a dot before each line that begins with one (RFC 5321 section 4.5.2), and the final
/// dot.
fn dot_stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + content.len() / 64 + COMMANDS);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !content.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// The message as one chunk (RFC 3030 section 2): its length, and its octets as they are.
fn chunk(content: &[u8]) -> Vec<u8> {
    let end: &[u8] = if content.ends_with(b"\r\n") { b"" } else { b"\r\n" };
    let command = format!("BDAT {} LAST\r\n", content.len() + end.len());
    let mut wire = Vec::with_capacity(content.len() + COMMANDS);
    for part in [command.as_bytes(), content, end] {
        wire.extend_from_slice(part);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_at_line_beginnings_are_doubled() {
        assert_eq!(dot_stuffed(b"a\r\n.\r\n..b\r\nc.\r\n"), b"a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a"), b"a\r\n.\r\n");
        assert_eq!(dot_stuffed(b""), b"\r\n.\r\n");
    }

    #[test]
    fn a_chunk_says_its_length() {
        assert_eq!(chunk(b".\r\nb\r\n"), b"BDAT 6 LAST\r\n.\r\nb\r\n");
        assert_eq!(chunk(b"a"), b"BDAT 3 LAST\r\na\r\n");
    }

    proptest::proptest! {
        /// A receiver that undoes it (RFC 5321 section 4.5.2) has the same lines.
        #[test]
        fn a_receiver_undoes_it(lines in proptest::collection::vec("[.a]{0,4}", 1..8)) {
            let content = lines.join("\r\n") + "\r\n";
            let wire = String::from_utf8(dot_stuffed(content.as_bytes())).expect("as it was made");
            let body = wire.strip_suffix(".\r\n").expect("as it was made");
            let undone: Vec<_> = body.split_terminator("\r\n").map(|line| {
                assert_ne!(line, ".", "the end came early");
                line.strip_prefix('.').unwrap_or(line)
            }).collect();
            proptest::prop_assert_eq!(undone, content.split_terminator("\r\n").collect::<Vec<_>>());
        }
    }
}
