//! Makes the messages of one run.

use super::attachment::Attachment;
use super::edition::{Edition, SUBJECT, TO_NAME};
use super::language::Choice;
use super::{Column, ColumnName, ColumnsUsed, Data, MessagePlan, TemplateError, Unrenderable, mime};
use crate::clock::Timestamp;
use crate::mail::{Row, RunId};
use crate::secret::TokenKey;
use mail_builder::mime::MimePart;
use serde_json::{Map, Value};

/// Makes the messages of one run. Shared by all rendering threads.
pub struct Renderer {
    plan: MessagePlan,
    editions: Vec<Edition>,
    choice: Option<Choice>,
    attachments: Vec<Attachment>,
    /// The public columns that headers and names are made from.
    visible: Vec<String>,
    uses: ColumnsUsed,
    token: TokenKey,
    run: RunId,
}

impl Renderer {
    /// Compiles the templates of `plan` and checks every name in them against `columns`. Subject, headers and names travel
    /// where the body's care doesn't reach, so they may name `public` columns only.
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
        let mut uses = ColumnsUsed::none();
        for column in plan.column_names() {
            column.check(columns)?;
            uses.add(&column.name);
        }
        let visible: Vec<Column> = columns.iter().filter(|column| public.contains(&column.name)).cloned().collect();
        let mut in_headers = ColumnsUsed::none();
        let mut inlined = Vec::new();
        let mut editions = Vec::with_capacity(plan.wordings.len());
        for wording in &plan.wordings {
            let (edition, found) = Edition::new(&plan, wording, columns, &visible)?;
            editions.push(edition);
            uses.join(found.body);
            in_headers.join(found.headers);
            inlined.extend(found.inlined);
        }
        plan.check_inlined(&inlined)?;
        let visible = match &in_headers {
            ColumnsUsed::All => public.to_vec(),
            ColumnsUsed::Only(names) => names.iter().cloned().collect(),
        };
        uses.join(ColumnsUsed::Only(visible.iter().cloned().collect()));
        let tags = plan.wordings.iter().map(|wording| wording.language.as_deref().unwrap_or_default());
        let choice = plan.language.as_ref().map(|column| Choice::new(column, tags));
        let domain = plan.from.address.domain();
        let attachments = plan.attachments.iter().enumerate();
        let attachments = attachments.map(|(at, attachment)| Attachment::new(attachment.clone(), at, domain)).collect();
        Ok(Renderer { editions, choice, attachments, visible, uses, token, run, plan })
    }

    /// The columns that messages are made from; those of the gate (recipient, key) come on top.
    pub fn uses(&self) -> &ColumnsUsed {
        &self.uses
    }

    /// The message of `row` without signatures, dated `date`: header fields, an empty line, the body.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn render(&self, row: &Row, date: Timestamp) -> Result<Vec<u8>, Unrenderable> {
        let edition = self.edition(row);
        let visible = Data::visible(&row.fields.0, &self.visible);
        let header = |key: &str| edition.header(key, &visible);
        let headers = self.plan.headers.iter().zip(&edition.header_keys);
        let headers = headers.map(|((name, _), key)| Ok((name.as_str(), header(key)?)));
        let to_name = self.plan.to_name.as_ref().map(|_| header(TO_NAME)).transpose()?;
        let (text, html) = edition.said(&Data::all(&row.fields.0))?;
        let (inline, attached) = self.enclosures(edition, &row.fields.0, &visible)?;
        let message = mime::message(mime::Parts {
            from: &self.plan.from,
            from_name: edition.from_name.as_deref(),
            reply_to: self.plan.reply_to.as_ref(),
            to: &row.to,
            to_name: to_name.as_deref().filter(|name| !name.is_empty()),
            date,
            message_id: &self.message_id(row.ordinal),
            boundary: &self.token.boundary(self.run, row.ordinal),
            subject: &header(SUBJECT)?,
            fixed: &edition.fixed,
            headers: headers.collect::<Result<_, _>>()?,
            text: &text,
            html: html.as_ref(),
            inline,
            attached,
        });
        if message.len() > self.plan.max_size {
            let detail = format!("it would have {} octets, and max_size allows {}", message.len(), self.plan.max_size);
            return Err(Unrenderable::new("message_too_large", detail));
        }
        Ok(message)
    }

    /// The HTML of `row` alone.
    ///
    /// # Errors
    /// The row makes no message, or the campaign has no HTML.
    pub fn html(&self, row: &Row) -> Result<String, Unrenderable> {
        let (_, html) = self.edition(row).body(&Data::all(&row.fields.0))?;
        html.ok_or_else(|| Unrenderable::new("render", "this campaign has no HTML"))
    }

    /// The text of `row` alone.
    ///
    /// # Errors
    /// The row makes no message.
    pub fn text(&self, row: &Row) -> Result<String, Unrenderable> {
        self.edition(row).body(&Data::all(&row.fields.0)).map(|(text, _)| text)
    }

    /// The row's Message-ID, without angle brackets.
    pub fn message_id(&self, ordinal: u64) -> String {
        format!("{}@{}", self.token.message_id(self.run, ordinal), self.plan.from.address.domain())
    }

    /// The row's envelope sender.
    pub fn return_path(&self, ordinal: u64) -> String {
        format!("{}@{}", self.token.return_path(self.run, ordinal), self.plan.return_path)
    }

    fn edition(&self, row: &Row) -> &Edition {
        let at = self.choice.as_ref().map_or(0, |choice| choice.of(&row.fields.0));
        &self.editions[at]
    }

    /// The attachments of a row: those that the HTML shows, and the others.
    fn enclosures(
        &self,
        edition: &Edition,
        row: &Map<String, Value>,
        visible: &Data<'_>,
    ) -> Result<(Vec<MimePart<'_>>, Vec<MimePart<'_>>), Unrenderable> {
        let (mut inline, mut attached) = (Vec::new(), Vec::new());
        for attachment in edition.attachments.iter().map(|at| &self.attachments[*at]) {
            let part = attachment.part(row, &edition.plain, visible, self.plan.max_size)?;
            if attachment.is_inline() { inline.extend(part) } else { attached.extend(part) }
        }
        Ok((inline, attached))
    }
}

