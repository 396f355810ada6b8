//! Servers that take mail: the embedded MX as a process of its own, and Debian's Postfix.

use super::{Authority, Desk, root};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
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
        let knot = Knot { folder: tempfile::tempdir().expect("a folder"), port: super::free_port() };
        std::fs::create_dir(knot.folder.path().join("zones")).expect("a folder");
        for name in broken {
            std::fs::write(knot.folder.path().join(format!("zones/{name}.broken")), "").expect("written");
        }
        knot.write(zone, records);
        knot.script("start", &[&knot.port.to_string()]);
        knot
    }

    /// Replaces a zone's records.
    pub fn change(&self, zone: &str, records: &str) {
        self.write(zone, records);
        self.script("reload", &[]);
    }

    /// How many queries it answered for this zone.
    pub fn queries(&self, zone: &str) -> u64 {
        self.script("queries", &[zone]).trim().parse().expect("a number")
    }

    fn write(&self, zone: &str, records: &str) {
        let path = self.folder.path().join(format!("zones/{zone}.zone"));
        std::fs::write(path, format!("{ZONE}{records}")).expect("written");
    }

    fn script(&self, verb: &str, more: &[&str]) -> String {
        script("knot.sh", &[&[verb, path(self.folder.path())], more].concat())
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

/// Runs a script of `tests/support` and gives what it printed.
fn script(name: &str, args: &[&str]) -> String {
    let output = Command::new(root().join("tests/support").join(name)).args(args).output().expect("the script runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {said}; was it installed? `make test` does");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Debian's Postfix on loopback, with a certificate for 127.0.0.1 of a private CA.
pub struct Postfix {
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Postfix {
    pub fn start(authority: &Authority) -> Postfix {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = authority.leaf("127.0.0.1", folder.path());
        let port = super::free_port();
        let postfix = Postfix { folder, port };
        postfix.script("start", &[&port.to_string(), path(&certificate), path(&key)]);
        postfix
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
        let status = Command::new(root().join("tests/support/postfix.sh"))
            .args([verb, path(&folder)])
            .args(more)
            .status()
            .expect("postfix.sh runs");
        assert!(status.success(), "postfix.sh {verb}: {status}; was tests/support/install.sh run? `make test` does");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let folder = self.folder.path().join("mx");
        Command::new(root().join("tests/support/postfix.sh")).args(["stop", path(&folder)]).status().ok();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}
