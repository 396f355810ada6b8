//! The compiled templates of one language and one dialect, and the partials they may include.

use super::language::Calendar;
use super::lint::{self, Reach};
use super::segments::{self, Program};
use super::{Column, Data, Template, TemplateError, Unrenderable, helpers, signature};
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Subexpression, TemplateElement};
use handlebars::{Handlebars, RenderError, RenderErrorReason, template};
use std::collections::HashMap;
use std::path::PathBuf;

/// How values are written into a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Escaped for HTML.
    Html,
    /// As they are: text, subject, headers.
    Text,
}

/// A template that others include by name: `{{> name}}`.
#[derive(Clone, Debug)]
pub struct Partial {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// Who can include it.
    pub dialect: Dialect,
    /// What it holds.
    pub template: Template,
}

/// What a body says.
pub(super) enum Said {
    Text(String),
    /// In quoted-printable, with CR LF.
    Quoted(Vec<u8>),
}

/// Templates by key. Keys begin with `/`, which no partial's name does.
pub(super) struct Library {
    registry: Handlebars<'static>,
    /// The checked templates that are lists of segments.
    programs: HashMap<String, Program>,
    dialect: Dialect,
    calendar: Calendar,
    places: HashMap<String, (PathBuf, usize)>,
    /// ` (es)` where a campaign has several languages.
    label: String,
}

impl Library {
    /// A library of partials, whose dates are written as `calendar` says.
    pub(super) fn new<'a>(
        dialect: Dialect,
        partials: impl Iterator<Item = &'a Partial>,
        calendar: Calendar,
        label: String,
    ) -> Result<Library, TemplateError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        if dialect == Dialect::Text {
            registry.register_escape_fn(handlebars::no_escape);
        }
        helpers::register(&mut registry, calendar);
        let mut library =
            Library { registry, programs: HashMap::new(), dialect, calendar, places: HashMap::new(), label };
        for partial in partials.filter(|partial| partial.dialect == dialect) {
            library.add(&partial.name, &partial.template)?;
        }
        Ok(library)
    }

    /// Compiles `template` under `key`.
    pub(super) fn add(&mut self, key: &str, template: &Template) -> Result<(), TemplateError> {
        self.places.insert(key.to_owned(), (template.path.clone(), template.line));
        let mut compiled = template::Template::compile_with_name(&template.text, key.to_owned()).map_err(|error| {
            let (line, _) = error.pos().unwrap_or((1, 1));
            let what = format!("template does not compile: {}", error.reason().to_string().replace('\n', " "));
            self.fail(key, line, what, None)
        })?;
        prepare(&mut compiled, key);
        self.registry.register_template(key, compiled);
        Ok(())
    }

    /// Checks every name in the template under `key` and in what it includes against `columns`. Afterwards it can be rendered.
    pub(super) fn check(&mut self, key: &str, columns: &[Column]) -> Result<Reach, TemplateError> {
        let reach = lint::check(&self.registry, key, columns)
            .map_err(|finding| self.fail(&finding.template, finding.line, finding.what, finding.hint))?;
        let program = segments::compile(&self.registry, key, columns, self.calendar, self.dialect == Dialect::Html);
        self.programs.extend(program.map(|program| (key.to_owned(), program)));
        Ok(reach)
    }

    /// The text of the template under `key`.
    pub(super) fn render(&self, key: &str, data: &Data<'_>) -> Result<String, Unrenderable> {
        match self.programs.get(key).map(|program| program.text(data.row())) {
            Some(Ok(text)) => Ok(text),
            Some(Err(segments::Odd)) | None => self.interpret(key, data),
        }
    }

    /// The same for a message's body.
    pub(super) fn said(&self, key: &str, data: &Data<'_>) -> Result<Said, Unrenderable> {
        match self.programs.get(key).map(|program| program.quoted(data.row())) {
            Some(Ok(quoted)) => Ok(Said::Quoted(quoted)),
            Some(Err(segments::Odd)) | None => self.render(key, data).map(Said::Text),
        }
    }

    /// The text by handlebars' own interpreter.
    pub(super) fn interpret(&self, key: &str, data: &Data<'_>) -> Result<String, Unrenderable> {
        self.registry.render_with_context(key, data.context()).map_err(|error| self.unrenderable(key, &error))
    }

    #[cfg(test)]
    pub(super) fn program(&self, key: &str) -> Option<&Program> {
        self.programs.get(key)
    }

    fn fail(&self, key: &str, line: usize, what: String, hint: Option<String>) -> TemplateError {
        let (path, first) = self.places.get(key).cloned().unwrap_or_default();
        TemplateError::new(&path, first + line.max(1) - 1, what, hint)
    }

    /// The reasons of handlebars name paths and helpers; those of our helpers are written without values.
    fn unrenderable(&self, key: &str, error: &RenderError) -> Unrenderable {
        let key = error.template_name.as_deref().unwrap_or(key);
        let name = key.strip_prefix('/').map_or_else(|| format!("partial {key}"), |key| format!("template {key}"));
        let line = error.line_no.map(|line| format!(", line {line}")).unwrap_or_default();
        let place = format!("{name}{}{line}", self.label);
        match error.reason() {
            RenderErrorReason::MissingVariable(path) => {
                let path = path.as_deref().unwrap_or("a field");
                Unrenderable::new("missing_field", format!("{place}: {path} {}", helpers::NO_VALUE))
            }
            RenderErrorReason::Other(what) => {
                let reason = if what.ends_with(helpers::NO_VALUE) { "missing_field" } else { "render" };
                Unrenderable::new(reason, format!("{place}: {what}"))
            }
            RenderErrorReason::ParamNotFoundForIndex(helper, _) => {
                Unrenderable::new("missing_field", format!("{place}: {helper} {}", helpers::NO_VALUE))
            }
            _ => Unrenderable::new("render", format!("{place}: can't be rendered")),
        }
    }
}

/// What handlebars would get wrong about a template.
///
/// An inline partial is rendered from within the template that includes it, and without a name of its own an error inside it
/// would bear that template's name beside a line of this one. And what an expression writes passes [`helpers::WRITE`]: for
/// handlebars a null is nothing and an object `[object]`, in a letter both are holes.
fn prepare(template: &mut template::Template, name: &str) {
    let inside = |block: &mut DecoratorTemplate, is_inline: bool| {
        if let Some(template) = &mut block.template {
            if is_inline {
                template.name = Some(name.to_owned());
            }
            prepare(template, name);
        }
    };
    for element in &mut template.elements {
        match element {
            TemplateElement::Expression(expression) | TemplateElement::HtmlExpression(expression) => write(expression),
            TemplateElement::DecoratorBlock(block) => inside(block, true),
            TemplateElement::PartialBlock(block) => inside(block, false),
            TemplateElement::HelperBlock(block) => {
                for template in [&mut block.template, &mut block.inverse].into_iter().flatten() {
                    prepare(template, name);
                }
            }
            _ => {}
        }
    }
}

/// `{{x}}` and `{{money x}}` become `{{/write x}}` and `{{/write (money x)}}`.
fn write(expression: &mut HelperTemplate) {
    let name = std::mem::replace(&mut expression.name, Parameter::Name(helpers::WRITE.to_owned()));
    let (params, hash) = (std::mem::take(&mut expression.params), std::mem::take(&mut expression.hash));
    let is_value = params.is_empty() && hash.is_empty() && !lint::name(&name).is_some_and(signature::is_helper);
    let value = if is_value { name } else { Parameter::Subexpression(Subexpression::new(name, params, hash)) };
    expression.params = vec![value];
}
