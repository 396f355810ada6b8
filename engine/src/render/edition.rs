//! One wording of a campaign, compiled.

use super::language::Calendar;
use super::library::{Library, Said};
use super::{
    AttachmentPlan, AttachmentSource, Column, ColumnName, ColumnsUsed, Data, Dialect, MessagePlan, Partial, Template,
    TemplateError, Unrenderable, Wording, cid, lint, plaintext,
};
use crate::mail::misleads;
use std::collections::BTreeSet;

/// What a row of one language gets.
pub(super) struct Edition {
    pub(super) plain: Library,
    escaped: Library,
    pub(super) from_name: Option<String>,
    /// Header fields that say the same in every message.
    pub(super) fixed: Vec<(&'static str, String)>,
    /// Keys of the campaign's own header fields, in their order.
    pub(super) header_keys: Vec<String>,
    /// Which of the campaign's attachments go with it.
    pub(super) attachments: Vec<usize>,
    has_html: bool,
    has_text: bool,
}

/// What compiling an edition brought to light.
pub(super) struct Found {
    pub(super) body: ColumnsUsed,
    pub(super) headers: ColumnsUsed,
    /// Names of inline attachments that its HTML shows.
    pub(super) inlined: BTreeSet<String>,
}

const HTML: &str = "/html";
const TEXT: &str = "/text";
pub(super) const SUBJECT: &str = "/subject";
pub(super) const TO_NAME: &str = "/to_name";

impl Edition {
    /// Compiles and checks `wording`; `visible` are the public ones of `columns`.
    pub(super) fn new(
        plan: &MessagePlan,
        wording: &Wording,
        columns: &[Column],
        visible: &[Column],
    ) -> Result<(Edition, Found), TemplateError> {
        let language = wording.language.as_deref();
        let label = language.filter(|_| plan.wordings.len() > 1).map(|tag| format!(" ({tag})")).unwrap_or_default();
        let calendar = language.map_or(Calendar::ENGLISH, Calendar::of);
        let domain = plan.from.address.domain();
        let whole = |template: &Template| Template { text: cid::qualified(&template.text, domain), ..template.clone() };
        let html_partials: Vec<_> = plan.partials.iter().filter(|partial| partial.dialect == Dialect::Html).collect();
        let whole_partials: Vec<_> = html_partials
            .iter()
            .map(|partial| Partial { template: whole(&partial.template), ..(*partial).clone() })
            .collect();
        let mut edition = Edition {
            plain: Library::new(Dialect::Text, plan.partials.iter(), calendar, label.clone())?,
            escaped: Library::new(Dialect::Html, whole_partials.iter(), calendar, label)?,
            from_name: wording.from_name.clone().or_else(|| plan.from.name.clone()),
            fixed: fixed_headers(plan, language),
            header_keys: plan.headers.iter().map(|(name, _)| header_key(name)).collect(),
            attachments: attachments(plan, language).map(|(at, _)| at).collect(),
            has_html: wording.html.is_some(),
            has_text: wording.text.is_some(),
        };
        let mut found = Found { body: ColumnsUsed::none(), headers: ColumnsUsed::none(), inlined: BTreeSet::new() };
        if let Some(text) = &wording.text {
            edition.plain.add(TEXT, text)?;
            found.body.join(edition.plain.check(TEXT, columns)?.columns);
        }
        if let Some(html) = &wording.html {
            edition.escaped.add(HTML, &whole(html))?;
            let reach = edition.escaped.check(HTML, columns)?;
            found.body.join(reach.columns);
            let partials = html_partials.iter().filter(|partial| reach.partials.contains(&partial.name));
            for template in partials.map(|partial| &partial.template).chain([html]) {
                found.inlined.extend(shown(template, plan, language)?);
            }
        }
        edition.add_headers(plan, wording, columns, visible, &mut found)?;
        Ok((edition, found))
    }

