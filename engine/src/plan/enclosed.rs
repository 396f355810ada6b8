//! What a campaign names beside its templates: the folder of partials and the attachments.

use super::Error;
use super::campaign::Reader;
use super::message_file::{AttachmentTable, MaxSize};
use crate::render::{
    AttachmentPlan, AttachmentSource, Content, Dialect, Partial, Template, Wording, is_content_id, is_file_name,
};
use mime_guess::MimeGuess;
use std::path::{Path, PathBuf};
use toml::Spanned;

impl Reader<'_> {
    /// The `NAME.html.hbs` and `NAME.txt.hbs` of a folder, in the order of their names.
    pub(super) fn partials(&self, folder: &Spanned<PathBuf>) -> Result<Vec<Partial>, Error> {
        let path = self.folder.join(folder.get_ref());
        let trouble = |cause: std::io::Error| self.fail(folder, format!("partials {}: {cause}", path.display()));
        let entries = std::fs::read_dir(&path).map_err(trouble)?.collect::<Result<Vec<_>, _>>().map_err(trouble)?;
        let mut files: Vec<_> =
            entries.into_iter().map(|entry| entry.path()).filter(|path| is_template(path)).collect();
        files.sort();
        files.iter().map(|file| partial(file)).collect()
    }

    pub(super) fn attachment(
        &self,
        spanned: &Spanned<AttachmentTable>,
        most: MaxSize,
        wordings: &[Wording],
    ) -> Result<AttachmentPlan, Error> {
        let table = spanned.get_ref();
        let source = match (&table.path, &table.column) {
            (Some(path), None) => {
                let only_columns = [table.folder.is_some().then_some("folder"), table.optional.then_some("optional")];
                if let Some(key) = only_columns.into_iter().flatten().next() {
                    return Err(self.fail(spanned, format!("{key} goes with column, not with path")));
                }
                AttachmentSource::Fixed(self.content(path, most)?)
            }
            (None, Some(column)) => AttachmentSource::Column {
                column: self.column(column),
                folder: self.attachment_folder(spanned)?,
                optional: table.optional,
            },
            _ => {
                return Err(self.fail(spanned, "an attachment has either path or column").hint(
                    "path = \"terms.pdf\" goes to everybody; column = \"statement_pdf\" names each row's own file",
                ));
            }
        };
        let name = self.attachment_name(spanned)?;
        let language = table.language.as_ref().map(|language| self.wording_language(language, wordings)).transpose()?;
        Ok(AttachmentPlan {
            content_type: self.content_type(table.kind.as_ref(), &name, spanned)?,
            inline: self.inline_name(table)?,
            source,
            name,
            language,
        })
    }

    fn content(&self, path: &Spanned<PathBuf>, most: MaxSize) -> Result<Content, Error> {
        let file = self.folder.join(path.get_ref());
        let octets =
            std::fs::read(&file).map_err(|cause| self.fail(path, format!("attachment {}: {cause}", file.display())))?;
        if octets.len() > most.0 {
            let what = format!("attachment {}: its {} octets are over max_size", file.display(), octets.len());
            return Err(self.fail(path, what).hint("set [message] max_size, or link to the file"));
        }
        Ok(Content::new(&octets))
    }

    /// Resolved, so that a row's path can be held against it.
    fn attachment_folder(&self, spanned: &Spanned<AttachmentTable>) -> Result<PathBuf, Error> {
        let Some(folder) = &spanned.get_ref().folder else {
            return Err(self
                .fail(spanned, "column needs folder")
                .hint("folder = \"statements\": rows name files inside it, and nothing outside of it can be sent"));
        };
        let path = self.folder.join(folder.get_ref());
        let resolved = path.canonicalize().and_then(|path| path.read_dir().map(|_| path));
        resolved.map_err(|cause| self.fail(folder, format!("folder {}: {cause}", path.display())))
    }

    fn attachment_name(&self, spanned: &Spanned<AttachmentTable>) -> Result<Template, Error> {
        let table = spanned.get_ref();
        let name = match (&table.name, &table.path) {
            (Some(name), _) => self.inline(name),
            (None, Some(path)) => {
                let text = path.get_ref().file_name().map(|name| name.to_string_lossy().into_owned());
                Template { path: self.path.to_owned(), line: self.line(path), text: text.unwrap_or_default() }
            }
            // The file's own name would be a field of the row, and it is seen outside of the letter.
            (None, None) => {
                return Err(self
                    .fail(spanned, "column needs name")
                    .hint("name = \"statement.pdf\": what every recipient sees the file called"));
            }
        };
        if !name.text.contains("{{") && !is_file_name(&name.text) {
            return Err(self.fail(spanned, "name is empty, too long, or holds a slash or control character"));
        }
        Ok(name)
    }

    fn content_type(
        &self,
        kind: Option<&Spanned<String>>,
        name: &Template,
        spanned: &Spanned<AttachmentTable>,
    ) -> Result<String, Error> {
        let Some(kind) = kind else {
            return MimeGuess::from_path(&name.text).first_raw().map(str::to_owned).ok_or_else(|| {
                self.fail(spanned, "the name's ending says nothing about the type")
                    .hint("type = \"application/pdf\", or a name that ends in .pdf")
            });
        };
        let token = |part: &str| {
            !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&octet))
        };
        match kind.get_ref().split_once('/') {
            Some((top, sub)) if token(top) && token(sub) && !matches!(top, "multipart" | "message") => {
                Ok(kind.get_ref().clone())
            }
            _ => Err(self.fail(kind, "type is a media type like \"application/pdf\"")),
        }
    }

    fn inline_name(&self, table: &AttachmentTable) -> Result<Option<String>, Error> {
        let Some(inline) = &table.inline else { return Ok(None) };
        let name = inline.get_ref();
        if table.path.is_none() {
            return Err(self.fail(inline, "inline goes with path: what the HTML shows is the same for every row"));
        }
        if name.is_empty() || name.len() > 60 || !name.bytes().all(is_content_id) {
            return Err(self.fail(inline, "inline is a name of letters, digits, `.`, `_` and `-`"));
        }
        Ok(Some(name.clone()))
    }

    fn wording_language(&self, language: &Spanned<String>, wordings: &[Wording]) -> Result<String, Error> {
        let tags = || wordings.iter().filter_map(|wording| wording.language.as_ref());
        tags().find(|tag| tag.eq_ignore_ascii_case(language.get_ref())).cloned().ok_or_else(|| {
            let known = tags().map(String::as_str).collect::<Vec<_>>().join(", ");
            let refused = self.fail(language, "the campaign does not have this language");
            refused.hint(if known.is_empty() {
                "it has no [message.language]".into()
            } else {
                format!("it has {known}")
            })
        })
    }
}

fn is_template(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    // Editors leave hidden files and copies.
    name.ends_with(".hbs") && !name.starts_with('.') && path.is_file()
}

fn partial(file: &Path) -> Result<Partial, Error> {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let (name, dialect) = match (name.strip_suffix(".html.hbs"), name.strip_suffix(".txt.hbs")) {
        (Some(name), _) => (name, Dialect::Html),
        (_, Some(name)) => (name, Dialect::Text),
        _ => {
            return Err(Error::new(file, "a partial is for HTML or for text")
                .hint("call it NAME.html.hbs, or NAME.txt.hbs for text parts and subjects"));
        }
    };
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-')) {
        return Err(Error::new(file, "a partial's name is made of letters, digits, `_` and `-`"));
    }
    let text = std::fs::read_to_string(file).map_err(|cause| Error::new(file, format!("can't be read: {cause}")))?;
    Ok(Partial { name: name.to_owned(), dialect, template: Template { path: file.to_owned(), line: 1, text } })
}
