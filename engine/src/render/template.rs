//! Compiled templates of one campaign.

use super::{Column, helpers, lint, mime};
use crate::clock::Timestamp;
use crate::mail::{Mailbox, Row, RunId};
use crate::secret::TokenKey;
use handlebars::{Context, Handlebars, RenderError, RenderErrorReason};
use std::collections::BTreeMap;
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
    /// The subject's template; public columns only.
    pub subject: Template,
    /// The HTML template.
    pub html: Template,
    /// The text template.
    pub text: Template,
    /// More header fields; public columns only.
    pub headers: Vec<(String, Template)>,
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

/// A template that can't be used with this input.
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

/// A row that makes no message. `reason` is a closed label; `detail` names template, line and column, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unrenderable {
    /// `missing_field`, `control_character`, `header` or `render`.
    pub reason: &'static str,
    /// Where and what.
    pub detail: String,
}

/// Makes the messages of one run.
pub struct Renderer {
    escaped: Handlebars<'static>,
    plain: Handlebars<'static>,
    plan: MessagePlan,
    public: Vec<String>,
    token: TokenKey,
    run: RunId,
}

const HTML: &str = "html";
const TEXT: &str = "text";
const SUBJECT: &str = "subject";

impl Renderer {
    /// Compiles the templates of `plan` and checks every name in them against `columns`. Subject and headers travel where
    /// the body's care doesn't reach, so they may name `public` columns only.
    ///
    /// # Errors
    /// The first template that does not compile or names what isn't there, with file and line.
    pub fn new(
        plan: MessagePlan,
        columns: &[Column],
        public: &[String],
        token: TokenKey,
        run: RunId,
    ) -> Result<Renderer, TemplateError> {
        let (mut escaped, mut plain) = (registry(), registry());
        plain.register_escape_fn(handlebars::no_escape);
        add(&mut escaped, HTML, &plan.html, columns)?;
        add(&mut plain, TEXT, &plan.text, columns)?;
        let visible: Vec<Column> = columns.iter().filter(|column| public.contains(&column.name)).cloned().collect();
        let headers = plan.headers.iter().map(|(name, template)| (header_key(name), template));
        for (name, template) in headers.chain([(SUBJECT.to_owned(), &plan.subject)]) {
            add(&mut plain, &name, template, &visible).map_err(|error| tell_phi(error, columns))?;
        }
        Ok(Renderer { escaped, plain, plan, public: public.to_vec(), token, run })
    }

    /// The message of `row` without signatures, dated `date`: header fields, an empty line, the body.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn render(&self, row: &Row, date: Timestamp) -> Result<Vec<u8>, Unrenderable> {
        let context = context(&row.fields)?;
        // Headers are rendered from public columns alone: whatever a template tries, PHI isn't there.
        let visible = row.fields.0.iter().filter(|(name, _)| self.public.contains(name));
        let visible = self::context(&visible.collect::<BTreeMap<_, _>>())?;
        let header = |name: &str| part(&self.plain, name, &visible).and_then(|value| one_line(name, value));
        let headers = self.plan.headers.iter().map(|(name, _)| Ok((name.as_str(), header(&header_key(name))?)));
        Ok(mime::message(&mime::Parts {
            from: &self.plan.from,
            reply_to: self.plan.reply_to.as_ref(),
            to: &row.to,
            date,
            message_id: &self.message_id(row.ordinal),
            boundary: &self.token.boundary(self.run, row.ordinal),
            subject: &header(SUBJECT)?,
            headers: headers.collect::<Result<_, _>>()?,
            text: &lines(TEXT, part(&self.plain, TEXT, &context)?)?,
            html: &lines(HTML, part(&self.escaped, HTML, &context)?)?,
        }))
    }

    /// The HTML of `row` alone.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn html(&self, row: &Row) -> Result<String, Unrenderable> {
        part(&self.escaped, HTML, &context(&row.fields)?)
    }

    /// The text of `row` alone.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn text(&self, row: &Row) -> Result<String, Unrenderable> {
        part(&self.plain, TEXT, &context(&row.fields)?)
    }

    /// The row's Message-ID, without angle brackets.
    pub fn message_id(&self, ordinal: u64) -> String {
        format!("{}@{}", self.token.message_id(self.run, ordinal), self.plan.from.address.domain())
    }

    /// The row's envelope sender.
    pub fn return_path(&self, ordinal: u64) -> String {
        format!("{}@{}", self.token.return_path(self.run, ordinal), self.plan.return_path)
    }
}

fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    helpers::register(&mut registry);
    registry
}

