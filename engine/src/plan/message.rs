//! `[message]`, checked: its templates, partials and languages read.

use super::Error;
use super::campaign::Reader;
use super::message_file::{LocaleTable, MessageTable};
use crate::mail::{Mailbox, ascii_domain};
use crate::render::{ColumnName, MessagePlan, Template, Wording, is_language_tag};
use std::path::PathBuf;
use toml::Spanned;

/// Header fields that the engine writes itself or that a sender must not set.
const RESERVED_HEADERS: [&str; 16] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "dkim-signature",
    "received",
    "return-path",
    "bcc",
    "cc",
    "sender",
    "reply-to",
    "list-unsubscribe-post",
    "feedback-id",
    "auto-submitted",
];

impl Reader<'_> {
    pub(super) fn message(&self, table: &MessageTable) -> Result<MessagePlan, Error> {
        let return_path = ascii_domain(table.return_path.get_ref()).ok_or_else(|| {
            self.fail(&table.return_path, "return_path must be a domain, for example \"bounces.acme.example\"")
        })?;
        let wordings = self.wordings(table)?;
        let attachments =
            table.attachment.iter().map(|attachment| self.attachment(attachment, table.max_size, &wordings));
        Ok(MessagePlan {
            from: self.mailbox(&table.from)?,
            reply_to: table.reply_to.as_ref().map(|text| self.mailbox(text)).transpose()?,
            return_path: return_path.into_owned(),
            to_name: table.to_name.as_ref().map(|text| self.inline(text)),
            language: table.language.as_ref().map(|language| self.column(&language.column)),
            partials: table.partials.as_ref().map_or(Ok(Vec::new()), |folder| self.partials(folder))?,
            attachments: attachments.collect::<Result<_, _>>()?,
            feedback_id: table.feedback_id.as_ref().map(|text| self.feedback_id(text)).transpose()?,
            auto_submitted: table.auto_submitted,
            headers: self.headers(table)?,
            max_size: table.max_size.0,
            wordings,
        })
    }

    /// The campaign's own wording first, then one a locale.
    fn wordings(&self, table: &MessageTable) -> Result<Vec<Wording>, Error> {
        if table.html.is_none() && table.text.is_none() {
            return Err(self
                .fail(&table.subject, "[message] has neither html nor text")
                .hint("name a template: html = \"letter.html.hbs\"; its text is made from it if you give none"));
        }
        let Some(language) = &table.language else {
            return match table.locale.keys().next() {
                Some(tag) => Err(self.fail(tag, "[message.locale] needs [message.language]").hint(
                    "say which column holds a row's language: [message.language] column = \"lang\", default = \"en\"",
                )),
                None => Ok(vec![self.wording(None, table, None)?]),
            };
        };
        for tag in table.locale.keys().chain([&language.default]) {
            if !is_language_tag(tag.get_ref()) {
                return Err(self.fail(tag, "a language is a tag like \"es\" or \"zh-Hant\""));
            }
        }
        let default = language.default.get_ref();
        let is_default = |tag: &str| tag.eq_ignore_ascii_case(default);
        let own = table.locale.iter().find(|(tag, _)| is_default(tag.get_ref()));
        let mut wordings = vec![self.wording(Some(default), table, own)?];
        for locale in table.locale.iter().filter(|(tag, _)| !is_default(tag.get_ref())) {
            if wordings
                .iter()
                .any(|other| other.language.as_ref().is_some_and(|tag| tag.eq_ignore_ascii_case(locale.0.get_ref())))
            {
                return Err(self.fail(locale.0, "this language stands here twice"));
            }
            wordings.push(self.wording(Some(locale.0.get_ref()), table, Some(locale))?);
        }
        Ok(wordings)
    }

    fn wording(
        &self,
        language: Option<&str>,
        table: &MessageTable,
        locale: Option<(&Spanned<String>, &LocaleTable)>,
    ) -> Result<Wording, Error> {
        let own = locale.map(|(_, own)| own);
        // A locale with one of two parts would give a letter in two languages.
        if let Some((tag, own)) = locale {
            let half = match (&own.html, &own.text) {
                (Some(_), None) if table.text.is_some() => Some(("html", "text")),
                (None, Some(_)) if table.html.is_some() => Some(("text", "html")),
                _ => None,
            };
            if let Some((given, missing)) = half {
                let what = format!("this locale has its own {given} and would have the {missing} of [message]");
                let hint = format!("give its {missing} too, so that both parts are in one language");
                return Err(self
                    .fail(tag, what)
                    .hint(hint + "; or give html alone everywhere, and text is made from it"));
            }
        }
        let template = |own: Option<&Spanned<PathBuf>>, base: Option<&Spanned<PathBuf>>| {
            own.or(base).map(|path| self.template(path)).transpose()
        };
        let from_name = own.and_then(|own| own.from_name.as_ref());
        Ok(Wording {
            language: language.map(str::to_owned),
            from_name: from_name.map(|name| self.name(name)).transpose()?,
            subject: self.inline(own.and_then(|own| own.subject.as_ref()).unwrap_or(&table.subject)),
            html: template(own.and_then(|own| own.html.as_ref()), table.html.as_ref())?,
            text: template(own.and_then(|own| own.text.as_ref()), table.text.as_ref())?,
        })
    }

    fn headers(&self, table: &MessageTable) -> Result<Vec<(String, Template)>, Error> {
        let headers = table.headers.iter().map(|(name, value)| {
            let token = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
            let lower = name.to_ascii_lowercase();
            if !token || RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("content-") {
                let refused = self.fail(value, format!("header \"{name}\" can't be set here"));
                return Err(match lower.as_str() {
                    "feedback-id" => refused.hint("set [message] feedback_id"),
                    "auto-submitted" => refused.hint("set [message] auto_submitted"),
                    _ => refused,
                });
            }
            Ok((name.clone(), self.inline(value)))
        });
        headers.collect()
    }

    /// Gmail's form: `a:b:c:SenderId`, of which the last is needed and has 5 to 15 characters. Data is gathered on each field
    /// for itself, so that one value in two fields would mix them (support.google.com/mail/answer/6254652).
    fn feedback_id(&self, text: &Spanned<String>) -> Result<String, Error> {
        let fields: Vec<_> = text.get_ref().split(':').collect();
        let sender = fields.last().map_or(0, |sender| sender.len());
        let graphic = fields.iter().all(|field| field.bytes().all(|octet| octet.is_ascii_graphic()));
        let twice = fields.iter().enumerate().any(|(at, field)| !field.is_empty() && fields[..at].contains(field));
        let hint = "for example feedback_id = \"eob:acme-health\": campaign first, the sender's own name last";
        if fields.len() > 4 || !(5..=15).contains(&sender) || !graphic || text.get_ref().len() > 200 {
            let what =
                "feedback_id is up to four fields with colons between, the last of 5 to 15 characters, no spaces";
            return Err(self.fail(text, what).hint(hint));
        }
        if twice {
            return Err(self
                .fail(text, "feedback_id says the same in two fields: Gmail would mix their figures")
                .hint(hint));
        }
        Ok(text.get_ref().clone())
    }

    fn mailbox(&self, text: &Spanned<String>) -> Result<Mailbox, Error> {
        let mailbox =
            Mailbox::parse(text.get_ref()).map_err(|fault| self.fail(text, format!("the address {fault}")))?;
        match &mailbox.name {
            Some(name) if name.contains(char::is_control) => Err(self.fail(text, "the name holds a control character")),
            _ => Ok(mailbox),
        }
    }

    fn name(&self, text: &Spanned<String>) -> Result<String, Error> {
        let name = text.get_ref().trim();
        if name.is_empty() || name.contains(char::is_control) {
            return Err(self.fail(text, "the name is empty or holds a control character"));
        }
        Ok(name.to_owned())
    }

    pub(super) fn column(&self, name: &Spanned<String>) -> ColumnName {
        ColumnName { path: self.path.to_owned(), line: self.line(name), name: name.get_ref().clone() }
    }

    pub(super) fn inline(&self, text: &Spanned<String>) -> Template {
        Template { path: self.path.to_owned(), line: self.line(text), text: text.get_ref().clone() }
    }

    pub(super) fn line<T>(&self, place: &Spanned<T>) -> usize {
        self.text.as_bytes()[..place.span().start].iter().filter(|octet| **octet == b'\n').count() + 1
    }

    fn template(&self, path: &Spanned<PathBuf>) -> Result<Template, Error> {
        let file = self.folder.join(path.get_ref());
        let text = std::fs::read_to_string(&file)
            .map_err(|cause| self.fail(path, format!("template {}: {cause}", file.display())))?;
        Ok(Template { path: file, line: 1, text })
    }
}
