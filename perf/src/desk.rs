//! A sender's folder for runs of short letters: keys, rows, a campaign, and whatever the machine's file is to say.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder made by `sealpost init`.
pub struct Desk {
    sealpost: PathBuf,
    pub folder: PathBuf,
}

impl Desk {
    /// Makes it.
    ///
    /// # Errors
    /// `sealpost init` fails.
    pub fn new(sealpost: &Path, folder: &Path) -> Result<Desk, Box<dyn Error>> {
        std::fs::create_dir_all(folder)?;
        let made = Command::new(sealpost).args(["init", "--domain", "acme-health.example"]).arg(folder).output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        Ok(Desk { sealpost: sealpost.to_owned(), folder: folder.to_owned() })
    }

    /// Writes `sealpost.toml`: one source, Ed25519 alone, and `more`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn machine(&self, more: &str) -> Result<(), Box<dyn Error>> {
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
        Ok(std::fs::write(self.folder.join("sealpost.toml"), text)?)
    }

    /// Writes a campaign `NAME.toml` with a short letter to these recipients, whose addresses are their keys; `more` is
    /// appended. Gives the file's name.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn campaign(
        &self,
        name: &str,
        recipients: impl Iterator<Item = String>,
        more: &str,
    ) -> Result<String, Box<dyn Error>> {
        let mut file = BufWriter::new(File::create(self.folder.join(format!("{name}.csv")))?);
        writeln!(file, "email,first_name")?;
        for (row, recipient) in (1..).zip(recipients) {
            writeln!(file, "{recipient},Ann{row}")?;
        }
        file.flush()?;
        std::fs::write(self.folder.join("letter.hbs"), "Hello {{first_name}}: a claim was processed.\n")?;
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
text = "letter.hbs"
{more}"#
        );
        let campaign = format!("{name}.toml");
        std::fs::write(self.folder.join(&campaign), text)?;
        Ok(campaign)
    }

    /// A command that runs there.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.sealpost);
        command.current_dir(&self.folder).args(args).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What a command prints, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn asked(&self, args: &[&str]) -> Result<serde_json::Value, Box<dyn Error>> {
        let output = self.command(args).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().ok_or(format!("{args:?} printed nothing: {}", output.status))?;
        Ok(serde_json::from_str(line)?)
    }
}
