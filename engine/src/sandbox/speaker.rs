//! One session of the embedded MX.

use super::recipe::Answer;
use super::talk::{MAX_SIZE, Talk, message_id};
use super::{Ledger, Recipe};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

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

/// What was said of a message so far.
#[derive(Default)]
struct Transaction {
    sender: bool,
    utf8: bool,
    recipient: Option<String>,
    /// Chunks so far (RFC 3030), from the first on.
    chunks: Option<Vec<u8>>,
}

const BAD_SEQUENCE: &str = "503 5.5.1 bad sequence\r\n";

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
        let mut talk = Talk::new(stream, false);
        talk.say("220 sandbox.invalid ESMTP\r\n");
        if let Ok(End::StartTls) = self.converse(&mut talk).await {
            if let Ok(stream) = self.acceptor.accept(talk.stream).await {
                self.ledger.encrypted();
                self.ledger.said("TLS");
                self.converse(&mut Talk::new(stream, true)).await.ok();
            } else {
                self.ledger.said("TLS FAILED");
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, talk: &mut Talk<S>) -> io::Result<End> {
        let mut open = Transaction::default();
        loop {
            let line = talk.line().await?;
            self.ledger.said(&line);
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => talk.say(&self.offer(talk.encrypted)),
                "HELO" | "NOOP" => talk.say("250 ok\r\n"),
                "STAR" if self.recipe.starttls && !talk.encrypted => {
                    talk.say("220 2.0.0 go ahead\r\n");
                    talk.flush().await?;
                    return Ok(End::StartTls);
                }
                "MAIL" | "DATA" if open.chunks.is_some() => talk.say(BAD_SEQUENCE),
                "MAIL" => {
                    open = Transaction { sender: true, utf8: line.ends_with(" SMTPUTF8"), ..Transaction::default() };
                    talk.say("250 2.1.0 ok\r\n");
                }
                // RFC 6531 section 3.5.
                "RCPT" if open.sender && !open.utf8 && !line.is_ascii() => talk.say("553 5.6.7 no SMTPUTF8\r\n"),
                "RCPT" if open.sender => {
                    let (taken, reply) = self.recipient(&line);
                    open.recipient = open.recipient.or(taken);
                    talk.say(reply);
                }
                "DATA" if open.recipient.is_some() => {
                    talk.say("354 go ahead\r\n");
                    let message_id = talk.message().await?;
                    self.conclude(talk, message_id, std::mem::take(&mut open)).await?;
                }
                "BDAT" if self.recipe.chunking => self.chunk(talk, &line, &mut open).await?,
                "RSET" => {
                    open = Transaction::default();
                    talk.say("250 2.0.0 ok\r\n");
                }
                "QUIT" => {
                    talk.say("221 2.0.0 bye\r\n");
                    talk.flush().await?;
                    return Ok(End::Quit);
                }
                "RCPT" | "DATA" => talk.say(BAD_SEQUENCE),
                _ => talk.say("502 5.5.1 not here\r\n"),
            }
        }
    }

    /// BDAT (RFC 3030): its octets are read whatever is said of them; with the last of them the transaction is over.
    async fn chunk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        talk: &mut Talk<S>,
        line: &str,
        open: &mut Transaction,
    ) -> io::Result<()> {
        let mut words = line.split_ascii_whitespace().skip(1);
        // Where the chunk ends nobody could say.
        let size = words.next().and_then(|size| size.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut chunks = open.chunks.take().unwrap_or_default();
        talk.chunk(size, &mut chunks).await?;
        if open.recipient.is_none() {
            talk.say(BAD_SEQUENCE);
        } else if last {
            let message_id = (chunks.len() <= MAX_SIZE).then(|| message_id(&chunks)).flatten();
            self.conclude(talk, message_id, std::mem::take(open)).await?;
        } else {
            talk.say("250 2.0.0 go on\r\n");
            open.chunks = Some(chunks);
        }
        Ok(())
    }

    /// A whole message is here.
    async fn conclude<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        talk: &mut Talk<S>,
        message_id: Option<Vec<u8>>,
        open: Transaction,
    ) -> io::Result<()> {
        if !self.recipe.latency.is_zero() {
            talk.flush().await?;
            tokio::time::sleep(self.recipe.latency).await;
        }
        let recipient = open.recipient.as_deref().unwrap_or_default();
        talk.say(match message_id.map(|id| self.ledger.accept(&id, recipient)) {
            Some(Ok(())) => "250 2.0.0 accepted\r\n",
            Some(Err(_)) => "452 4.3.1 the ledger can't be written\r\n",
            None => "554 5.6.0 no Message-ID, or too large\r\n",
        });
        Ok(())
    }

    fn offer(&self, encrypted: bool) -> String {
        let mut lines = vec!["250-sandbox.invalid".to_owned()];
        if self.recipe.pipelining {
            lines.push("250-PIPELINING".into());
        }
        if self.recipe.chunking {
            lines.push("250-CHUNKING".into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Sandbox;
    use std::io::{Read, Write};

    /// The codes that a client hears who says all of this at once, and how many messages were accepted.
    fn answers(said: &str) -> (Vec<u16>, u64) {
        let address = "127.0.0.1:0".parse().expect("an address");
        let sandbox = Sandbox::start(address, Recipe::default(), Arc::default()).expect("it starts");
        let mut stream = std::net::TcpStream::connect(sandbox.address()).expect("it listens");
        stream.write_all(format!("{said}QUIT\r\n").as_bytes()).expect("written");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("to the end");
        let codes = heard.lines().map(|line| line[..3].parse().expect("a code")).collect();
        (codes, sandbox.ledger().totals().accepted)
    }

    const OPEN: &str = "MAIL FROM:<s@us.example>\r\nRCPT TO:<r@them.example>\r\n";
    const MESSAGE: &str = "Message-ID: <1@us.example>\r\n\r\n.\r\nQUIT\r\n";

    #[test]
    fn chunks_are_read_by_their_length() {
        let (size, rest) = (MESSAGE.len(), MESSAGE.len() - 10);
        let (first, second) = MESSAGE.split_at(10);
        let cases = [
            (format!("{OPEN}BDAT {size} LAST\r\n{MESSAGE}{OPEN}bdat {size} last\r\n{MESSAGE}"), vec![250; 6], 2),
            (format!("{OPEN}BDAT 10\r\n{first}BDAT {rest} LAST\r\n{second}"), vec![250; 4], 1),
            (format!("{OPEN}BDAT {size}\r\n{MESSAGE}BDAT 0 LAST\r\n"), vec![250; 4], 1),
            // In the middle of a message there is no other (RFC 3030 section 2), until it is reset.
            (format!("{OPEN}BDAT 10\r\n{first}{OPEN}"), vec![250, 250, 250, 503, 250], 0),
            (format!("{OPEN}BDAT 10\r\n{first}DATA\r\n"), vec![250, 250, 250, 503], 0),
            (format!("{OPEN}BDAT 10\r\n{first}RSET\r\n{OPEN}"), vec![250; 6], 0),
            // For nobody; what it says is no command.
            (format!("BDAT {size} LAST\r\n{MESSAGE}"), vec![503], 0),
            (format!("{OPEN}BDAT 4 LAST\r\nabc\n"), vec![250, 250, 554], 0),
        ];
        for (said, expected, accepted) in cases {
            let expected = [&[220][..], &expected, &[221]].concat();
            assert_eq!(answers(&said), (expected, accepted), "{said}");
        }
    }

    #[test]
    fn a_pipeline_ends_where_it_says_so() {
        let said = format!("{OPEN}DATA\r\n{}\r\n.\r\n{OPEN}RSET\r\n", "Message-ID: <1@us.example>\r\n");
        assert_eq!(answers(&said), (vec![220, 250, 250, 354, 250, 250, 250, 250, 221], 1));
    }
}