fn add(
    registry: &mut Handlebars<'static>,
    name: &str,
    template: &Template,
    columns: &[Column],
) -> Result<(), TemplateError> {
    let fail = |line: usize, what: String, hint| TemplateError {
        path: template.path.clone(),
        line: template.line + line.max(1) - 1,
        what,
        hint,
    };
    registry.register_template_string(name, &template.text).map_err(|error| {
        let (line, _) = error.pos().unwrap_or((1, 1));
        fail(line, format!("template does not compile: {}", error.reason().to_string().replace('\n', " ")), None)
    })?;
    let compiled = registry.get_template(name).expect("just registered");
    let known_helper = |name: &str| helpers::is_known(name);
    lint::check(compiled, columns, &known_helper).map_err(|finding| fail(finding.line, finding.what, finding.hint))
}

/// A header that names a column which is there but not public deserves better than "no such column".
fn tell_phi(mut error: TemplateError, columns: &[Column]) -> TemplateError {
    if let Some(column) = columns.iter().find(|column| error.what.contains(&format!("\"{}\"", column.name))) {
        error.what = format!("column \"{}\" is PHI and can't stand in a subject or header", column.name);
        error.hint = Some(format!("name it in [input] public if it really is none: public = [\"{}\"]", column.name));
    }
    error
}

fn context(fields: &impl serde::Serialize) -> Result<Context, Unrenderable> {
    Context::wraps(fields).map_err(|error| unrenderable("row", error))
}

fn part(registry: &Handlebars<'_>, name: &str, context: &Context) -> Result<String, Unrenderable> {
    registry.render_with_context(name, context).map_err(|error| unrenderable(name, error))
}

/// Headers share a registry with the text, whatever they are called.
fn header_key(name: &str) -> String {
    format!("header {name}")
}

/// A body whose lines all end in LF, which the MIME writer makes CR LF. A bare CR from a row would be a line end to some
/// receivers and none to others (SMTP smuggling); other control characters have no place in a letter.
fn lines(name: &str, body: String) -> Result<String, Unrenderable> {
    let body = if body.contains('\r') { body.replace("\r\n", "\n").replace('\r', "\n") } else { body };
    if body.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Unrenderable { reason: "control_character", detail: format!("template {name} would hold one") });
    }
    Ok(body)
}

fn unrenderable(template: &str, error: RenderError) -> Unrenderable {
    let place = match error.line_no {
        Some(line) => format!("template {template}, line {line}"),
        None => format!("template {template}"),
    };
    // The reasons of handlebars name paths and helpers; those of our helpers are written without values.
    match error.reason() {
        RenderErrorReason::MissingVariable(path) => Unrenderable {
            reason: "missing_field",
            detail: format!("{place}: {} has no value", path.as_deref().unwrap_or("a field")),
        },
        RenderErrorReason::Other(what) => {
            let reason = if what.ends_with(helpers::NO_VALUE) { "missing_field" } else { "render" };
            Unrenderable { reason, detail: format!("{place}: {what}") }
        }
        RenderErrorReason::ParamNotFoundForIndex(helper, _) => {
            Unrenderable { reason: "missing_field", detail: format!("{place}: {helper} has no value") }
        }
        _ => Unrenderable { reason: "render", detail: format!("{place}: can't be rendered") },
    }
}

