//! A relay on loopback that is as far away as one likes: what comes in on one side leaves on the other half a round trip later, in
//! order, each piece at its own time. Bandwidth is what the machine has. It can let connections die, and it counts.
//!
//! One thread looks after all of it with `poll`, whose timeout is in nanoseconds: tokio's timers count milliseconds, which are
//! several per cent of what is measured here.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How far away it is, and how long connections last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// There and back.
    pub rtt: Duration,
    /// A connection that has carried so many octets is never heard of again.
    pub drop_after: Option<u64>,
    /// A connection that has carried so many octets is reset.
    pub reset_after: Option<u64>,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub connections: u64,
    pub dropped: u64,
    pub reset: u64,
    /// What clients sent, and servers.
    pub client: Side,
    pub server: Side,
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    pub octets: u64,
    pub pieces: u64,
    /// How often it spoke after the other side had: of clients, round trips.
    pub turns: u64,
}

impl Tally {
    /// As one JSON object. A connection's own round trip, for SYN and ACK, is not among the turns.
    pub fn json(&self) -> serde_json::Value {
        let side = |side: Side| serde_json::json!({"octets": side.octets, "pieces": side.pieces, "turns": side.turns});
        serde_json::json!({
            "connections": self.connections, "dropped": self.dropped, "reset": self.reset,
            "client": side(self.client), "server": side(self.server),
        })
    }
}

/// A relay at work; it ends when it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens on `listen`, a loopback address like `to`, whither everything goes.
    ///
    /// # Errors
    /// An address is not on loopback, or can't be listened on.
    pub fn start(listen: SocketAddr, to: SocketAddr, terms: Terms) -> std::io::Result<Relay> {
        if !listen.ip().is_loopback() || !to.ip().is_loopback() {
            return Err(std::io::Error::other("loopback addresses only"));
        }
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (tally, stop) = (Arc::new(Mutex::new(Tally::default())), Arc::new(AtomicBool::new(false)));
        let mut work = Work { to, terms, tally: tally.clone(), pairs: Vec::new() };
        let (stopped, mut octets) = (stop.clone(), vec![0; PIECE]);
        let thread = std::thread::Builder::new().name("wire".into()).spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                work.wait(&listener);
                work.accept(&listener);
                let Work { to, terms, tally, pairs } = &mut work;
                let tally = &mut *tally.lock().expect("no holder panics");
                pairs.retain_mut(|pair| pair.work(*to, *terms, &mut octets, tally).is_some());
            }
        })?;
        Ok(Relay { address, tally, stop, thread: Some(thread) })
    }

    /// What went through so far.
    pub fn tally(&self) -> Tally {
        *self.tally.lock().expect("no holder panics")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The most that is read at once, and what may be on its way before a sender has to wait.
const PIECE: usize = 64 * 1024;
const ON_THE_WAY: usize = 16 << 20;
/// How soon it notices that it is to stop.
const LOOK: Duration = Duration::from_millis(50);

struct Work {
    to: SocketAddr,
    terms: Terms,
    tally: Arc<Mutex<Tally>>,
    pairs: Vec<Pair>,
}

impl Work {
    /// Waits until there is something to read or to write, and notes where.
    fn wait(&mut self, listener: &TcpListener) {
        let mut due = Instant::now() + LOOK;
        let (mut watched, mut whose) = (vec![PollFd::new(listener, PollFlags::IN)], Vec::new());
        for (number, pair) in self.pairs.iter().enumerate() {
            due = pair.due().map_or(due, |first| due.min(first));
            let ends = [(Some(&pair.client), &pair.up, &pair.down), (pair.server.as_ref(), &pair.down, &pair.up)];
            for (server, (stream, into, from)) in [false, true].into_iter().zip(ends) {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, into.takes_more());
                flags.set(PollFlags::OUT, from.blocked);
                if let Some(stream) = stream.filter(|_| !flags.is_empty()) {
                    watched.push(PollFd::new(stream, flags));
                    whose.push((number, server));
                }
            }
        }
        let wait = Timespec::try_from(due.saturating_duration_since(Instant::now())).expect("less than a second");
        poll(&mut watched, Some(&wait)).ok();
        let readable = watched[1..].iter().map(|fd| !(fd.revents() - PollFlags::OUT).is_empty()).collect::<Vec<_>>();
        for ((number, server), readable) in whose.into_iter().zip(readable) {
            let pair = &mut self.pairs[number];
            if server { pair.down.readable = readable } else { pair.up.readable = readable }
        }
    }

    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            let ready = client.set_nonblocking(true).and_then(|()| client.set_nodelay(true));
            if ready.is_ok() {
                self.tally.lock().expect("no holder panics").connections += 1;
                self.pairs.push(Pair::new(client, self.terms.rtt));
            }
        }
    }
}

