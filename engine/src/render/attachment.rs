//! Files that go with a message: one for everybody, or one a row.
//!
//! A row's file is read on the rendering thread, at every attempt, from inside one folder: the row names it, and a row comes
//! from outside. Errors name the column, never the path.

use super::edition::attachment_key;
use super::library::Library;
use super::{ColumnName, Data, Template, Unrenderable};
use crate::mail::misleads;
use data_encoding::BASE64_MIME;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        visible: &Data<'_>,
        most: usize,
    ) -> Result<Option<MimePart<'_>>, Unrenderable> {
        let content: Cow<'_, [u8]> = match &self.plan.source {
            AttachmentSource::Fixed(content) => Cow::Borrowed(&content.0),
            AttachmentSource::Column { column, folder, optional } => match column.of(row) {
                Some(path) => {
                    let octets = read(folder, &path, most).map_err(|fault| fault.of(&column.name))?;
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

/// The octets of the file at `path` in `folder`, which is resolved. The path has only names in it, and what it resolves to,
/// links followed, must still lie inside: when it is looked up, and when it is open.
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
    let file = open(&path).map_err(trouble)?;
    if !place(&file, path).map_err(trouble)?.starts_with(folder) {
        return Err(Fault::Outside);
    }
    if !file.metadata().map_err(trouble)?.is_file() {
        return Err(Fault::Unreadable(ErrorKind::InvalidInput));
    }
    let mut octets = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut octets).map_err(trouble)?;
    if octets.len() > most { Err(Fault::TooLarge(most)) } else { Ok(octets) }
}

/// How long a file waits for a descriptor, and how often it looks.
const DESCRIPTORS_COME: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// The file at `path`, which has no links left. A pipe does not hold the thread.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let patience = Instant::now() + DESCRIPTORS_COME;
    loop {
        match rustix::fs::open(path, flags, Mode::empty()) {
            // Not the row's fault, and connections give theirs back: a row that waits is not a row that is invalid.
            Err(Errno::MFILE | Errno::NFILE) if Instant::now() < patience => std::thread::sleep(GLANCE),
            opened => return Ok(opened?.into()),
        }
    }
}

/// Where `file` lies, opened at `path`: a folder on the way may have become a link since the path was resolved.
#[cfg(target_os = "linux")]
fn place(file: &File, _: PathBuf) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Where there is no `/proc`, where the path leads by now must be the same file.
#[cfg(not(target_os = "linux"))]
fn place(_: &File, path: PathBuf) -> std::io::Result<PathBuf> {
    path.canonicalize()
}

/// A file name is one: nothing in it leads anywhere when it is saved.
fn file_name(name: String) -> Result<String, Unrenderable> {
    let name = name.trim();
    if is_file_name(name) {
        return Ok(name.to_owned());
    }
    Err(Unrenderable::new(
        "header",
        "an attachment's name would be empty, too long, or hold a slash, an invisible character or \"=?\"",
    ))
}

/// Whether a recipient can save a file under this name, on any system, and sees what it is: turned letters would make
/// `fdp.exe` end in `exe.pdf`.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name != ".." && !name.contains(['/', '\\']) && !misleads(name)
}

