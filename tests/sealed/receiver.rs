//! An MX host that does with TLS what it is told, and keeps every octet that reached it.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of STARTTLS.
#[derive(Clone)]
pub enum StartTls {
    Offered,
    Missing,
    /// Offered until this is set.
    Until(Arc<AtomicBool>),
    /// Octets in clear follow its 220.
    Injected,
    /// Offered, and its handshake is another server's.
    At(SocketAddr),
}

/// Everything that reached a receiver.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Session>>>);

/// One session as the receiver knows it.
#[derive(Clone)]
struct Session {
    /// The octets that came over the wire.
    wire: Octets,
    /// What the TLS that we speak made of them.
    sealed: Octets,
}

type Octets = Arc<Mutex<Vec<u8>>>;

/// What a client with one EHLO name let a receiver see.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub sessions: usize,
    wire: Vec<u8>,
    sealed: Vec<u8>,
}

impl Seen {
    /// By everyone who said EHLO with this name.
    pub fn of(&self, ehlo: &str) -> View {
        let greeting = format!("EHLO {ehlo}\r\n");
        let mut view = View::default();
        for session in &*self.0.lock().expect("no holder panics") {
            let wire = session.wire.lock().expect("no holder panics");
            if wire.starts_with(greeting.as_bytes()) {
                view.sessions += 1;
                view.wire.extend_from_slice(&wire);
                view.sealed.extend_from_slice(&session.sealed.lock().expect("no holder panics"));
            }
        }
        view
    }
}

impl Seen {
    /// Each session, whoever it was.
    pub fn each(&self) -> Vec<View> {
        let octets = |octets: &Octets| octets.lock().expect("no holder panics").clone();
        let view =
            |session: &Session| View { sessions: 1, wire: octets(&session.wire), sealed: octets(&session.sealed) };
        self.0.lock().expect("no holder panics").iter().map(view).collect()
    }
}

impl View {
    /// Which of `words` went over the wire so that everybody on the way could read them.
    pub fn in_clear<'a>(&self, words: &[&'a str]) -> Vec<&'a str> {
        found(&self.wire, words)
    }

    /// Which of them came inside TLS.
    pub fn in_tls<'a>(&self, words: &[&'a str]) -> Vec<&'a str> {
        found(&self.sealed, words)
    }
}

fn found<'a>(octets: &[u8], words: &[&'a str]) -> Vec<&'a str> {
    let holds = |word: &&str| octets.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()));
    words.iter().copied().filter(holds).collect()
}

/// Listens at `address` for as long as the test lives.
pub fn listen(address: SocketAddr, starttls: StartTls, tls: Arc<ServerConfig>) -> Seen {
    let seen = Seen::default();
    let sessions = seen.0.clone();
    serve(address, move |stream| {
        let session = Session { wire: Octets::default(), sealed: Octets::default() };
        sessions.lock().expect("no holder panics").push(session.clone());
        converse(Tap { stream, wire: session.wire }, &session.sealed, &starttls, &tls);
    });
    seen
}

/// Does `work` for each connection to `address`, in a thread of its own.
pub fn serve(address: SocketAddr, work: impl Fn(TcpStream) + Send + Sync + 'static) {
    let listener = TcpListener::bind(address).expect("loopback");
    let work = Arc::new(work);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, work) = (stream.expect("a connection"), work.clone());
            stream.set_nodelay(true).expect("set");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
            std::thread::spawn(move || work(stream));
        }
    });
}

/// A connection all of whose octets are kept.
struct Tap {
    stream: TcpStream,
    wire: Octets,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.wire.lock().expect("no holder panics").extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl Write for Tap {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.stream.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn converse(mut tap: Tap, sealed: &Octets, starttls: &StartTls, tls: &Arc<ServerConfig>) {
    if tap.write_all(b"220 mx ESMTP\r\n").is_err() {
        return;
    }
    let offered = match starttls {
        StartTls::Missing => false,
        StartTls::Until(over) => !over.load(Ordering::SeqCst),
        _ => true,
    };
    // In clear, the octets of the wire are all that there is to know.
    let Some(mut tap) = talk(tap, offered, &Octets::default()) else { return };
    let more: &[u8] = if matches!(starttls, StartTls::Injected) { b"250 injected\r\n" } else { b"" };
    if tap.write_all(&[b"220 go ahead\r\n", more].concat()).is_err() {
        return;
    }
    if let StartTls::At(other) = starttls {
        return between(tap, *other);
    }
    let connection = ServerConnection::new(tls.clone()).expect("it is configured");
    talk(StreamOwned::new(connection, tap), false, sealed);
}

/// Takes whatever it gets. Gives the stream back when TLS is to begin on it.
fn talk<S: Read + Write>(stream: S, offers_tls: bool, said: &Octets) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut in_content = false;
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        said.lock().expect("no holder panics").extend_from_slice(&line);
        let reply: &[u8] = match line.get(..4).unwrap_or(&line) {
            _ if in_content && line != b".\r\n" => continue,
            _ if in_content => b"250 2.0.0 taken\r\n",
            b"EHLO" if offers_tls => b"250-mx\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
            b"EHLO" => b"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"STAR" if offers_tls => return Some(stream.into_inner()),
            b"DATA" => b"354 go on\r\n",
            b"QUIT" => b"221 bye\r\n",
            _ => b"250 2.0.0 fine\r\n",
        };
        in_content = reply.starts_with(b"354");
        stream.get_mut().write_all(reply).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

/// Carries octets between a client and another server.
fn between(mut client: Tap, server: SocketAddr) {
    let Ok(mut back) = TcpStream::connect(server) else { return };
    let (Ok(mut forth), Ok(mut answers)) = (back.try_clone(), client.stream.try_clone()) else { return };
    std::thread::spawn(move || {
        std::io::copy(&mut back, &mut answers).ok();
        answers.shutdown(Shutdown::Both).ok();
    });
    std::io::copy(&mut client, &mut forth).ok();
    forth.shutdown(Shutdown::Both).ok();
}
