//! Servers that take mail: the embedded MX as a process of its own, and Debian's Postfix.

use super::{Authority, Desk, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// `sealpost sandbox` with its CA, ledger and transcript in the desk's folder.
pub struct Mx {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub port: u16,
}

impl Mx {
    pub fn start(desk: &Desk, args: &[&str]) -> Mx {
        Mx::run(desk, &[&["--ca", "ca.pem", "--ledger", "ledger", "--transcript", "transcript"], args].concat())
    }

    /// One of several: it listens on `address`, and its files are `NAME.pem`, `NAME.ledger` and `NAME.transcript`.
    pub fn named(desk: &Desk, name: &str, address: &str, args: &[&str]) -> Mx {
        let [ca, ledger, transcript] = ["pem", "ledger", "transcript"].map(|ending| format!("{name}.{ending}"));
        let own = ["--listen", address, "--ca", &ca, "--ledger", &ledger, "--transcript", &transcript];
        Mx::run(desk, &[&own, args].concat())
    }

    fn run(desk: &Desk, args: &[&str]) -> Mx {
        let mut command = desk.command(&[&["sandbox"], args].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the sandbox runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its address");
        let port = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Mx { child, stdout, port: port.unwrap_or_else(|| panic!("no address: {line}")) }
    }

    /// Stops it and gives its counts.
    pub fn totals(mut self) -> Value {
        signal(self.child.id(), "TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("its totals");
        self.child.wait().expect("it ends");
        serde_json::from_str(rest.trim()).expect("JSON")
    }
}

impl Drop for Mx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    // The shell's own kill: /bin/kill is missing where procps is.
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().expect("sh runs");
    assert!(status.success());
}

/// Accepted Message-IDs, in order.
pub fn ledger(desk: &Desk) -> Vec<String> {
    let text = std::fs::read_to_string(desk.path("ledger")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Debian's Knot on loopback, authoritative for what lies in its `zones`.
pub struct Knot {
    folder: tempfile::TempDir,
    pub port: u16,
}

/// What begins every zone: short negative answers, and a name server that is this machine.
const ZONE: &str = "$TTL 60\n@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n";

impl Knot {
    /// Serves one zone with these records; `broken` zones answer SERVFAIL.
    pub fn start(zone: &str, records: &str, broken: &[&str]) -> Knot {
        let knot = Knot::still();
        for name in broken {
            std::fs::write(knot.path(&format!("zones/{name}.broken")), "").expect("written");
        }
        knot.write(zone, records);
        knot.start_again();
        knot
    }

    /// One that does not answer yet and has no zones.
    pub fn still() -> Knot {
        let knot = Knot { folder: tempfile::tempdir().expect("a folder"), port: super::free_port() };
        std::fs::create_dir(knot.path("zones")).expect("a folder");
        knot
    }

    /// Replaces a zone's records.
    pub fn change(&self, zone: &str, records: &str) {
        self.write(zone, records);
        self.script("reload", &[]);
    }

    /// Nobody answers any more, until [`start_again`](Knot::start_again).
    pub fn stop(&self) {
        self.script("stop", &[]);
    }

    /// Answers again, at the same port.
    pub fn start_again(&self) {
        self.script("start", &[&self.port.to_string()]);
    }

    /// How many queries it answered for this zone.
    pub fn queries(&self, zone: &str) -> u64 {
        self.script("queries", &[zone]).trim().parse().expect("a number")
    }

    /// From now on a zone, or a part of one that is delegated, answers SERVFAIL.
    pub fn fail(&self, zone: &str) {
        std::fs::write(self.path(&format!("zones/{zone}.broken")), "").expect("written");
        self.script("reload", &[]);
    }

    /// A zone's records, for the next start or reload.
    pub fn write(&self, zone: &str, records: &str) {
        std::fs::write(self.path(&format!("zones/{zone}.zone")), format!("{ZONE}{records}")).expect("written");
    }

    /// A file in its folder; `knot.sh` says what is what there.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn script(&self, verb: &str, more: &[&str]) -> String {
        script("knot.sh", &[&[verb, path(self.folder.path())], more].concat())
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

/// Debian's Prometheus, scraping `target` twice a second.
pub struct Prometheus {
    folder: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    pub fn start(target: &str) -> Prometheus {
        let prometheus = Prometheus { folder: tempfile::tempdir().expect("a folder"), port: super::free_port() };
        let folder = path(prometheus.folder.path());
        script("prometheus.sh", &["start", folder, &prometheus.port.to_string(), target]);
        prometheus
    }

    /// Waits until something was scraped that is as new as this call.
    pub fn scraped(&self) {
        script("prometheus.sh", &["scraped", path(self.folder.path())]);
    }

    /// What a query says now, by the values of `label`.
    pub fn query(&self, query: &str, label: &str) -> BTreeMap<String, f64> {
        let encoded: String = query.bytes().map(|octet| format!("%{octet:02x}")).collect();
        let answer = get(self.port, &format!("/api/v1/query?query={encoded}"));
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        let number = |value: &Value| value["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number");
        result.iter().map(|one| (one["metric"][label].as_str().unwrap_or_default().to_owned(), number(one))).collect()
    }

    /// What a query says that has one answer.
    pub fn one(&self, query: &str) -> f64 {
        let found = self.query(query, "");
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[""]
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        script("prometheus.sh", &["stop", path(self.folder.path())]);
    }
}

/// What `promtool check metrics` says of `text`: whether it is content, and its words.
pub fn promtool_check(text: &str) -> (bool, String) {
    let mut command = Command::new(root().join("tests/support/prometheus.sh"));
    command.args(["promtool", "check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The body that 127.0.0.1:`port` answers to GET `path`.
pub fn get(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() }
}

/// RFC 9112 section 7.1.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// Runs a script of `tests/support` and gives what it printed.
fn script(name: &str, args: &[&str]) -> String {
    let output = Command::new(root().join("tests/support").join(name)).args(args).output().expect("the script runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {said}; was it installed? `make test` does");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Debian's Postfix or Exim on loopback, with a certificate of a private CA.
pub struct Debian {
    server: &'static str,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Debian {
    /// Postfix under the name 127.0.0.1.
    pub fn postfix(authority: &Authority) -> Debian {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = authority.leaf("127.0.0.1", folder.path());
        Debian::start("postfix.sh", folder, &pair, &[])
    }

    /// Exim under the name 127.0.0.1.
    pub fn exim(authority: &Authority) -> Debian {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = authority.leaf("127.0.0.1", folder.path());
        Debian::start("exim.sh", folder, &pair, &[])
    }

    /// Exim as a smarthost, with a certificate of ours and what `exim.sh` takes after it.
    pub fn smarthost(pair: &(PathBuf, PathBuf), more: &[&str]) -> Debian {
        Debian::start("exim.sh", tempfile::tempdir().expect("a folder"), pair, more)
    }

    fn start(server: &'static str, folder: tempfile::TempDir, pair: &(PathBuf, PathBuf), more: &[&str]) -> Debian {
        let debian = Debian { server, folder, port: super::free_port() };
        let port = debian.port.to_string();
        debian.script("start", &[&[&port, path(&pair.0), path(&pair.1)], more].concat());
        debian
    }

    /// What Exim says it did.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("mx/log/mainlog")).unwrap_or_default()
    }

    /// Waits until everything accepted lies in the maildir.
    pub fn drain(&self) {
        self.script("drain", &[]);
    }

    pub fn maildir(&self) -> PathBuf {
        self.folder.path().join("mx/maildir")
    }

    fn script(&self, verb: &str, more: &[&str]) {
        let folder = self.folder.path().join("mx");
        // Servers that it leaves behind must not hold our pipes: the output is not caught.
        let mut command = Command::new(root().join("tests/support").join(self.server));
        let status = command.args([verb, path(&folder)]).args(more).status().expect("the script runs");
        assert!(status.success(), "{} {verb}: {status}; was it installed? `make test` does", self.server);
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let folder = self.folder.path().join("mx");
        Command::new(root().join("tests/support").join(self.server)).args(["stop", path(&folder)]).status().ok();
    }
}

/// Where tests' programs are.
pub fn cache() -> PathBuf {
    let default = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/sealpost");
    std::env::var_os("SEALPOST_CACHE").map_or_else(default, PathBuf::from)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}
