//! An operator's folder, and the commands run there.

use super::process::Work;
use super::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub struct Desk {
    folder: tempfile::TempDir,
    records: BTreeMap<String, String>,
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    /// A folder made by `sealpost init`, with routes to nowhere.
    pub fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let mut desk = Desk { folder, records: BTreeMap::new() };
        let made = desk.sealpost(&["init", ".", "--domain", "acme-health.example"]);
        assert_eq!(made.code, 0, "{made:?}");
        for line in made.stdout.lines() {
            let (name, value) = line.split_once(". IN TXT ").expect("a TXT record");
            desk.records.insert(name.to_owned(), value.replace("\" \"", "").trim_matches('"').to_owned());
        }
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `sealpost.toml` that sends everything to `port` and trusts `ca.pem`; `more` follows.
    pub fn machine(&self, port: u16, more: &str) {
        let roots = if self.path("ca.pem").exists() { "\n[tls]\nroots = [\"ca.pem\"]\n" } else { "" };
        self.machine_of("", &format!("[dns.static]\n\"*\" = \"127.0.0.1:{port}\"\n{roots}\n{more}"));
    }

    /// `sealpost.toml` with keys and one source, to which `source` adds, and `more`.
    pub fn machine_of(&self, source: &str, more: &str) {
        let text = format!(
            r#"
state_dir = "state"
[[source]]
name = "a"
ehlo = "out.acme-health.example"
{source}
[dkim."acme-health.example"]
rsa     = {{ selector = "s1", key = "keys/s1.pem" }}
ed25519 = {{ selector = "s2", key = "keys/s2.pem" }}
[keys]
master = {{ file = "sealpost-master.key" }}
{more}"#
        );
        std::fs::write(self.path("sealpost.toml"), text).expect("written");
    }

    /// A campaign `NAME.toml` with the demo's templates; `more` is appended (`[transport]` and so on).
    pub fn campaign(&self, name: &str, input: &Path, columns: &str, more: &str) -> String {
        let demo = root().join("config/demo");
        let text = format!(
            r#"
[campaign]
name = "{name}"
class = "transactional"
[input]
path = "{}"
recipient = "email"
key = "claim_id"
{columns}
[message]
from = "Acme Health <notices@acme-health.example>"
return_path = "bounces.acme-health.example"
subject = "Your Explanation of Benefits is ready"
html = "{}"
text = "{}"
{more}"#,
            input.display(),
            demo.join("eob.html.hbs").display(),
            demo.join("eob.txt.hbs").display(),
        );
        let file = format!("{name}.toml");
        std::fs::write(self.path(&file), text).expect("written");
        file
    }

    /// A campaign `small.toml` of `rows` rows with a one-line template; `more` is appended.
    pub fn small(&self, rows: usize, more: &str) -> String {
        self.small_of(1..=rows, more)
    }

    /// The same with rows of these keys: another run of `small` sends to nobody twice.
    pub fn small_of(&self, keys: std::ops::RangeInclusive<usize>, more: &str) -> String {
        let mut csv = "id,email,first_name\n".to_owned();
        for row in keys {
            csv.push_str(&format!("{row},r{row}@mail.example,Ann{row}\n"));
        }
        self.write("small.csv", csv.as_bytes());
        self.write("small.hbs", b"Hello {{first_name}}.\n");
        let text = format!(
            r#"[campaign]
name = "small"
class = "transactional"
[input]
path = "small.csv"
recipient = "email"
key = "id"
[message]
from = "Acme Health <notices@acme-health.example>"
return_path = "bounces.acme-health.example"
subject = "A notice"
html = "small.hbs"
text = "small.hbs"
{more}"#
        );
        self.write("small.toml", text.as_bytes());
        "small.toml".into()
    }

    /// `sealpost.toml` that sends everything to `port`, trusts `mx.pem` and signs with Ed25519 alone, which costs a tenth of
    /// what RSA does.
    pub fn light(&self, port: u16, more: &str) {
        self.light_of(&format!("[dns.static]\n\"*\" = \"127.0.0.1:{port}\"\n[tls]\nroots = [\"mx.pem\"]\n{more}"));
    }

    /// The same without routes and roots.
    pub fn light_of(&self, more: &str) {
        let text = format!(
            r#"state_dir = "state"
[[source]]
name = "a"
ehlo = "out.acme-health.example"
[dkim."acme-health.example"]
ed25519 = {{ selector = "s2", key = "keys/s2.pem" }}
[keys]
master = {{ file = "sealpost-master.key" }}
{more}"#
        );
        self.write("sealpost.toml", text.as_bytes());
    }

    /// A campaign `NAME.toml` with a one-line letter to these recipients, whose addresses are their keys; `more` is
    /// appended. Its input is `NAME.csv`.
    pub fn blast(&self, name: &str, recipients: impl Iterator<Item = String>, more: &str) -> String {
        let mut csv = "email,first_name\n".to_owned();
        for (row, recipient) in recipients.enumerate() {
            csv.push_str(&format!("{recipient},Ann{}\n", row + 1));
        }
        self.write(&format!("{name}.csv"), csv.as_bytes());
        self.write("line.hbs", b"Hello {{first_name}}.\n");
        let text = format!(
            r#"[campaign]
name = "{name}"
class = "transactional"
[input]
path = "{name}.csv"
recipient = "email"
key = "email"
[message]
from = "Acme Health <notices@acme-health.example>"
return_path = "bounces.acme-health.example"
subject = "A notice"
text = "line.hbs"
{more}"#
        );
        self.write(&format!("{name}.toml"), text.as_bytes());
        format!("{name}.toml")
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// The TXT records that `init` printed, as `verify.py` wants them.
    pub fn dns(&self) -> PathBuf {
        let path = self.path("dns.json");
        std::fs::write(&path, serde_json::to_vec(&self.records).expect("JSON")).expect("written");
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealpost"));
        command.current_dir(self.folder.path()).args(args).env_remove("SEALPOST_CONFIG").env_remove("SEALPOST_LOG");
        command
    }

    /// Runs a command to its end.
    pub fn sealpost(&self, args: &[&str]) -> Ran {
        self.command(args).stdin(Stdio::null()).output().expect("sealpost runs").into()
    }

    /// Starts a command that does not outlive its scenario.
    pub fn start(&self, args: &[&str]) -> Work {
        Work::of(self.spawn(args))
    }

    /// Starts a command whose output is kept.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("sealpost runs")
    }

    /// What `status --json` says now.
    pub fn status(&self) -> Value {
        self.sealpost(&["status", "--json"]).json()
    }

    /// What `status --json` says of a campaign's latest run.
    pub fn run_of(&self, campaign: &str) -> Value {
        let status = self.status();
        let runs = status["runs"].as_array().unwrap_or_else(|| panic!("no runs: {status}"));
        runs.iter()
            .rfind(|run| run["campaign"] == campaign)
            .cloned()
            .unwrap_or_else(|| panic!("no {campaign}: {status}"))
    }

    /// The rows that `doubt list --json` lists, of every run.
    pub fn in_doubt(&self) -> BTreeSet<u64> {
        self.listed(&[])
    }

    /// The same of one run.
    pub fn in_doubt_of(&self, run: &str) -> BTreeSet<u64> {
        self.listed(&["--run", run])
    }

    /// The same with further arguments.
    pub fn listed(&self, more: &[&str]) -> BTreeSet<u64> {
        let ran = self.sealpost(&[&["doubt", "list", "--json"], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        let mut rows = BTreeSet::new();
        for value in serde_json::Deserializer::from_str(&ran.stdout).into_iter() {
            collect_rows(&value.unwrap_or_else(|error| panic!("{error} in {ran:?}")), &mut rows);
        }
        rows
    }

    /// Sends a campaign and gives the counts of its last line.
    pub fn send(&self, campaign: &str) -> (i32, Value) {
        let ran = self.sealpost(&["send", campaign, "--json"]);
        (ran.code, ran.json())
    }
}

/// Every number that is called `row`.
fn collect_rows(value: &Value, rows: &mut BTreeSet<u64>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_rows(value, rows)),
        Value::Object(fields) => {
            rows.extend(fields.get("row").and_then(Value::as_u64));
            fields.values().for_each(|value| collect_rows(value, rows));
        }
        _ => {}
    }
}

impl Ran {
    /// The last line of its stdout as JSON.
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