impl ColumnName {
    fn check(&self, columns: &[Column]) -> Result<(), TemplateError> {
        if columns.iter().any(|column| column.name == self.name) {
            return Ok(());
        }
        let hint = super::lint::closest(&self.name, columns.iter().map(|column| column.name.as_str()));
        Err(TemplateError::new(&self.path, self.line, format!("there is no column \"{}\"", self.name), hint))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::{Address, Fields, Mailbox, Origin};
    use crate::render::{Template, Wording};
    use loader::Shape;
    use serde_json::json;

    pub(in crate::render) fn template(text: &str) -> Template {
        Template { path: "t.hbs".into(), line: 1, text: text.into() }
    }

    pub(in crate::render) fn renderer(subject: &str, html: &str, text: &str) -> Result<Renderer, TemplateError> {
        let text = (!text.is_empty()).then(|| template(text));
        let wording = Wording { html: (!html.is_empty()).then(|| template(html)), text, ..wording(None, subject, "") };
        make(MessagePlan { headers: vec![("X-Plan".into(), template("{{plan}}"))], ..plan(vec![wording]) })
    }

    pub(in crate::render) fn wording(language: Option<&str>, subject: &str, html: &str) -> Wording {
        Wording {
            language: language.map(str::to_owned),
            from_name: None,
            subject: template(subject),
            html: Some(template(html)),
            text: None,
        }
    }

    /// What mail-builder wrote for a row, and it is ASCII.
    pub(in crate::render) fn shown(renderer: &Renderer, fields: serde_json::Value) -> String {
        String::from_utf8(renderer.render(&row(fields), Timestamp(0)).expect("renders")).expect("ASCII")
    }

    pub(in crate::render) fn plan(wordings: Vec<Wording>) -> MessagePlan {
        MessagePlan {
            from: Mailbox::parse("Acme <notices@acme.example>").expect("a mailbox"),
            reply_to: None,
            return_path: "bounces.acme.example".into(),
            to_name: None,
            wordings,
            language: None,
            partials: Vec::new(),
            attachments: Vec::new(),
            feedback_id: None,
            auto_submitted: false,
            headers: Vec::new(),
            max_size: 1_000_000,
        }
    }

    pub(in crate::render) fn make(plan: MessagePlan) -> Result<Renderer, TemplateError> {
        let lines = Shape::List(Box::new(Shape::Struct(vec![("code".into(), Shape::Scalar)])));
        let columns: Vec<_> = [
            ("name", Shape::Scalar),
            ("plan", Shape::Scalar),
            ("owe", Shape::Scalar),
            ("lang", Shape::Scalar),
            ("file", Shape::Scalar),
            ("lines", lines),
        ]
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
            doubted: false,
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

    /// A null is no value wherever it stands, and neither a list nor an object is text.
    #[test]
    fn what_is_no_text_is_never_a_hole() {
        let lines = json!({"plan": "A", "lines": [null, {"code": "7"}, {"code": null}, {"code": {}}], "name": null});
        let cases = [
            ("{{#each lines}}{{code}}{{/each}}", "missing_field", "code has no value"),
            ("{{lookup (lookup lines 2) \"code\"}}", "missing_field", "has no value"),
            ("{{lookup (lookup lines 3) \"code\"}}", "render", "can't be written"),
            ("{{{lookup lines 0}}}", "missing_field", "has no value"),
            ("{{#with (lookup lines 3)}}{{code}}{{/with}}", "render", "code is a list or has fields"),
            ("{{default (lookup lines 3)}}", "render", "can't be written"),
            ("{{name}}", "missing_field", "name has no value"),
        ];
        for (text, reason, detail) in cases {
            let fault = renderer("s", "", text).expect(text).render(&row(lines.clone()), Timestamp(0)).expect_err(text);
            assert_eq!(fault.reason, reason, "{text}: {fault}");
            assert!(fault.detail.contains(detail), "{text}: {fault}");
        }
        let text = "{{#each lines}}{{#if this}}{{#if code}}{{@index}}{{/if}}{{/if}}{{/each}}{{default name plan}}";
        let shown = renderer("s", "", text).expect("compiles").text(&row(lines)).expect("renders");
        assert_eq!(shown, "1A");
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
        for evil in ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "=?utf-8?Q?=0D=0ABcc:?=", "a\u{202e}b"] {
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
        for sneaky in ["{{lookup this \"name\"}}", "{{#each this}}{{@key}}{{/each}}{{lookup this \"name\"}}"] {
            let renderer = self::renderer(sneaky, "x", "x").expect("compiles");
            let row = row(json!({"plan": "A", "name": "SECRET"}));
            let fault = renderer.render(&row, Timestamp(0)).expect_err("the name isn't there");
            assert_eq!(fault.reason, "missing_field", "{sneaky}: {fault}");
            assert!(!fault.to_string().contains("SECRET"), "{sneaky}: {fault}");
        }
        let shown = shown(
            &self::renderer("{{#each this}}{{this}}{{/each}}", "x", "x").expect("compiles"),
            json!({"plan": "A", "name": "SECRET"}),
        );
        assert!(shown.contains("Subject: A\r\n") && !shown.contains("SECRET"), "{shown}");
        for text in ["{{#each lines}}{{code}} {{../name}} {{@index}}{{/each}}", "{{#if (gt owe 0)}}{{this.owe}}{{/if}}"]
        {
            renderer("s", "x", text).map(drop).expect(text);
        }
    }

    #[test]
    fn a_row_gets_its_language() {
        let english = wording(Some("en"), "Hello", "<p>{{date owe}}</p>");
        let spanish = Wording {
            from_name: Some("Acme Salud".into()),
            ..wording(Some("es"), "Hola {{plan}}", "<p>{{date owe}}</p>")
        };
        let language = Some(ColumnName { path: "t.toml".into(), line: 7, name: "lang".into() });
        let renderer =
            make(MessagePlan { language: language.clone(), ..plan(vec![english.clone(), spanish]) }).expect("compiles");
        let letter = |lang: &str| shown(&renderer, json!({"plan": "A", "lang": lang, "owe": "2023-01-27"}));
        let spanish = letter("es-MX");
        for words in ["Subject: Hola A\r\n", "\"Acme Salud\" <", "Content-Language: es\r\n", "27 de enero de 2023"] {
            assert!(spanish.contains(words), "{spanish}");
        }
        let other = letter("xx");
        for words in ["Subject: Hello\r\n", "\"Acme\" <", "Content-Language: en\r\n", "January 27, 2023"] {
            assert!(other.contains(words), "{other}");
        }
        let fault = renderer.render(&row(json!({"plan": "A", "lang": "es"})), Timestamp(0)).expect_err("no date");
        assert!(fault.detail.starts_with("template html (es), line 1: "), "{fault}");
        let gone = language.map(|column| ColumnName { name: "lnag".into(), ..column });
        let error = make(MessagePlan { language: gone, ..plan(vec![english]) }).err().expect("no such column");
        assert_eq!(error.to_string(), "t.toml:7: there is no column \"lnag\"");
        assert_eq!(error.hint.as_deref(), Some("did you mean \"lang\"?"));
    }

    #[test]
    fn columns_that_a_message_is_made_from() {
        let only = |names: &[&str]| ColumnsUsed::Only(names.iter().map(|name| (*name).to_owned()).collect());
        let cases = [
            ("{{plan}}", "{{name}}", only(&["name", "plan"])),
            ("x", "{{#each lines}}{{code}} {{../owe}}{{/each}}", only(&["lines", "owe", "plan"])),
            ("x", "{{#if (gt @root.owe 0)}}{{#with this}}{{name}}{{/with}}{{/if}}", only(&["name", "owe", "plan"])),
            ("x", "{{lookup this \"name\"}}", ColumnsUsed::All),
            ("x", "{{#each this}}{{@key}}{{/each}}", ColumnsUsed::All),
            // Headers see public columns and no others, whatever they do.
            ("{{lookup this \"name\"}}", "x", only(&["plan"])),
        ];
        for (subject, text, expected) in cases {
            assert_eq!(renderer(subject, "", text).expect(text).uses(), &expected, "{subject} {text}");
        }
    }

    #[test]
    fn the_name_in_to() {
        let named = |to_name: &str| {
            make(MessagePlan { to_name: Some(template(to_name)), ..plan(vec![wording(None, "s", "x")]) })
        };
        let renderer = named("{{plan}}").expect("compiles");
        for (name, to) in [
            ("Ann O'Neil", "To: \"Ann O'Neil\" <ann@b.example>\r\n"),
            ("José Peña", "To: =?utf-8?B?Sm9zw6kgUGXDsWE=?= <ann@b.example>\r\n"),
            ("张伟", "To: =?utf-8?B?5byg5Lyf?= <ann@b.example>\r\n"),
            ("a\" <x@y.example>", "To: \"a\\\" <x@y.example>\" <ann@b.example>\r\n"),
            (" ", "To: <ann@b.example>\r\n"),
        ] {
            let message = shown(&renderer, json!({"plan": name}));
            assert!(message.contains(to), "{name}: {message}");
        }
        let fault = renderer.render(&row(json!({})), Timestamp(0)).expect_err("no name");
        assert_eq!(
            (fault.reason, fault.detail.as_str()),
            ("missing_field", "template to_name, line 1: plan has no value")
        );
        let fault = renderer.render(&row(json!({"plan": "a\r\nBcc: x"})), Timestamp(0)).expect_err("two lines");
        assert_eq!(fault.reason, "header");
        assert!(named("{{name}}").err().expect("PHI").what.contains("is PHI"));
    }

    #[test]
    fn a_message_has_a_largest_size() {
        let renderer =
            make(MessagePlan { max_size: 2000, ..plan(vec![wording(None, "s", "{{name}}")]) }).expect("compiles");
        assert!(renderer.render(&row(json!({"name": "x"})), Timestamp(0)).is_ok());
        let fault = renderer.render(&row(json!({"name": "x".repeat(2000)})), Timestamp(0)).expect_err("too large");
        assert_eq!(fault.reason, "message_too_large");
    }
}
