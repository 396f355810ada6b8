//! Drives a [`Machine`] over a connection. It reads, writes and waits; it decides nothing.

use super::step::BLOCK_TIMEOUT;
use super::tls::{Terms, Trouble};
use super::writing::write_all;
use super::{Connector, Dial, Directive, Envelope, Framing, IoFault, Machine, Policy, Proof, ReplyParser};
use super::{Step, Verdict, Wire};
use crate::mail::{Demand, TlsFault};
use crate::metrics::Metrics;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// The largest piece of content written at once, three TLS records: what rustls takes in one call, and the kernel in another. Most
/// messages are one piece. The piece with the end is the last.
const BLOCK: usize = 48 * 1024;

/// Waits that configuration can shorten.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to open.
    pub connect: Duration,
    /// A bound over each command's own timeout.
    pub command: Option<Duration>,
}

impl Timeouts {
    fn of(&self, wait: Duration) -> Duration {
        self.command.map_or(wait, |bound| bound.min(wait))
    }
}

/// Where a session goes to, and from which of our addresses.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The server's address.
    pub address: SocketAddr,
    /// Its name, which TLS must prove.
    pub host: &'a str,
    /// Our address; `None` leaves it to the system.
    pub from: Option<IpAddr>,
}

/// What a handshake needs.
#[derive(Clone, Copy)]
struct Tls<'a> {
    connector: &'a Connector,
    terms: Terms<'a>,
}

/// An open session: greeted, encrypted as demanded, idle between messages.
pub struct Session {
    machine: Machine,
    stream: Stream,
    replies: ReplyParser,
    timeouts: Timeouts,
    metrics: Arc<Metrics>,
    blemish: Option<TlsFault>,
}

enum Stream {
    Clear(Wire),
    Tls(Box<TlsStream<Wire>>),
    /// Between the two, or after a handshake that failed.
    Gone,
}

/// What became of a message.
#[derive(Debug)]
pub enum Sent {
    /// This.
    Settled(Verdict),
    /// Nothing: the session ended, in this way, before it was clear that the server means it. Another was settled there before.
    Back(Verdict),
}

/// The moment before a message's last octets leave: the next may be opened with them.
pub struct Leaving<'a>(&'a mut Machine);

impl Leaving<'_> {
    /// Opens the next message's transaction, if the session can take it.
    pub fn open_ahead(&mut self, envelope: &Envelope, demand: &Demand) {
        self.0.open_ahead(envelope, demand);
    }
}

/// What the driver came back with.
enum Event {
    Idle,
    Content(Framing),
    Settled(Verdict),
    Back(Verdict),
    Failed(Verdict),
    Closed,
}

impl Session {
    /// Connects to `target` and goes as far as a message could be sent.
    ///
    /// # Errors
    /// Why no message can be sent here now.
    pub async fn open(
        dial: &dyn Dial,
        target: Target<'_>,
        policy: &Policy,
        connector: &Connector,
        timeouts: Timeouts,
        metrics: Arc<Metrics>,
    ) -> Result<Session, Verdict> {
        let terms = Terms {
            host: target.host,
            demand: &policy.demand,
            tlsa: &policy.tlsa,
            mx_trust: policy.mx_trust,
            identified: policy.access.certificate,
            looked_at: policy.looked_at,
        };
        let tls = Tls { connector, terms };
        let (machine, replies) = (Machine::new(policy.clone()), ReplyParser::default());
        let mut session = Session { machine, stream: Stream::Gone, replies, timeouts, metrics, blemish: None };
        match timeout(timeouts.connect, dial.dial(target)).await {
            Ok(Ok(stream)) => session.stream = Stream::Clear(stream),
            Ok(Err(fault)) => session.machine.broke(fault),
            Err(_) => session.machine.broke(IoFault::TimedOut),
        }
        match session.drive(Some(tls)).await {
            Event::Idle => Ok(session),
            Event::Failed(verdict) | Event::Settled(verdict) => Err(verdict),
            Event::Content(_) | Event::Back(_) | Event::Closed => Err(super::verdict::of_fault(None, IoFault::Lost)),
        }
    }

