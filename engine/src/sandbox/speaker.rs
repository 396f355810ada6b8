//! One session of the embedded MX.

use super::recipe::Answer;
use super::{Ledger, Recipe};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const MAX_SIZE: usize = 25 << 20;
const MAX_LINE: usize = 4096;

pub(super) struct Speaker {
    recipe: Rc<Recipe>,
    ledger: Arc<Ledger>,
    acceptor: TlsAcceptor,
}

/// How a stretch of conversation ended.
enum End {
    Quit,
    StartTls,
}

impl Speaker {
    pub(super) fn new(recipe: Rc<Recipe>, ledger: Arc<Ledger>, acceptor: TlsAcceptor) -> Speaker {
        Speaker { recipe, ledger, acceptor }
    }

    /// Talks until the client quits or the connection breaks; both end a session and neither is an error here.
    pub(super) async fn talk(self, stream: TcpStream) {
        self.ledger.session();
        if let Ok(peer) = stream.peer_addr() {
            self.ledger.said(&format!("FROM {}", peer.ip()));
        }
        stream.set_nodelay(true).ok();
        let mut talk = Talk::new(stream, false, self.ledger.clone());
        if talk.say("220 sandbox.invalid ESMTP\r\n").await.is_err() {
            return;
        }
        if let Ok(End::StartTls) = self.converse(&mut talk).await {
            if let Ok(stream) = self.acceptor.accept(talk.stream).await {
                self.ledger.encrypted();
                self.ledger.said("TLS");
                self.converse(&mut Talk::new(stream, true, self.ledger.clone())).await.ok();
            } else {
                self.ledger.said("TLS FAILED");
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, talk: &mut Talk<S>) -> io::Result<End> {
        let mut recipient = None;
        let (mut sender, mut utf8) = (false, false);
        loop {
            let line = talk.line().await?;
            self.ledger.said(&line);
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => talk.say(&self.offer(talk.encrypted)).await?,
                "HELO" | "NOOP" => talk.say("250 ok\r\n").await?,
                "STAR" if self.recipe.starttls && !talk.encrypted => {
                    talk.say("220 2.0.0 go ahead\r\n").await?;
                    return Ok(End::StartTls);
                }
                "MAIL" => {
                    (sender, recipient) = (true, None);
                    utf8 = line.ends_with(" SMTPUTF8");
                    talk.say("250 2.1.0 ok\r\n").await?;
                }
                // RFC 6531 section 3.5.
                "RCPT" if sender && !utf8 && !line.is_ascii() => talk.say("553 5.6.7 no SMTPUTF8\r\n").await?,
                "RCPT" if sender => {
                    let (taken, reply) = self.recipient(&line);
                    recipient = recipient.or(taken);
                    talk.say(reply).await?;
                }
                "DATA" if recipient.is_some() => {
                    talk.say("354 go ahead\r\n").await?;
                    let message_id = talk.message().await?;
                    tokio::time::sleep(self.recipe.latency).await;
                    let taken = message_id.map(|id| self.ledger.accept(&id, recipient.as_deref().unwrap_or_default()));
                    (sender, recipient) = (false, None);
                    let reply = match taken {
                        Some(Ok(())) => "250 2.0.0 accepted\r\n",
                        Some(Err(_)) => "452 4.3.1 the ledger can't be written\r\n",
                        None => "554 5.6.0 no Message-ID, or too large\r\n",
                    };
                    talk.say(reply).await?;
                }
                "RSET" => {
                    (sender, recipient) = (false, None);
                    talk.say("250 2.0.0 ok\r\n").await?;
                }
                "QUIT" => {
                    talk.say("221 2.0.0 bye\r\n").await?;
                    return Ok(End::Quit);
                }
                "RCPT" | "DATA" => talk.say("503 5.5.1 bad sequence\r\n").await?,
                _ => talk.say("502 5.5.1 not here\r\n").await?,
            }
        }
    }

    fn offer(&self, encrypted: bool) -> String {
        let mut lines = vec!["250-sandbox.invalid".to_owned()];
        if self.recipe.pipelining {
            lines.push("250-PIPELINING".into());
        }
        if self.recipe.starttls && !encrypted {
            lines.push("250-STARTTLS".into());
        }
        // RFC 8689 section 2: only inside TLS.
        if encrypted {
            lines.push("250-REQUIRETLS".into());
        }
        lines.extend(["8BITMIME", "SMTPUTF8", "DSN"].map(|keyword| format!("250-{keyword}")));
        lines.push(format!("250-SIZE {MAX_SIZE}"));
        lines.push("250 ENHANCEDSTATUSCODES\r\n".into());
        lines.join("\r\n")
    }

    fn recipient(&self, line: &str) -> (Option<String>, &'static str) {
        let Some(address) = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address)
        else {
            return (None, "501 5.1.3 no address\r\n");
        };
        match self.recipe.answer(address) {
            Answer::Bounce => {
                self.ledger.bounced();
                (None, "550 5.1.1 no such user\r\n")
            }
            Answer::Greylist if self.ledger.put_off(address) => (None, "450 4.2.0 try again later\r\n"),
            Answer::Greylist | Answer::Accept => (Some(address.to_owned()), "250 2.1.5 ok\r\n"),
        }
    }
}

struct Talk<S> {
    stream: S,
    buffer: Vec<u8>,
    taken: usize,
    encrypted: bool,
    ledger: Arc<Ledger>,
    /// Something was said since the client was last heard.
    spoke: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S, encrypted: bool, ledger: Arc<Ledger>) -> Talk<S> {
        Talk { stream, buffer: Vec::with_capacity(32 * 1024), taken: 0, encrypted, ledger, spoke: false }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.spoke = true;
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
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
    async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        const END: &[u8] = b"\r\n.\r\n";
        let mut from = 0;
        loop {
            let pending = &self.buffer[self.taken..];
            if let Some(end) = find(&pending[from..], END).map(|at| from + at) {
                let message_id = (end <= MAX_SIZE).then(|| message_id(&pending[..end])).flatten();
                self.ledger.content(&pending[..end]);
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

    async fn more(&mut self) -> io::Result<()> {
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

fn message_id(message: &[u8]) -> Option<Vec<u8>> {
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