/// A header value is one line without control characters: nothing of a row can begin another header field.
fn one_line(name: &str, value: String) -> Result<String, Unrenderable> {
    if value.contains(char::is_control) {
        let detail = format!("{name} would hold a line break or control character");
        return Err(Unrenderable { reason: "header", detail });
    }
    Ok(value.trim().to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::{Address, Fields, Origin};
    use loader::Shape;
    use serde_json::json;

    fn template(text: &str) -> Template {
        Template { path: "t.hbs".into(), line: 1, text: text.into() }
    }

    pub(in crate::render) fn renderer(subject: &str, html: &str, text: &str) -> Result<Renderer, TemplateError> {
        let plan = MessagePlan {
            from: Mailbox::parse("Acme <notices@acme.example>").expect("a mailbox"),
            reply_to: None,
            return_path: "bounces.acme.example".into(),
            subject: template(subject),
            html: template(html),
            text: template(text),
            headers: vec![("X-Plan".into(), template("{{plan}}"))],
        };
        let lines = Shape::List(Box::new(Shape::Struct(vec![("code".into(), Shape::Scalar)])));
        let columns: Vec<_> =
            [("name", Shape::Scalar), ("plan", Shape::Scalar), ("owe", Shape::Scalar), ("lines", lines)]
                .map(|(name, shape)| Column { name: name.into(), shape })
                .into();
        Renderer::new(plan, &columns, &["plan".into()], TokenKey::new(&[1; 32]), RunId(1))
    }

    pub(in crate::render) fn row(fields: serde_json::Value) -> Row {
        let serde_json::Value::Object(fields) = fields else { panic!("an object") };
        Row {
            ordinal: 1,
            to: Address::parse("ann@b.example").expect("an address"),
            fields: Fields(fields),
            attempts: 0,
            first_attempt: None,
            origin: Origin::Input,
        }
    }

    #[test]
    fn a_missing_field_is_never_a_hole() {
        let renderer = renderer("s", "<p>{{money owe}}</p>", "{{name}}").expect("compiles");
        let fault = |fields| renderer.render(&row(fields), Timestamp(0)).expect_err("a hole");
        let fault_1 = fault(json!({"plan": "A", "owe": "1.00"}));
        assert_eq!(fault_1.reason, "missing_field");
        assert!(fault_1.detail.contains("name"), "{fault_1}");
        assert_eq!(fault(json!({"plan": "A", "name": "Ann"})).reason, "missing_field");
        let nonsense = fault(json!({"plan": "A", "name": "Ann", "owe": "SECRET"}));
        assert!(!nonsense.to_string().contains("SECRET"), "no value in a reason: {nonsense}");
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let renderer = renderer("{{plan}}", "<p>{{name}}</p>", "{{name}}").expect("compiles");
        let fields = json!({"plan": "A&B", "name": "<b>O'Neil</b> & Co"});
        let message = String::from_utf8(renderer.render(&row(fields), Timestamp(0)).expect("renders")).expect("ASCII");
        assert!(message.contains("<p>&lt;b&gt;O&#x27;Neil&lt;/b&gt; &amp; Co</p>"), "{message}");
        assert!(message.contains("\r\n<b>O'Neil</b> & Co"), "{message}");
        assert!(message.contains("Subject: A&B\r\n"), "{message}");
    }

    #[test]
    fn headers_cannot_be_injected_into() {
        let renderer = renderer("{{plan}}", "x", "x").expect("compiles");
        for evil in ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b"] {
            let fault = renderer.render(&row(json!({"plan": evil})), Timestamp(0)).expect_err("refused");
            assert_eq!(fault.reason, "header");
        }
    }

    #[test]
    fn a_bare_cr_is_a_line_end_and_nothing_else() {
        let renderer = renderer("s", "x", "{{name}}").expect("compiles");
        let smuggled = json!({"plan": "A", "name": "x\r.\r\nMAIL FROM:<evil@y.example>"});
        let message =
            String::from_utf8(renderer.render(&row(smuggled), Timestamp(0)).expect("renders")).expect("ASCII");
        assert!(!message.replace("\r\n", "").contains(['\r', '\n']), "{message:?}");
        let fault = renderer.render(&row(json!({"plan": "A", "name": "a\0b"})), Timestamp(0)).expect_err("refused");
        assert_eq!(fault.reason, "control_character");
    }

    #[test]
    fn names_are_checked_before_the_first_row() {
        let cases = [
            ("{{nmae}}", "t.hbs:1: there is no column \"nmae\"", Some("did you mean \"name\"?")),
            (
                "a\n{{#each lines}}\n{{cod}}{{/each}}",
                "t.hbs:3: there is no field \"cod\" here",
                Some("did you mean \"code\"?"),
            ),
            ("{{mony owe}}", "t.hbs:1: there is no helper \"mony\"", Some("did you mean \"money\"?")),
            ("{{#if name}}", "t.hbs:1: template does not compile", None),
        ];
        for (text, start, hint) in cases {
            let error = renderer("s", "x", text).err().expect(text);
            assert!(error.to_string().starts_with(start), "{error}");
            assert_eq!(error.hint.as_deref(), hint, "{text}");
        }
        let error = renderer("{{name}}", "x", "x").err().expect("PHI in the subject");
        assert!(error.what.contains("is PHI"), "{error}");
        for sneaky in ["{{lookup this \"name\"}}", "{{#each this}}{{this}}{{/each}}"] {
            let renderer = self::renderer(sneaky, "x", "x").expect("compiles");
            let row = row(json!({"plan": "A", "name": "SECRET"}));
            if let Ok(message) = renderer.render(&row, Timestamp(0)) {
                assert!(!String::from_utf8(message).expect("ASCII").contains("SECRET"), "{sneaky}");
            }
        }
        for text in ["{{#each lines}}{{code}} {{../name}} {{@index}}{{/each}}", "{{#if (gt owe 0)}}{{this.owe}}{{/if}}"]
        {
            renderer("s", "x", text).map(drop).expect(text);
        }
    }
}
