//! What a campaign's messages are made of, before it is compiled.

use super::{AttachmentPlan, Partial};
use crate::mail::Mailbox;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::PathBuf;

/// The parts of a message.
#[derive(Clone, Debug)]
pub struct MessagePlan {
    /// Who it is from.
    pub from: Mailbox,
    /// Where answers go.
    pub reply_to: Option<Mailbox>,
    /// The domain of the envelope sender.
    pub return_path: String,
    /// The template of the recipient's name in `To`; public columns only.
    pub to_name: Option<Template>,
    /// What it says, once a language. The first is what rows get whose language is not among them.
    pub wordings: Vec<Wording>,
    /// The column with a row's language; needed where there is more than one wording.
    pub language: Option<ColumnName>,
    /// Templates that others include.
    pub partials: Vec<Partial>,
    /// Files that go with it.
    pub attachments: Vec<AttachmentPlan>,
    /// `Feedback-ID` (Gmail's feedback loop).
    pub feedback_id: Option<String>,
    /// Whether it says `Auto-Submitted: auto-generated` (RFC 3834 section 5).
    pub auto_submitted: bool,
    /// More header fields; public columns only.
    pub headers: Vec<(String, Template)>,
    /// Octets that a message may have, unsigned; a row whose message is larger is invalid.
    pub max_size: usize,
}

/// What a message says in one language. It has HTML or text or both; text is made from the HTML where it is missing.
#[derive(Clone, Debug)]
pub struct Wording {
    /// Its tag (BCP 47), where a campaign says it.
    pub language: Option<String>,
    /// The sender's display name, where it differs from `from`.
    pub from_name: Option<String>,
    /// The subject's template; public columns only.
    pub subject: Template,
    /// The HTML template.
    pub html: Option<Template>,
    /// The text template.
    pub text: Option<Template>,
}

/// A template and where it was written, for errors.
#[derive(Clone, Debug)]
pub struct Template {
    /// The file it stands in.
    pub path: PathBuf,
    /// The line of that file on which it begins, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// A column that a campaign names, and where.
#[derive(Clone, Debug)]
pub struct ColumnName {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
}

impl ColumnName {
    /// What `row` has there, as text without white space around it: a number is written out, an empty text is nothing.
    pub(super) fn of<'a>(&self, row: &'a Map<String, Value>) -> Option<Cow<'a, str>> {
        let text = match row.get(&self.name)? {
            Value::Null => return None,
            Value::String(text) => Cow::Borrowed(text.trim()),
            other => Cow::Owned(other.to_string()),
        };
        (!text.is_empty()).then_some(text)
    }
}
