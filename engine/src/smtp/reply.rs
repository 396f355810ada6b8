//! Octets to replies (RFC 5321 section 4.2.1, RFC 2034).

use crate::mail::{Enhanced, Reply};

/// The longest reply line taken. RFC 5321 allows 512 octets; servers write more.
const MAX_LINE: usize = 4096;
/// The most lines of one reply.
const MAX_LINES: usize = 128;

/// Something that is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed reply")]
pub struct Malformed;

/// Collects octets and gives replies.
#[derive(Default)]
pub struct ReplyParser {
    buffer: Vec<u8>,
    taken: usize,
}

impl ReplyParser {
    /// Adds what was read.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// Whether octets stand here that no reply has used. After the reply to STARTTLS there must be none.
    pub fn has_rest(&self) -> bool {
        self.rest() > 0
    }

    /// Octets that no reply has used.
    pub fn rest(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// The next reply, or `None` until more octets are here.
    ///
    /// # Errors
    /// The octets are no reply.
    pub fn take(&mut self) -> Result<Option<Reply>, Malformed> {
        let mut at = self.taken;
        let mut lines = Vec::new();
        let mut code = None;
        while let Some(end) = self.buffer[at..].iter().position(|octet| *octet == b'\n') {
            let line = self.buffer[at..at + end].strip_suffix(b"\r").unwrap_or(&self.buffer[at..at + end]);
            at += end + 1;
            let (number, last, text) = parts(line)?;
            if *code.get_or_insert(number) != number || lines.len() == MAX_LINES || line.len() > MAX_LINE {
                return Err(Malformed);
            }
            lines.push(String::from_utf8_lossy(text).into_owned());
            if last {
                self.taken = at;
                return Ok(Some(reply(number, lines)));
            }
        }
        if self.buffer.len() - at > MAX_LINE || lines.len() == MAX_LINES { Err(Malformed) } else { Ok(None) }
    }
}

/// Code, whether it is the last line, and text.
fn parts(line: &[u8]) -> Result<(u16, bool, &[u8]), Malformed> {
    let digits = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit)).ok_or(Malformed)?;
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if !(200..600).contains(&code) {
        return Err(Malformed);
    }
    match line.get(3) {
        None => Ok((code, true, &[])),
        Some(b' ') => Ok((code, true, &line[4..])),
        Some(b'-') => Ok((code, false, &line[4..])),
        Some(_) => Err(Malformed),
    }
}

/// Takes the enhanced status code off each line; it counts where its class agrees with the code's (RFC 2034 section 4).
fn reply(code: u16, mut lines: Vec<String>) -> Reply {
    let mut enhanced = None;
    for line in &mut lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        if let Some(found) = Enhanced::parse(word).filter(|found| u16::from(found.0) == code / 100) {
            enhanced.get_or_insert(found);
            *line = rest.to_owned();
        }
    }
    Reply { code, enhanced, lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(octets: &[u8]) -> Result<Vec<Reply>, Malformed> {
        let mut parser = ReplyParser::default();
        parser.feed(octets);
        let mut replies = Vec::new();
        while let Some(reply) = parser.take()? {
            replies.push(reply);
        }
        Ok(replies)
    }

    #[test]
    fn replies_of_many_kinds() {
        let replies = parse(b"220 mx.example ESMTP\r\n250-one\r\n250-two\r\n250 three\r\n550-5.1.1 No such\r\n550 5.1.1 user\r\n354\r\n421 4.7.0 x\n").expect("replies");
        let codes: Vec<_> = replies.iter().map(|reply| (reply.code, reply.lines.len())).collect();
        assert_eq!(codes, [(220, 1), (250, 3), (550, 2), (354, 1), (421, 1)]);
        assert_eq!(replies[2].enhanced, Some(Enhanced(5, 1, 1)));
        assert_eq!(replies[2].text(), "No such user");
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_text() {
        assert_eq!(parse(b"450 5.1.1 odd\r\n").expect("a reply")[0].enhanced, None);
    }

    #[test]
    fn what_is_no_reply() {
        for octets in [&b"hello\r\n"[..], b"25 x\r\n", b"250-a\r\n251 b\r\n", b"999 x\r\n", b"250:x\r\n", &[b'2'; 5000]]
        {
            assert_eq!(parse(octets), Err(Malformed), "{}", String::from_utf8_lossy(&octets[..octets.len().min(20)]));
        }
    }

    proptest::proptest! {
        /// However the octets are cut, the replies are the same; and nothing panics.
        #[test]
        fn cuts_do_not_matter(octets in "(2[0-9]{2}[ -][a-z .0-9]{0,9}\r\n){0,6}", at in 0_usize..60) {
            let whole = parse(octets.as_bytes());
            let at = at.min(octets.len());
            let mut parser = ReplyParser::default();
            let mut replies = Vec::new();
            let mut failed = false;
            for piece in [&octets.as_bytes()[..at], &octets.as_bytes()[at..]] {
                parser.feed(piece);
                while !failed {
                    match parser.take() {
                        Ok(Some(reply)) => replies.push(reply),
                        Ok(None) => break,
                        Err(Malformed) => failed = true,
                    }
                }
            }
            match whole {
                Ok(whole) => proptest::prop_assert_eq!(replies, whole),
                Err(Malformed) => proptest::prop_assert!(failed),
            }
        }

        #[test]
        fn any_octets(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&octets);
        }
    }
}