    fn add_headers(
        &mut self,
        plan: &MessagePlan,
        wording: &Wording,
        columns: &[Column],
        visible: &[Column],
        found: &mut Found,
    ) -> Result<(), TemplateError> {
        let headers = plan.headers.iter().map(|(name, template)| (header_key(name), template));
        let to_name = plan.to_name.iter().map(|template| (TO_NAME.to_owned(), template));
        let names = attachments(plan, wording.language.as_deref());
        let names = names.map(|(at, attachment)| (attachment_key(at), &attachment.name));
        for (key, template) in headers.chain(to_name).chain(names).chain([(SUBJECT.to_owned(), &wording.subject)]) {
            self.plain.add(&key, template)?;
            let reach = self.plain.check(&key, visible).map_err(|error| tell_phi(error, columns))?;
            found.headers.join(reach.columns);
        }
        Ok(())
    }

    /// The text and, where there is any, the HTML.
    pub(super) fn body(&self, data: &Data<'_>) -> Result<(String, Option<String>), Unrenderable> {
        let own = self.has_text.then(|| self.plain.render(TEXT, data)).transpose()?;
        let html = self.has_html.then(|| self.escaped.render(HTML, data)).transpose()?;
        let html = html.map(|html| lines(HTML, html)).transpose()?;
        let text = match own {
            Some(text) => lines(TEXT, text)?,
            None => plaintext::of(html.as_deref().unwrap_or_default())?,
        };
        Ok((text, html))
    }

    /// The same for a message. The HTML as it is, where the text is made from it.
    pub(super) fn said(&self, data: &Data<'_>) -> Result<(Said, Option<Said>), Unrenderable> {
        let own = self.has_text.then(|| self.plain.said(TEXT, data)).transpose()?;
        let html = self.has_html.then(|| match &own {
            Some(_) => self.escaped.said(HTML, data),
            None => self.escaped.render(HTML, data).map(Said::Text),
        });
        let html = html.transpose()?.map(|html| html.clean(HTML)).transpose()?;
        let text = match (own, &html) {
            (Some(text), _) => text.clean(TEXT)?,
            (None, Some(Said::Text(html))) => Said::Text(plaintext::of(html)?),
            (None, _) => Said::Text(plaintext::of("")?),
        };
        Ok((text, html))
    }

    /// One line for a header field. `visible` holds public columns alone.
    pub(super) fn header(&self, key: &str, visible: &Data<'_>) -> Result<String, Unrenderable> {
        one_line(key, self.plain.render(key, visible)?)
    }
}

impl Said {
    /// What is encoded already was looked at.
    fn clean(self, key: &str) -> Result<Said, Unrenderable> {
        match self {
            Said::Text(text) => lines(key, text).map(Said::Text),
            quoted => Ok(quoted),
        }
    }
}

impl MessagePlan {
    /// The columns that are named outside of templates.
    pub(super) fn column_names(&self) -> impl Iterator<Item = &ColumnName> {
        let attached = self.attachments.iter().filter_map(|attachment| match &attachment.source {
            AttachmentSource::Column { column, .. } => Some(column),
            AttachmentSource::Fixed(_) => None,
        });
        self.language.iter().chain(attached)
    }

    /// Refuses an inline attachment that no HTML shows: some mail programs would list it, others hide it for good.
    pub(super) fn check_inlined(&self, shown: &[String]) -> Result<(), TemplateError> {
        let unused = self.attachments.iter().find_map(|attachment| {
            let name = attachment.inline.as_ref()?;
            (!shown.contains(name)).then_some((attachment, name))
        });
        unused.map_or(Ok(()), |(AttachmentPlan { name: place, .. }, name)| {
            let what = format!("no template shows the inline attachment \"{name}\"");
            let hint =
                format!("write <img src=\"cid:{name}\"> in the HTML, or take `inline` away to attach it as a file");
            Err(TemplateError::new(&place.path, place.line, what, Some(hint)))
        })
    }
}

/// The names of inline attachments that a template shows. Each must be there for this language.
fn shown(template: &Template, plan: &MessagePlan, language: Option<&str>) -> Result<Vec<String>, TemplateError> {
    let references = cid::references(&template.text);
    let named = references.iter().map(|reference| {
        let fail = |what: String, hint| {
            TemplateError::new(&template.path, template.line + reference.line - 1, what, Some(hint))
        };
        if reference.name.is_empty() {
            let hint = "write cid:NAME, the NAME of an attachment with inline = \"NAME\"".into();
            return Err(fail("a cid: reference must be written out".into(), hint));
        }
        let inline = || attachments(plan, language).filter_map(|(_, attachment)| attachment.inline.as_deref());
        if !inline().any(|name| name == reference.name) {
            let hint = lint::closest(reference.name, inline()).unwrap_or_else(|| {
                format!("add a [[message.attachment]] with path = … and inline = \"{}\"", reference.name)
            });
            return Err(fail(format!("there is no inline attachment \"{}\"", reference.name), hint));
        }
        Ok(reference.name.to_owned())
    });
    named.collect()
}

/// The attachments of a language, with their numbers.
fn attachments<'a>(
    plan: &'a MessagePlan,
    language: Option<&'a str>,
) -> impl Iterator<Item = (usize, &'a AttachmentPlan)> {
    let ours =
        move |attachment: &AttachmentPlan| attachment.language.is_none() || attachment.language.as_deref() == language;
    plan.attachments.iter().enumerate().filter(move |(_, attachment)| ours(attachment))
}

