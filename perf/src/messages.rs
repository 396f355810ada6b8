//! The same messages for those who take finished ones: what our renderer makes of the rows, without signatures, in files.

use engine::clock::{Clock, SystemClock};
use engine::gate::{Seen, Verdict};
use engine::plan::Campaign;
use engine::run::Blueprint;
use engine::secret::TokenKey;
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Messages in a folder: `1.eml` and so on, and `list`, with number, sender and recipient of each in a line, tabs between.
pub struct Messages {
    pub folder: PathBuf,
    pub count: u64,
    /// Octets of all.
    pub size: u64,
}

/// Renders every row of `campaign` into `folder`.
///
/// # Errors
/// A row makes no message, or a file can't be written.
pub fn write(campaign: &Path, folder: &Path) -> Result<Messages, Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut blueprint = Blueprint::new(Campaign::read(campaign)?)?;
    let renderer = blueprint.renderer(TokenKey::new(&[1; 32]))?;
    let mut gate = blueprint.gate(Box::new(Seen::default()));
    let now = SystemClock.now();
    let mut list = BufWriter::new(std::fs::File::create(folder.join("list"))?);
    let mut messages = Messages { folder: folder.to_owned(), count: 0, size: 0 };
    while let Some(batch) = blueprint.next_batch() {
        let batch = batch?;
        for verdict in gate.judge(&batch, 0..batch.len(), now, |_| false)? {
            let Verdict::Admitted(row) = verdict else { return Err("a row was refused at the gate".into()) };
            let content = renderer.render(&row, now)?;
            messages.count += 1;
            messages.size += content.len() as u64;
            std::fs::write(folder.join(format!("{}.eml", messages.count)), content)?;
            writeln!(list, "{}\t{}\t{}", messages.count, renderer.return_path(row.ordinal), row.to.as_str())?;
        }
    }
    list.flush()?;
    Ok(messages)
}
