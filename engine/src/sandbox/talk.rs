//! One side of a connection: lines and messages in, replies out. Replies that can wait for one another go out together
//! (RFC 2920 section 3.2): they are written when there is nothing more to read, and before a pause.

use super::Ledger;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest message.
pub(super) const MAX_SIZE: usize = 25 << 20;
const MAX_LINE: usize = 4096;
/// How long a client that was hung up on is heard.
const LINGER: Duration = Duration::from_secs(1);
const END: &[u8] = b"\r\n.\r\n";

pub(super) struct Talk<S> {
    pub(super) stream: S,
    pub(super) encrypted: bool,
    buffer: Vec<u8>,
    taken: usize,
    replies: Vec<u8>,
    ledger: Arc<Ledger>,
    /// Something was said since the client was last heard.
    spoke: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) fn new(stream: S, encrypted: bool, ledger: Arc<Ledger>) -> Talk<S> {
        let (buffer, replies) = (Vec::with_capacity(32 * 1024), Vec::new());
        Talk { stream, encrypted, buffer, taken: 0, replies, ledger, spoke: false }
    }

    /// Says it, with whatever else is said before the next pause.
    pub(super) fn say(&mut self, text: &str) {
        self.replies.extend_from_slice(text.as_bytes());
    }

    /// Hands over what was said.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.stream.write_all(&self.replies).await?;
            self.stream.flush().await?;
            self.replies.clear();
            self.spoke = true;
        }
        Ok(())
    }

    /// Hands over what was said, and closes our side. What the client still says is read for a moment: a close with input unread
    /// is a reset, which may overtake the reply.
    pub(super) async fn hang_up(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await?;
        let rest = async { while !matches!(self.stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {} };
        tokio::time::timeout(LINGER, rest).await.ok();
        Ok(())
    }

    pub(super) async fn line(&mut self) -> io::Result<String> {
        let mut from = 0;
        loop {
            let pending = &self.buffer[self.taken..];
            if let Some(end) = pending[from..].iter().position(|octet| *octet == b'\n').map(|at| from + at) {
                let line =
                    String::from_utf8_lossy(pending[..end].strip_suffix(b"\r").unwrap_or(&pending[..end])).into_owned();
                self.taken += end + 1;
                return Ok(line);
            }
            from = pending.len();
            if from > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.more().await?;
        }
    }

    /// Reads to the final dot and gives the Message-ID.
    pub(super) async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut from = 0;
        loop {
            let pending = &self.buffer[self.taken..];
            if let Some(end) = find(&pending[from..], END).map(|at| from + at) {
                let message_id = (end <= MAX_SIZE).then(|| message_id(&pending[..end])).flatten();
                self.ledger.content(|| undotted(&pending[..end + 2]));
                self.taken += end + END.len();
                return Ok(message_id);
            }
            from = pending.len().saturating_sub(END.len() - 1);
            if from > 2 * MAX_SIZE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.more().await?;
        }
    }

    /// Reads a chunk of `size` octets behind those in `before`; what is past the largest message is thrown away.
    pub(super) async fn chunk(&mut self, mut size: usize, before: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let count = size.min(self.buffer.len() - self.taken);
            let kept = count.min((MAX_SIZE + 1).saturating_sub(before.len()));
            before.extend_from_slice(&self.buffer[self.taken..self.taken + kept]);
            self.taken += count;
            size -= count;
            if size == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.buffer.drain(..self.taken);
        self.taken = 0;
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            octets => {
                self.ledger.heard(octets as u64, std::mem::take(&mut self.spoke));
                Ok(())
            }
        }
    }
}

/// What was said after DATA, without the dots that were doubled for it (RFC 5321 section 4.5.2).
fn undotted(said: &[u8]) -> Vec<u8> {
    said.split_inclusive(|octet| *octet == b'\n')
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect()
}

pub(super) fn message_id(message: &[u8]) -> Option<Vec<u8>> {
    let head = &message[..find(message, b"\r\n\r\n").unwrap_or(message.len())];
    let mut lines = head.split(|octet| *octet == b'\n');
    let line = lines.find(|line| line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case(b"message-id:")))?;
    Some(line[11..].trim_ascii().to_vec())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|octet| *octet == first).map(|at| from + at) {
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replies_to_a_pipeline_go_out_together() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"one\r\ntwo\r\nthr").await.expect("written");
        let mut talk = Talk::new(server, false, Arc::default());
        let server = async {
            for expected in ["one", "two", "three"] {
                assert_eq!(talk.line().await.expect("a line"), expected);
                talk.say(&format!("{expected}!\r\n"));
            }
        };
        let client = async {
            let mut heard = [0; 64];
            let count = client.read(&mut heard).await.expect("replies");
            assert_eq!(&heard[..count], b"one!\r\ntwo!\r\n", "before it waits for the rest of the third");
            client.write_all(b"ee\r\n").await.expect("written");
        };
        tokio::join!(server, client);
    }
}
