//! Files that go with a message: one for everybody, or one a row.
//!
//! A row's file is read on the rendering thread, at every attempt, from inside one folder: the row names it, and a row comes
//! from outside. Errors name the column, never the path.

use super::edition::attachment_key;
use super::library::Library;
use super::{ColumnName, Template, Unrenderable};
use data_encoding::BASE64_MIME;
use handlebars::Context;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A file that goes with messages.
#[derive(Clone, Debug)]
pub struct AttachmentPlan {
    /// Where its octets come from.
    pub source: AttachmentSource,
    /// The name that the recipient sees: a template of public columns.
    pub name: Template,
    /// Its media type.
    pub content_type: String,
    /// What HTML calls it: `cid:NAME`.
    pub inline: Option<String>,
    /// Only for rows in this language.
    pub language: Option<String>,
}

/// Where an attachment's octets come from.
#[derive(Clone, Debug)]
pub enum AttachmentSource {
    /// The same for every row.
    Fixed(Content),
    /// From the row's own file.
    Column {
        /// The column with the file's path.
        column: ColumnName,
        /// The folder in which it must lie, resolved.
        folder: PathBuf,
        /// Whether rows without a value get none.
        optional: bool,
    },
}

/// A file's octets as base64 in lines of 76: encoded once, shared by all threads.
#[derive(Clone)]
pub struct Content(Arc<[u8]>);

impl Content {
    /// Encodes `octets`.
    pub fn new(octets: &[u8]) -> Content {
        Content(encoded(octets).into())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} octets)", self.0.len())
    }
}

/// An attachment with its compiled name.
pub(super) struct Attachment {
    plan: AttachmentPlan,
    name: Name,
    content_id: Option<String>,
}

/// Most names say the same to everybody.
enum Name {
    Fixed(String),
    Template(String),
}

impl Attachment {
    /// Number `at` of the campaign's; its Content-ID is under `domain`.
    pub(super) fn new(plan: AttachmentPlan, at: usize, domain: &str) -> Attachment {
        let is_template = plan.name.text.contains("{{");
        let name = if is_template { Name::Template(attachment_key(at)) } else { Name::Fixed(plan.name.text.clone()) };
        let content_id = plan.inline.as_ref().map(|name| format!("{name}@{domain}"));
        Attachment { plan, name, content_id }
    }

    pub(super) fn is_inline(&self) -> bool {
        self.plan.inline.is_some()
    }

    /// The MIME part for a row; `None` where the row has none. `visible` holds the public columns. A file over `most` octets
    /// is not read: no message could hold it.
    pub(super) fn part(
        &self,
        row: &Map<String, Value>,
        library: &Library,
        visible: &Context,
        most: usize,
    ) -> Result<Option<MimePart<'_>>, Unrenderable> {
        let content: Cow<'_, [u8]> = match &self.plan.source {
            AttachmentSource::Fixed(content) => Cow::Borrowed(&content.0),
            AttachmentSource::Column { column, folder, optional } => match path(row, &column.name) {
                Some(path) => {
                    let octets = read(folder, path, most).map_err(|fault| fault.of(&column.name))?;
                    Cow::Owned(encoded(&octets))
                }
                None if *optional => return Ok(None),
                None => {
                    return Err(Unrenderable::new("missing_field", format!("column \"{}\" has no value", column.name)));
                }
            },
        };
        let name = match &self.name {
            Name::Fixed(name) => Cow::Borrowed(name.as_str()),
            Name::Template(key) => Cow::Owned(file_name(library.render(key, visible)?)?),
        };
        let kind = ContentType::new(self.plan.content_type.as_str()).attribute("name", name.clone());
        let disposition = if self.is_inline() { "inline" } else { "attachment" };
        let mut part = MimePart::new(kind, BodyPart::Binary(content))
            .header("Content-Transfer-Encoding", Raw::new("base64"))
            .header("Content-Disposition", ContentType::new(disposition).attribute("filename", name));
        if let Some(id) = &self.content_id {
            part = part.header("Content-ID", MessageId::new(id.as_str()));
        }
        Ok(Some(part))
    }
}

/// Why a row's file can't go with its message.
enum Fault {
    Missing,
    Outside,
    Unreadable(ErrorKind),
    TooLarge(usize),
}

impl Fault {
    fn of(self, column: &str) -> Unrenderable {
        let (reason, what) = match self {
            Fault::Missing => ("attachment_missing", "there is no such file".into()),
            Fault::Outside => ("attachment_outside", "the path leads out of the folder".into()),
            Fault::Unreadable(kind) => ("attachment_unreadable", format!("the file can't be read: {kind}")),
            Fault::TooLarge(most) => ("attachment_too_large", format!("the file has more than {most} octets")),
        };
        Unrenderable::new(reason, format!("column \"{column}\": {what}"))
    }
}

fn path<'a>(row: &'a Map<String, Value>, column: &str) -> Option<&'a str> {
    row.get(column).and_then(Value::as_str).map(str::trim).filter(|path| !path.is_empty())
}

/// The octets of the file at `path` in `folder`, which is resolved. The path has only names in it, and what it resolves to,
/// links followed, must still lie inside.
fn read(folder: &Path, path: &str, most: usize) -> Result<Vec<u8>, Fault> {
    let path = Path::new(path);
    let only_names = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !only_names || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Fault::Outside);
    }
    let trouble = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Missing,
        kind => Fault::Unreadable(kind),
    };
    let path = folder.join(path).canonicalize().map_err(trouble)?;
    if !path.starts_with(folder) {
        return Err(Fault::Outside);
    }
    // A pipe would hold the thread for ever.
    if !path.metadata().map_err(trouble)?.is_file() {
        return Err(Fault::Unreadable(ErrorKind::InvalidInput));
    }
    let mut octets = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut octets)).map_err(trouble)?;
    if octets.len() > most { Err(Fault::TooLarge(most)) } else { Ok(octets) }
}

/// A file name is one: nothing in it leads anywhere when it is saved.
fn file_name(name: String) -> Result<String, Unrenderable> {
    let name = name.trim();
    if is_file_name(name) {
        return Ok(name.to_owned());
    }
    Err(Unrenderable::new(
        "header",
        "an attachment's name would be empty, too long, or hold a slash or control character",
    ))
}

/// Whether a recipient can save a file under this name, on any system.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
        && name != ".."
}

fn encoded(octets: &[u8]) -> Vec<u8> {
    let mut encoded = BASE64_MIME.encode(octets).into_bytes();
    // The line end before the boundary is the boundary's.
    encoded.truncate(encoded.trim_ascii_end().len());
    encoded
}