    /// Sends one message, or what is left to send of it where its transaction was opened ahead. `leaving` is called before the
    /// last octets are handed to the socket; it may refuse, or open the next message's transaction, which must be the next that
    /// is sent.
    ///
    /// Before another message the session must be brought to [`rest`](Session::rest), unless that was opened ahead or the session
    /// [takes it as it is](Session::takes_more).
    pub async fn send(
        &mut self,
        envelope: &Envelope,
        demand: &Demand,
        content: &[u8],
        leaving: impl FnOnce(&mut Leaving<'_>) -> bool,
    ) -> Sent {
        self.machine.begin(envelope, demand);
        let mut event = self.drive(None).await;
        if let Event::Content(framing) = event {
            self.write_content(framing, content, leaving).await;
            event = self.drive(None).await;
        }
        match event {
            Event::Settled(verdict) | Event::Failed(verdict) => Sent::Settled(verdict),
            Event::Back(verdict) => Sent::Back(verdict),
            Event::Idle | Event::Content(_) | Event::Closed => {
                Sent::Settled(super::verdict::of_fault(Some(Step::Data), IoFault::Lost))
            }
        }
    }

    /// Whether a message's transaction can be opened with the end of the one before it.
    pub fn pipelines(&self) -> bool {
        self.machine.pipelines()
    }

    /// Whether another message can be sent although replies are due.
    pub fn takes_more(&self) -> bool {
        self.machine.takes_more()
    }

    /// Whether the session goes on.
    pub fn is_open(&self) -> bool {
        !self.machine.is_closed()
    }

    /// Reads what is still due (the reply to RSET) and says whether another message can be sent. What the server said
    /// unasked can only be a 421.
    pub async fn rest(&mut self) -> bool {
        matches!(self.drive(None).await, Event::Idle) && !self.replies.has_rest()
    }

    /// What the peer has proven.
    pub fn proof(&self) -> Option<&Proof> {
        self.machine.proof()
    }

    /// What keeps the peer's certificate from proving its name to a root, where that was only looked at.
    pub fn blemish(&self) -> Option<TlsFault> {
        self.blemish
    }

    /// Says goodbye and closes.
    pub async fn quit(mut self) {
        self.machine.quit();
        self.drive(None).await;
        if let Stream::Tls(stream) = &mut self.stream {
            timeout(Step::Quit.timeout(), stream.shutdown()).await.ok();
        }
    }

    /// Waits until the server says or does something on an idle session: nothing good can come (421, or a close).
    pub async fn disturbed(&mut self) {
        let mut octet = [0; 512];
        self.read(&mut octet).await.ok();
    }

    async fn drive(&mut self, tls: Option<Tls<'_>>) -> Event {
        loop {
            match self.machine.directive() {
                Directive::Write(octets) => {
                    let wait = self.timeouts.of(BLOCK_TIMEOUT);
                    if let Err(fault) = bounded(wait, self.write(&octets)).await {
                        self.machine.broke(fault);
                    }
                }
                Directive::Await(step) => {
                    match bounded(self.timeouts.of(step.timeout()), self.next_reply(step)).await {
                        Ok(()) => {}
                        Err(fault) => {
                            tracing::debug!(awaiting = step.word(), ?fault, "session broken off");
                            self.machine.broke(fault);
                        }
                    }
                }
                Directive::Handshake => self.handshake(tls).await,
                Directive::Idle => return Event::Idle,
                Directive::Content(framing) => return Event::Content(framing),
                Directive::Settled(verdict) => return Event::Settled(verdict),
                Directive::Back(verdict) => return Event::Back(verdict),
                Directive::Failed(verdict) => return Event::Failed(verdict),
                Directive::Close => return Event::Closed,
            }
        }
    }

    async fn next_reply(&mut self, step: Step) -> io::Result<()> {
        loop {
            match self.replies.take() {
                Ok(Some(reply)) => {
                    self.metrics.replied(step.word(), reply.code);
                    self.machine.reply(&reply);
                    return Ok(());
                }
                Ok(None) => {}
                Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
            }
            let mut buffer = [0; 2048];
            match self.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.replies.feed(&buffer[..count]),
            }
        }
    }

