//! One session of the embedded MX.

use super::gate::{Gate, Seat};
use super::recipe::Answer;
use super::talk::{MAX_SIZE, Talk, message_id};
use super::{Ledger, Recipe, Step};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

pub(super) struct Speaker {
    recipe: Rc<Recipe>,
    ledger: Arc<Ledger>,
    acceptor: TlsAcceptor,
    seat: Seat,
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
const TOO_MANY: &[u8] = b"421 4.7.0 too many concurrent connections from your address\r\n";

/// Lets a connection in and talks until it is over, or turns it away.
pub(super) async fn meet(
    mut stream: TcpStream,
    client: IpAddr,
    gate: Arc<Gate>,
    recipe: Rc<Recipe>,
    ledger: Arc<Ledger>,
    acceptor: TlsAcceptor,
) {
    // Not before this task has its turn: sessions whose end is known have given back their seats by then.
    let Some(seat) = gate.enter(client) else {
        ledger.turned_away();
        stream.write_all(TOO_MANY).await.ok();
        return;
    };
    ledger.session();
    Speaker { recipe, ledger: ledger.clone(), acceptor, seat }.talk(stream).await;
    ledger.ended();
}

impl Speaker {
    /// Talks until the client quits or the connection breaks; both end a session and neither is an error here.
    async fn talk(self, stream: TcpStream) {
        if let Ok(peer) = stream.peer_addr() {
            self.ledger.said(&format!("FROM {}", peer.ip()));
        }
        stream.set_nodelay(true).ok();
        let mut talk = Talk::new(stream, false, self.ledger.clone());
        talk.say("220 sandbox.invalid ESMTP\r\n");
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
                    self.ledger.offered();
                    open = Transaction { utf8: line.ends_with(" SMTPUTF8"), ..Transaction::default() };
                    if !self.too_fast(talk, Step::Mail).await? {
                        open.sender = true;
                        talk.say("250 2.1.0 ok\r\n");
                    }
                }
                // RFC 6531 section 3.5.
                "RCPT" if open.sender && !open.utf8 && !line.is_ascii() => talk.say("553 5.6.7 no SMTPUTF8\r\n"),
                "RCPT" if open.sender => {
                    if !self.too_fast(talk, Step::Rcpt).await? {
                        let (taken, reply) = self.recipient(&line);
                        open.recipient = open.recipient.or(taken);
                        talk.say(reply);
                    }
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
            self.ledger.content(|| chunks.clone());
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
        if self.too_fast(talk, Step::Message).await? {
            return Ok(());
        }
        let recipient = open.recipient.as_deref().unwrap_or_default();
        talk.say(match message_id.map(|id| self.ledger.accept(&id, recipient)) {
            Some(Ok(())) => "250 2.0.0 accepted\r\n",
            Some(Err(_)) => "452 4.3.1 the ledger can't be written\r\n",
            None => "554 5.6.0 no Message-ID, or too large\r\n",
        });
        Ok(())
    }

    /// Whether a message is one too many at this step. It is told so; where that is a 421 the session is over (RFC 5321 section
    /// 3.8).
    async fn too_fast<S: AsyncRead + AsyncWrite + Unpin>(&self, talk: &mut Talk<S>, step: Step) -> io::Result<bool> {
        let Some(reply) = self.seat.refuses(step) else { return Ok(false) };
        self.ledger.too_fast();
        talk.say(&reply);
        if reply.starts_with("421") {
            talk.hang_up().await?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(true)
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
    use crate::sandbox::{Sandbox, Schedule};
    use std::io::{Read, Write};

    fn a_sandbox(limits: &str) -> Sandbox {
        let recipe = Recipe { limits: Schedule::parse(limits).expect("good"), ..Recipe::default() };
        let ledger = Arc::new(Ledger::default().with_course());
        Sandbox::start("127.0.0.1:0".parse().expect("an address"), recipe, ledger).expect("it starts")
    }

    /// What a client hears who says all of this at once.
    fn heard(sandbox: &Sandbox, said: &str) -> String {
        let mut stream = std::net::TcpStream::connect(sandbox.address()).expect("it listens");
        stream.write_all(format!("{said}QUIT\r\n").as_bytes()).expect("written");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("to the end");
        heard
    }

    /// The codes of that, and how many messages were accepted.
    fn answers(said: &str) -> (Vec<u16>, u64) {
        let sandbox = a_sandbox("limits = []");
        let heard = heard(&sandbox, said);
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

    #[test]
    fn a_message_too_many_is_refused_at_the_step_that_is_named() {
        let message = "DATA\r\nMessage-ID: <1@us.example>\r\n\r\n.\r\n";
        let slow = "rate = \"1/day\"";
        for (limits, second) in [
            (
                slow.to_owned(),
                vec!["451 4.7.1 rate limited, try again later", "503", "503", "502", "502", "502", "221"],
            ),
            (format!("{slow}\nrefuse_at = \"rcpt\""), vec!["250", "451", "503", "502", "502", "502", "221"]),
            (format!("{slow}\nrefuse_at = \"message\""), vec!["250", "250", "354", "451", "221"]),
            (format!("{slow}\nreply = \"421 4.7.28 too fast\""), vec!["421 4.7.28 too fast"]),
        ] {
            let sandbox = a_sandbox(&format!("[[limits]]\n{limits}\n"));
            let heard = heard(&sandbox, &format!("{OPEN}{message}{OPEN}{message}"));
            let second_said: Vec<_> = heard.lines().skip(5).collect();
            let as_told = second_said.len() == second.len();
            assert!(
                as_told && second_said.iter().zip(&second).all(|(said, told)| said.starts_with(told)),
                "{limits}: {heard}"
            );
            let totals = sandbox.ledger().totals();
            assert_eq!((totals.offered, totals.accepted, totals.refused_rate), (2, 1, 1), "{limits}");
        }
    }

    #[test]
    fn a_connection_too_many_is_told_so_and_left() {
        let sandbox = a_sandbox("[[limits]]\nmost_connections = 1\n");
        let mut first = std::net::TcpStream::connect(sandbox.address()).expect("it listens");
        let mut greeting = [0; 4];
        first.read_exact(&mut greeting).expect("a greeting");
        let mut second = std::net::TcpStream::connect(sandbox.address()).expect("it listens");
        let mut heard = String::new();
        second.read_to_string(&mut heard).expect("to the end");
        assert_eq!(heard, "421 4.7.0 too many concurrent connections from your address\r\n");
        sandbox.limit(Schedule::default());
        assert!(self::heard(&sandbox, "").starts_with("220 "), "there is no limit any longer");
        let totals = sandbox.ledger().totals();
        assert_eq!((totals.sessions, totals.refused_connections), (2, 1));
        let course = sandbox.ledger().course().expect("it was asked for");
        assert_eq!((course.most_open, course.seconds.iter().map(|second| second.connections).sum::<u32>()), (2, 3));
    }
}
