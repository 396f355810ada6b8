//! Data on stdout. A reader that went away (`sealpost report | head`) is no error of ours.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line.
pub fn line(text: Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).ok();
}

/// `println!` that doesn't mind a closed pipe.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use outln;