    async fn handshake(&mut self, tls: Option<Tls<'_>>) {
        // RFC 3207 section 4, CVE-2011-0411: what was said in clear after the 220 must not be heard inside TLS.
        if self.replies.has_rest() {
            return self.machine.tls_failed(TlsFault::Injection);
        }
        let Stream::Clear(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return self.machine.tls_failed(TlsFault::HandshakeFailed);
        };
        let Some(tls) = tls else { return self.machine.tls_failed(TlsFault::HandshakeFailed) };
        let handshake = tls.connector.connect(stream, &tls.terms);
        match timeout(self.timeouts.of(Step::StartTls.timeout()), handshake).await {
            Ok(Ok((stream, proof, blemish))) => {
                self.blemish = blemish;
                self.stream = Stream::Tls(Box::new(stream));
                self.machine.secured(proof);
            }
            Ok(Err(Trouble::Tls(fault))) => self.machine.tls_failed(fault),
            Ok(Err(Trouble::Connection(fault))) => self.machine.broke(fault),
            Err(_) => self.machine.broke(IoFault::TimedOut),
        }
    }

    /// Writes the message in pieces; with the last of them goes what opens the next one's transaction. Before it `leaving`
    /// records that the message leaves; if the connection breaks in that piece, nobody knows whether the server has it.
    async fn write_content(
        &mut self,
        framing: Framing,
        content: &[u8],
        leaving: impl FnOnce(&mut Leaving<'_>) -> bool,
    ) {
        // A reply that is already here can't be the reply to what was not yet said.
        if self.replies.has_rest() {
            return self.machine.broke(IoFault::Malformed);
        }
        let mut wire = framing.wire(content);
        let last = wire.len().saturating_sub(1) / BLOCK * BLOCK;
        let wait = self.timeouts.of(BLOCK_TIMEOUT);
        for block in wire[..last].chunks(BLOCK) {
            if let Err(fault) = bounded(wait, self.write(block)).await {
                return self.machine.broke(fault);
            }
        }
        if !leaving(&mut Leaving(&mut self.machine)) {
            return self.machine.content_withheld();
        }
        wire.extend(self.machine.leave());
        match bounded(wait, self.write(&wire[last..])).await {
            // What the server said before it left still counts: reading tells of that, or of the same fault.
            Ok(()) | Err(IoFault::Lost) => {}
            Err(fault) => self.machine.broke(fault),
        }
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.metrics.sent.inc_by(octets.len() as u64);
        let before = self.replies.rest();
        let written = match &mut self.stream {
            Stream::Clear(stream) => write_all(stream, octets, &mut self.replies).await,
            Stream::Tls(stream) => write_all(stream, octets, &mut self.replies).await,
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        };
        self.metrics.received.inc_by((self.replies.rest() - before) as u64);
        written
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Clear(stream) => read(stream, buffer).await,
            Stream::Tls(stream) => read(stream, buffer).await,
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }?;
        self.metrics.received.inc_by(count as u64);
        Ok(count)
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<usize> {
    stream.read(buffer).await
}

async fn bounded(wait: Duration, work: impl Future<Output = io::Result<()>>) -> Result<(), IoFault> {
    match timeout(wait, work).await {
        Ok(Ok(())) => Ok(()),
        // In TLS 1.3 a server judges our certificate after our side of the handshake is over.
        Ok(Err(error)) if super::tls::refuses_our_certificate(&error) => Err(IoFault::ClientCertificate),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(IoFault::Malformed),
        Ok(Err(_)) => Err(IoFault::Lost),
        Err(_) => Err(IoFault::TimedOut),
    }
}