fn encoded(octets: &[u8]) -> Vec<u8> {
    let mut encoded = BASE64_MIME.encode(octets).into_bytes();
    // The line end before the boundary is the boundary's.
    encoded.truncate(encoded.trim_ascii_end().len());
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::render::renderer::tests::{make, plan, row, shown, template, wording};
    use crate::render::{MessagePlan, Renderer};
    use data_encoding::BASE64;
    use serde_json::json;

    fn fixed(octets: &[u8], name: &str, inline: Option<&str>) -> AttachmentPlan {
        AttachmentPlan {
            source: AttachmentSource::Fixed(Content::new(octets)),
            name: template(name),
            content_type: "text/csv".into(),
            inline: inline.map(str::to_owned),
            language: None,
        }
    }

    fn by_row(folder: &Path, optional: bool, name: &str) -> AttachmentPlan {
        let column = ColumnName { path: "t.toml".into(), line: 1, name: "file".into() };
        let folder = folder.canonicalize().expect("there");
        AttachmentPlan { source: AttachmentSource::Column { column, folder, optional }, ..fixed(b"", name, None) }
    }

    fn with(attachments: Vec<AttachmentPlan>, html: &str) -> Result<Renderer, crate::render::TemplateError> {
        make(MessagePlan { attachments, max_size: 3000, ..plan(vec![wording(None, "s", html)]) })
    }

    /// The octets of the part with this file name.
    fn decoded(message: &str, name: &str) -> Vec<u8> {
        let part = message.split("\r\n--=_").find(|part| part.contains(&format!("filename=\"{name}\""))).expect(name);
        let body = part.split_once("\r\n\r\n").expect("a body").1;
        assert!(body.split("\r\n").all(|line| line.len() <= 76), "{body}");
        BASE64.decode(body.replace("\r\n", "").as_bytes()).expect("base64")
    }

    #[test]
    fn files_arrive_octet_for_octet() {
        let folder = tempfile::tempdir().expect("a folder");
        let every: Vec<u8> = (0..=255).chain(*b"\r\n\n\r.\r\n").collect();
        std::fs::create_dir(folder.path().join("sub")).expect("made");
        std::fs::write(folder.path().join("sub/é.pdf"), &every).expect("written");
        for name in ["", "empty", "a"] {
            std::fs::write(folder.path().join("x").with_extension(name), name).expect("written");
        }
        let attachments = vec![fixed(&every, "all.csv", None), by_row(folder.path(), true, "{{plan}}.pdf")];
        let renderer = with(attachments, "x").expect("compiles");
        let message = shown(&renderer, json!({"file": "sub/é.pdf", "plan": "own"}));
        assert_eq!(decoded(&message, "all.csv"), every);
        assert_eq!(decoded(&message, "own.pdf"), every);
        std::fs::write(folder.path().join("4101"), "number").expect("written");
        let message = shown(&renderer, json!({"file": 4101, "plan": "own"}));
        assert_eq!(decoded(&message, "own.pdf"), b"number");
        let message = shown(&renderer, json!({"file": "./x.a", "plan": "own"}));
        assert_eq!(decoded(&message, "own.pdf"), b"a");
        for none in [json!({"plan": "own"}), json!({"plan": "own", "file": null}), json!({"plan": "own", "file": " "})]
        {
            assert!(!shown(&renderer, none).contains("own.pdf"));
        }
        let message = shown(&renderer, json!({"file": "x", "plan": "Müller"}));
        assert!(message.contains("filename*=UTF-8''M%C3%BCller.pdf"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_row_s_file_that_can_t_be_sent() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("secret"), "x").expect("written");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("large"), vec![0; 4000]).expect("written");
        std::fs::write(path("nearly"), vec![0; 2900]).expect("written");
        std::fs::create_dir(path("sub")).expect("made");
        std::os::unix::fs::symlink(outside.path().join("secret"), path("link")).expect("linked");
        std::os::unix::fs::symlink(outside.path(), path("linked")).expect("linked");
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("made");
        let renderer = with(vec![by_row(folder.path(), false, "a.pdf")], "x").expect("compiles");
        let absolute = path("large").display().to_string();
        let cases = [
            ("SECRET", "attachment_missing"),
            ("large/SECRET", "attachment_missing"),
            ("../SECRET", "attachment_outside"),
            ("sub/../large", "attachment_outside"),
            (absolute.as_str(), "attachment_outside"),
            ("/etc/hostname", "attachment_outside"),
            ("link", "attachment_outside"),
            ("linked/secret", "attachment_outside"),
            ("SECRET\0", "attachment_outside"),
            ("sub", "attachment_unreadable"),
            ("pipe", "attachment_unreadable"),
            ("large", "attachment_too_large"),
            ("nearly", "message_too_large"),
            ("", "missing_field"),
        ];
        for (file, reason) in cases {
            let fault = renderer.render(&row(json!({"file": file})), Timestamp(0)).expect_err(file);
            assert_eq!(fault.reason, reason, "{file:?}: {fault}");
            assert!(!fault.detail.contains("SECRET") && !fault.detail.contains('/'), "{fault}");
        }
    }

    /// A folder that becomes a link out while files are read: what is sent was inside, every time.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_turns_into_a_link() {
        let (outside, inside) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let folder = inside.path().canonicalize().expect("there");
        std::fs::create_dir(folder.join("sub")).expect("made");
        std::fs::write(folder.join("sub/a"), "inside").expect("written");
        std::fs::write(outside.path().join("a"), "outside").expect("written");
        std::os::unix::fs::symlink(outside.path(), folder.join("link")).expect("linked");
        let (sub, link) = (folder.join("sub"), folder.join("link"));
        std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                for _ in 0..4000 {
                    let swap = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(rustix::fs::CWD, &sub, rustix::fs::CWD, &link, swap).expect("swapped");
                }
            });
            while !swapping.is_finished() {
                if let Ok(octets) = read(&folder, "sub/a", 100) {
                    assert_eq!(octets, b"inside");
                }
            }
        });
    }

    #[test]
    fn names_are_names_and_no_phi() {
        let renderer = with(vec![fixed(b"x", "{{plan}}", None)], "x").expect("compiles");
        for evil in ["a/b", "..", "a\\b", "a\r\nb", "a\u{202e}fdp.exe", "a\u{200b}", "=?a", ""] {
            let fault = renderer.render(&row(json!({"plan": evil})), Timestamp(0)).expect_err(evil);
            assert_eq!(fault.reason, "header", "{evil:?}");
        }
        let error = with(vec![fixed(b"x", "{{name}}.pdf", None)], "x").err().expect("PHI");
        assert!(error.what.contains("\"name\" is PHI"), "{error}");
    }

    #[test]
    fn html_shows_what_is_inline() {
        let logo = || vec![fixed(b"x", "logo.png", Some("logo"))];
        let message = shown(&with(logo(), "<img src=\"cid:logo\">").expect("compiles"), json!({}));
        assert!(message.contains("cid:logo@acme.example"), "{message}");
        assert!(message.contains("Content-ID: <logo@acme.example>\r\n"), "{message}");
        let cases = [
            ("x\n<img src='cid:lgo'>", "t.hbs:2: there is no inline attachment \"lgo\"", "did you mean \"logo\"?"),
            ("<img src='cid:other'>", "t.hbs:1: there is no inline attachment \"other\"", "inline = \"other\""),
            ("<img src='cid:{{plan}}'>", "t.hbs:1: a cid: reference must be written out", "cid:NAME"),
            ("x", "t.hbs:1: no template shows the inline attachment \"logo\"", "cid:logo"),
        ];
        for (html, start, hint) in cases {
            let error = with(logo(), html).err().expect(html);
            assert!(error.to_string().starts_with(start), "{error}");
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", error.hint);
        }
    }

    #[test]
    fn only_the_levels_that_are_needed() {
        let plain = || fixed(b"x", "a.csv", None);
        let logo = || fixed(b"x", "b.png", Some("logo"));
        let image = "<img src='cid:logo'>";
        let kinds = |attachments, html: &str| {
            let message = shown(&with(attachments, html).expect("compiles"), json!({}));
            let kinds = message
                .split("Content-Type: ")
                .skip(1)
                .map(|rest| rest.split(';').next().unwrap_or_default().to_owned());
            let boundaries: Vec<_> = message
                .split("boundary=\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
                .collect();
            for one in &boundaries {
                assert!(!boundaries.iter().any(|other| other != one && other.starts_with(one)), "{boundaries:?}");
                assert!(one.len() <= 70);
            }
            kinds.collect::<Vec<_>>().join(" ").replace("multipart/", "")
        };
        assert_eq!(kinds(vec![], "x"), "alternative text/plain text/html");
        assert_eq!(kinds(vec![plain()], "x"), "mixed alternative text/plain text/html text/csv");
        assert_eq!(kinds(vec![logo()], image), "alternative text/plain related text/html text/csv");
        let all = "mixed alternative text/plain related text/html text/csv text/csv";
        assert_eq!(kinds(vec![plain(), logo()], image), all);
    }
}