fn fixed_headers(plan: &MessagePlan, language: Option<&str>) -> Vec<(&'static str, String)> {
    let auto_submitted = plan.auto_submitted.then(|| ("Auto-Submitted", "auto-generated".to_owned()));
    let feedback_id = plan.feedback_id.clone().map(|id| ("Feedback-ID", id));
    let language = language.map(|tag| ("Content-Language", tag.to_owned()));
    [auto_submitted, feedback_id, language].into_iter().flatten().collect()
}

/// A header that names a column which is there but not public deserves better than "no such column".
fn tell_phi(mut error: TemplateError, columns: &[Column]) -> TemplateError {
    let meant = |column: &&Column| error.what == format!("there is no column \"{}\"", column.name);
    if let Some(column) = columns.iter().find(meant) {
        error.what =
            format!("column \"{}\" is PHI and can't stand in a subject, a header or a file's name", column.name);
        error.hint = Some(format!("name it in [input] public if it really is none: public = [\"{}\"]", column.name));
    }
    error
}

/// Headers share a library with the text, whatever they are called.
fn header_key(name: &str) -> String {
    format!("/header {name}")
}

pub(super) fn attachment_key(at: usize) -> String {
    format!("/attachment {}", at + 1)
}

/// A body whose lines all end in LF, which the MIME writer makes CR LF. A bare CR from a row would be a line end to some
/// receivers and none to others (SMTP smuggling); other control characters have no place in a letter.
fn lines(key: &str, body: String) -> Result<String, Unrenderable> {
    if is_clean(&body) {
        return Ok(body);
    }
    let body = body.replace("\r\n", "\n").replace('\r', "\n");
    if !is_clean(&body) {
        let detail = format!("template {} would hold one", key.trim_start_matches('/'));
        return Err(Unrenderable::new("control_character", detail));
    }
    Ok(body)
}

/// Whether there is no control character in `text` but LF and tab. Without branches, so that the compiler makes vector
/// instructions of it.
pub(super) fn is_clean(text: &str) -> bool {
    let octets = text.as_bytes();
    let is_control = |octet: u8| (octet < b' ') & (octet != b'\n') & (octet != b'\t') | (octet == 0x7f);
    let ascii = octets.iter().fold(false, |found, octet| found | is_control(*octet));
    // U+0080 to U+009F.
    !ascii && !memchr::memchr_iter(0xc2, octets).any(|at| octets.get(at + 1).is_some_and(|octet| *octet < 0xa0))
}

/// A header value is one line that shows what it is: nothing of a row can begin another header field or forge an encoded
/// word.
fn one_line(key: &str, value: String) -> Result<String, Unrenderable> {
    if misleads(&value) {
        let detail =
            format!("{} would hold a line break, an invisible character or \"=?\"", key.trim_start_matches('/'));
        return Err(Unrenderable::new("header", detail));
    }
    Ok(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_is_found() {
        for c in (0..=0x2ff).filter_map(char::from_u32).chain(['\u{2028}', '\u{feff}', '\u{10ffff}']) {
            let clean = !c.is_control() || matches!(c, '\n' | '\t');
            assert_eq!(is_clean(&format!("{}é{c}", "x".repeat(40))), clean, "{c:?}");
        }
    }
}
