//! A receiver that outlives its process: the embedded MX with a port, a certificate authority and a ledger that last.

use super::Desk;
use super::process::{freeze, sockets_of, thaw, until};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// `sealpost sandbox` that can be killed and started again. Its files are `NAME.pem`, `NAME.key` and `NAME.ledger`.
pub struct Lasting {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    name: String,
    pub port: u16,
    at_rest: usize,
}

impl Lasting {
    /// The receiver whose CA [`Desk::light`] trusts.
    pub fn start(desk: &Desk, args: &[&str]) -> Lasting {
        Lasting::named(desk, "mx", args)
    }

    /// One of several.
    pub fn named(desk: &Desk, name: &str, args: &[&str]) -> Lasting {
        let port = quiet_port();
        let ca = format!("{name}.pem");
        let (child, stdout) = run(desk, name, port, &[&["--ca", &ca], args].concat());
        let at_rest = sockets_of(child.id());
        Lasting { child, _stdout: stdout, name: name.to_owned(), port, at_rest }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("it ends");
    }

    /// Starts it again: the same port, the same CA, the same ledger.
    pub fn revive(&mut self, desk: &Desk, args: &[&str]) {
        (self.child, self._stdout) = run(desk, &self.name, self.port, args);
        self.at_rest = sockets_of(self.child.id());
    }

    /// SIGSTOP: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        freeze(self.child.id());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        thaw(self.child.id());
    }

    /// Waits until it is done with every message it got, also those of clients that are dead.
    pub fn settle(&self) {
        until("the receiver's last session", || sockets_of(self.child.id()) <= self.at_rest);
    }

    /// What it accepted so far.
    pub fn accepted(&self, desk: &Desk) -> Accepted {
        self.accepted_for(desk, "")
    }

    /// What it accepted so far for recipients that end so.
    pub fn accepted_for(&self, desk: &Desk, ending: &str) -> Accepted {
        let ledger = desk.path(&format!("{}.ledger", self.name));
        Accepted::of(&std::fs::read_to_string(ledger).unwrap_or_default(), ending)
    }

    /// Counts what it accepts, without reading it all each time.
    pub fn journal(&self, desk: &Desk) -> Journal {
        let path = desk.path(&format!("{}.ledger", self.name));
        Journal { file: File::open(path).expect("the ledger"), lines: 0 }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(desk: &Desk, name: &str, port: u16, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let [key, ledger] = ["key", "ledger"].map(|ending| format!("{name}.{ending}"));
    let listen = format!("127.0.0.1:{port}");
    let own = ["sandbox", "--listen", &listen, "--identity", &key, "--ledger", &ledger, "--recipients"];
    let mut command: Command = desk.command(&[&own, args].concat());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the sandbox runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("its address");
    assert_eq!(line.trim(), listen, "the sandbox does not listen");
    (child, stdout)
}

/// A free port below those that the kernel gives to clients: nobody takes it while its owner is dead, and no client that
/// calls it then is connected to itself.
fn quiet_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 12_000).expect("small");
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The lines of a ledger, counted as they come.
pub struct Journal {
    file: File,
    lines: usize,
}

impl Journal {
    /// Messages accepted so far.
    pub fn count(&mut self) -> usize {
        let mut more = Vec::new();
        self.file.read_to_end(&mut more).expect("readable");
        self.lines += more.iter().filter(|octet| **octet == b'\n').count();
        self.lines
    }

    /// Waits for so many messages.
    pub fn reaches(&mut self, count: usize) {
        until(&format!("{count} messages"), || self.count() >= count);
    }
}

/// What a receiver accepted: recipients in order, and how often each Message-ID and each recipient came.
pub struct Accepted {
    pub recipients: Vec<String>,
    ids: HashMap<String, usize>,
    rows: HashMap<String, usize>,
}

impl Accepted {
    fn of(text: &str, ending: &str) -> Accepted {
        let mut accepted = Accepted { recipients: Vec::new(), ids: HashMap::new(), rows: HashMap::new() };
        for line in text.lines().filter(|line| line.ends_with(ending)) {
            let (id, recipient) = line.split_once(' ').expect("a Message-ID and a recipient");
            *accepted.ids.entry(id.to_owned()).or_default() += 1;
            *accepted.rows.entry(recipient.to_owned()).or_default() += 1;
            accepted.recipients.push(recipient.to_owned());
        }
        accepted
    }

    /// Messages.
    pub fn len(&self) -> usize {
        self.recipients.len()
    }

    /// Recipients that have at least one.
    pub fn people(&self) -> usize {
        self.rows.len()
    }

    /// How many a recipient got.
    pub fn count(&self, recipient: &str) -> usize {
        self.rows.get(recipient).copied().unwrap_or(0)
    }

    /// The rows of recipients like `r17@…` that were accepted at least `times` times.
    pub fn rows(&self, times: usize) -> std::collections::BTreeSet<u64> {
        self.rows.iter().filter(|(_, count)| **count >= times).map(|(recipient, _)| row(recipient)).collect()
    }

    /// Message-IDs that came more than once.
    pub fn ids_twice(&self) -> usize {
        self.ids.values().filter(|count| **count > 1).count()
    }
}

/// The number in `r17@…`.
pub fn row(recipient: &str) -> u64 {
    let number = recipient.strip_prefix('r').and_then(|rest| rest.split_once('@')).map(|(number, _)| number);
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{recipient} names no row"))
}
