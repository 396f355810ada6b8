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
        let common = ["sandbox", "--ca", "ca.pem", "--ledger", "ledger", "--transcript", "transcript"];
        let mut command = desk.command(&[&common, args].concat());
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
