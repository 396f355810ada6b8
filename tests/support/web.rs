//! A web server with TLS: `web.py`.

use super::{Authority, root};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Web {
    folder: tempfile::TempDir,
    child: Child,
    pub port: u16,
}

impl Web {
    /// Proves `name` by `authority`; answers every GET with `policy`.
    pub fn start(authority: &Authority, name: &str, policy: &str) -> Web {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("policy"), policy).expect("written");
        let (certificate, key) = authority.leaf(name, folder.path());
        let mut command = Command::new("python3");
        command.arg(root().join("tests/support/web.py")).arg(folder.path()).arg(certificate).arg(key);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its port");
        Web { folder, child, port: line.trim().parse().unwrap_or_else(|_| panic!("no port: {line}")) }
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
