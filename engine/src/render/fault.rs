//! What is wrong with a template, and what is wrong with a row.

use std::path::{Path, PathBuf};

/// A template, or what a campaign says beside it, that can't be used with this input.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {what}", path.display())]
pub struct TemplateError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl TemplateError {
    pub(super) fn new(path: &Path, line: usize, what: impl Into<String>, hint: Option<String>) -> TemplateError {
        TemplateError { path: path.to_owned(), line, what: what.into(), hint }
    }
}

/// A row that makes no message. `reason` is a closed label; `detail` names template, line and column, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unrenderable {
    /// `missing_field`, `control_character`, `header`, `render`, `message_too_large`, `attachment_missing`,
    /// `attachment_unreadable`, `attachment_outside` or `attachment_too_large`.
    pub reason: &'static str,
    /// Where and what.
    pub detail: String,
}

impl Unrenderable {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Unrenderable {
        Unrenderable { reason, detail: detail.into() }
    }
}