/// One connection.
struct Pair {
    client: TcpStream,
    /// From when the client's SYN and ACK would be there.
    server: Option<TcpStream>,
    opens: Instant,
    up: Flow,
    down: Flow,
    /// Whether the server spoke last; nobody has at first.
    heard: Option<bool>,
    carried: u64,
    hung: bool,
}

/// What goes one way.
#[derive(Default)]
struct Flow {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    /// Of the first piece, what has left.
    left: usize,
    held: usize,
    /// The sender has closed, and when that gets there.
    end: Option<Instant>,
    readable: bool,
    /// The receiver takes no more for now.
    blocked: bool,
    over: bool,
}

impl Pair {
    fn new(client: TcpStream, rtt: Duration) -> Pair {
        let opens = Instant::now() + rtt * 3 / 2;
        let (up, down) = (Flow::default(), Flow::default());
        Pair { client, server: None, opens, up, down, heard: None, carried: 0, hung: false }
    }

    fn due(&self) -> Option<Instant> {
        if self.server.is_none() {
            return Some(self.opens);
        }
        [self.up.due(), self.down.due()].into_iter().flatten().min()
    }

    /// Moves on what can move; `None` once the connection is over.
    fn work(&mut self, to: SocketAddr, terms: Terms, octets: &mut [u8], tally: &mut Tally) -> Option<()> {
        let now = Instant::now();
        let delay = terms.rtt / 2;
        self.hear(now + delay, false, octets, tally)?;
        if self.server.is_none() && self.opens <= now {
            let server = TcpStream::connect(to).ok()?;
            server.set_nonblocking(true).and_then(|()| server.set_nodelay(true)).ok()?;
            self.server = Some(server);
        }
        self.hear(now + delay, true, octets, tally)?;
        if terms.reset_after.is_some_and(|most| self.carried >= most) {
            tally.reset += 1;
            for stream in std::iter::once(&self.client).chain(&self.server) {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).ok();
            }
            return None;
        }
        if !self.hung && terms.drop_after.is_some_and(|most| self.carried >= most) {
            tally.dropped += 1;
            self.hung = true;
        }
        if self.hung {
            for flow in [&mut self.up, &mut self.down] {
                (flow.pieces, flow.held) = (VecDeque::new(), 0);
            }
            return self.up.end.is_none().then_some(());
        }
        let server = self.server.as_ref();
        if let Some(server) = server {
            self.up.leave(server, now)?;
            self.down.leave(&self.client, now)?;
        }
        (!(self.up.over && self.down.over)).then_some(())
    }

    /// Reads what one side says.
    fn hear(&mut self, due: Instant, server: bool, octets: &mut [u8], tally: &mut Tally) -> Option<()> {
        let (stream, flow) = match server {
            true => (self.server.as_ref(), &mut self.down),
            false => (Some(&self.client), &mut self.up),
        };
        let Some(mut stream) = stream else { return Some(()) };
        while flow.takes_more() && flow.readable {
            match stream.read(octets) {
                Ok(0) => flow.end = Some(due),
                Ok(count) => {
                    let side = if server { &mut tally.server } else { &mut tally.client };
                    side.octets += count as u64;
                    side.pieces += 1;
                    side.turns += u64::from(self.heard.replace(server) != Some(server));
                    self.carried += count as u64;
                    flow.held += count;
                    flow.pieces.push_back((due, octets[..count].to_vec()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => flow.readable = false,
                // Whoever resets a connection resets the other half too.
                Err(_) => return None,
            }
        }
        Some(())
    }
}

impl Flow {
    fn takes_more(&self) -> bool {
        self.end.is_none() && self.held < ON_THE_WAY
    }

    fn due(&self) -> Option<Instant> {
        if self.blocked || self.over {
            return None;
        }
        self.pieces.front().map(|(due, _)| *due).or(self.end)
    }

    /// Hands over what is due.
    fn leave(&mut self, mut to: &TcpStream, now: Instant) -> Option<()> {
        self.blocked = false;
        while let Some((_, octets)) = self.pieces.front().filter(|(due, _)| *due <= now) {
            match to.write(&octets[self.left..]) {
                Ok(count) => self.left += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Some(());
                }
                Err(_) => return None,
            }
            if self.left == octets.len() {
                self.held -= self.left;
                self.left = 0;
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty() && !self.over && self.end.is_some_and(|end| end <= now) {
            self.over = true;
            to.shutdown(Shutdown::Write).ok();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    const RTT: Duration = Duration::from_millis(60);

    /// A server that answers each line with itself, and the relay before it.
    fn echo(terms: Terms) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let to = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    for line in std::io::BufReader::new(&stream).lines().map_while(Result::ok) {
                        (&stream).write_all(format!("{line}\n").as_bytes()).ok();
                    }
                });
            }
        });
        Relay::start("127.0.0.1:0".parse().expect("an address"), to, terms).expect("it starts")
    }

    fn hear(reader: &mut impl BufRead) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        line
    }

    #[test]
    fn what_is_said_is_heard_half_a_round_trip_later_in_order() {
        let relay = echo(Terms { rtt: RTT, ..Terms::default() });
        let stream = TcpStream::connect(relay.address).expect("it listens");
        let (mut reader, since) = (std::io::BufReader::new(&stream), Instant::now());
        (&stream).write_all(b"one\n").expect("written");
        // The connection's own round trip, and half of one until the server may speak.
        assert_eq!(hear(&mut reader), "one\n");
        assert!(since.elapsed() >= RTT * 2, "{:?}", since.elapsed());
        let since = Instant::now();
        (&stream).write_all(b"two\n").expect("written");
        let later = RTT / 3;
        std::thread::sleep(later);
        (&stream).write_all(b"three\n").expect("written");
        assert_eq!(hear(&mut reader), "two\n");
        assert!(since.elapsed() >= RTT, "{:?}", since.elapsed());
        assert_eq!(hear(&mut reader), "three\n");
        assert!(since.elapsed() >= RTT + later, "each at its own time: {:?}", since.elapsed());
        let tally = relay.tally();
        assert_eq!((tally.connections, tally.client.octets, tally.server.octets), (1, 14, 14));
        // Two and three went out without waiting for an answer.
        assert_eq!((tally.client.turns, tally.server.turns, tally.client.pieces), (2, 2, 3));
    }

    #[test]
    fn connections_are_reset_or_never_heard_of_again() {
        let relay = echo(Terms { reset_after: Some(4), ..Terms::default() });
        let mut stream = TcpStream::connect(relay.address).expect("it listens");
        stream.write_all(b"one\n").expect("written");
        assert_eq!(stream.read(&mut [0; 9]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        assert_eq!(relay.tally().reset, 1);
        let relay = echo(Terms { drop_after: Some(8), ..Terms::default() });
        let mut stream = TcpStream::connect(relay.address).expect("it listens");
        stream.set_read_timeout(Some(RTT)).expect("set");
        stream.write_all(b"a\n").expect("written");
        assert_eq!(stream.read(&mut [0; 9]).expect("an answer"), 2);
        stream.write_all(b"one\n").expect("written");
        assert_eq!(stream.read(&mut [0; 9]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        assert_eq!(relay.tally().dropped, 1);
    }

    #[test]
    fn an_end_gets_there_after_what_was_said_before_it() {
        let relay = echo(Terms { rtt: RTT, ..Terms::default() });
        let mut stream = TcpStream::connect(relay.address).expect("it listens");
        stream.write_all(b"one\n").expect("written");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("to the end");
        assert_eq!(answer, "one\n");
    }
}
