//! A mistake in a configuration file or in something that it names: the error of `plan` and `shaping`.

use std::path::{Path, PathBuf};

/// Names the file, the line where there is one, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Mistake {
    path: PathBuf,
    line: Option<usize>,
    what: String,
    hint: Option<String>,
}

impl Mistake {
    /// `what` is wrong with the file at `path`.
    pub fn new(path: &Path, what: impl Into<String>) -> Mistake {
        Mistake { path: path.to_owned(), line: None, what: what.into(), hint: None }
    }

    /// On this line, counted from 1.
    #[must_use]
    pub fn line(mut self, line: usize) -> Mistake {
        self.line = Some(line);
        self
    }

    /// At this octet of `text`, the file's content.
    #[must_use]
    pub fn at(self, text: &str, offset: usize) -> Mistake {
        self.line(line_of(text, offset))
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Mistake {
        self.hint = Some(hint.into());
        self
    }

    /// What the operator can do, if we know.
    pub fn to_do(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// A mistake that the TOML reader or serde found in `text`.
    pub(crate) fn toml(path: &Path, text: &str, cause: &toml::de::Error) -> Mistake {
        let mut error = Mistake::new(path, without_value(&cause.message().lines().collect::<Vec<_>>().join(" ")));
        if let Some(span) = cause.span() {
            error = error.at(text, span.start);
        }
        match suggestion(cause.message()) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The line of `text`, counted from 1, that holds this octet.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    text.as_bytes()[..offset].iter().filter(|octet| **octet == b'\n').count() + 1
}

/// serde repeats a value of the wrong type (`invalid type: string "…", expected …`); it may be a key that was pasted in.
fn without_value(message: &str) -> String {
    let value = message.strip_prefix("invalid type: string \"").and_then(|rest| rest.rsplit_once("\", expected "));
    value.map_or_else(|| message.to_owned(), |(_, expected)| format!("invalid type: a string, expected {expected}"))
}

/// `did you mean` for serde's "unknown field `x`, expected one of `a`, `b`". Only a hint hangs on the text.
fn suggestion(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let written = names.next()?;
    super::closest(written, names).map(|name| format!("did you mean `{name}`?"))
}
