//! Where a result is written down, with its command, commit and machine.

use crate::args::{Args, Pinned};
use crate::platform::{commit, machine};
use std::error::Error;
use std::path::PathBuf;

/// Prints a result, and writes it to a file of its own; the file.
///
/// # Errors
/// It can't be written.
pub fn write_down(args: &Args, name: &str, title: &str, table: &str) -> Result<PathBuf, Box<dyn Error>> {
    std::fs::create_dir_all(&args.results)?;
    let text = format!("# {title}\n\n`{}`, commit {}; {}.\n\n{table}", args.command(name), commit(), machine());
    print!("\n{text}");
    let far = args.rtt.map_or_else(String::new, |rtt| format!("-far{}", rtt.as_millis()));
    let apart = format!("{}{far}", if args.pinned == Pinned::No { "-unpinned" } else { "" });
    let path = args.results.join(format!("{name}{apart}-{}-{}.md", args.rows, commit()));
    std::fs::write(&path, text)?;
    Ok(path)
}
