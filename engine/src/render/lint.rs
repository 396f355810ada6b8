//! Checks the names in a template, and in the partials it includes, against the input's columns, so that a typing error stops
//! a run before it starts and not at every row.
//!
//! It goes the way that rendering goes, over both branches of every condition: a partial is checked wherever it is included,
//! with the scope that it has there. What it meets on the way, [`Reach`], says which columns a message is made from.

use super::scope::{Inline, Scope, Scopes};
use super::{Column, ColumnsUsed, signature};
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Handlebars, Path};
use loader::Shape;
use std::collections::BTreeSet;

/// What is wrong, in which template, and on which line of it.
pub(super) struct Finding {
    pub(super) template: String,
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// What a template is made from.
pub(super) struct Reach {
    pub(super) columns: ColumnsUsed,
    pub(super) partials: BTreeSet<String>,
}

/// A fault before its place is known.
pub(super) struct Fault {
    place: Option<(String, usize)>,
    what: String,
    hint: Option<String>,
}

pub(super) fn check(registry: &Handlebars<'static>, key: &str, columns: &[Column]) -> Result<Reach, Finding> {
    let row = columns.iter().map(|column| (column.name.clone(), column.shape.clone())).collect();
    let mut linter = Linter {
        registry,
        scopes: Scopes::new(Scope::row(Shape::Struct(row))),
        reading: vec![key],
        blocks: Vec::new(),
        partials: BTreeSet::new(),
    };
    let compiled = registry.get_template(key).expect("registered before it is checked");
    let found = linter.template(compiled).and_then(|()| linter.leave());
    found.map_err(|fault| {
        let (template, line) = fault.place.unwrap_or((key.to_owned(), 1));
        Finding { template, line, what: fault.what, hint: fault.hint }
    })?;
    Ok(Reach { columns: linter.scopes.used, partials: linter.partials })
}

struct Linter<'a> {
    registry: &'a Handlebars<'static>,
    scopes: Scopes<'a>,
    /// The templates being read, outermost first.
    reading: Vec<&'a str>,
    /// For each partial being read, whether it was given a block (`@partial-block`).
    blocks: Vec<bool>,
    partials: BTreeSet<String>,
}

impl<'a> Linter<'a> {
    fn template(&mut self, compiled: &'a Template) -> Result<(), Fault> {
        for (at, element) in compiled.elements.iter().enumerate() {
            let line = compiled.mapping.get(at).map_or(1, |mapping| mapping.0);
            let checked = match element {
                TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                    self.expression(helper)
                }
                TemplateElement::HelperBlock(helper) => self.block(helper),
                TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                    self.partial(partial)
                }
                TemplateElement::DecoratorBlock(decorator) => self.inline(decorator, line),
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
                _ => Err(Fault::new("decorators other than {{#*inline \"name\"}} are not supported", None)),
            };
            checked.map_err(|fault| fault.at(self.reading.last().copied().unwrap_or_default(), line))?;
        }
        Ok(())
    }

    /// What is written must be no list and have no fields. [`Library`](super::library::Library) makes it the one parameter.
    fn expression(&mut self, helper: &HelperTemplate) -> Result<(), Fault> {
        for value in &helper.params {
            if let Shape::List(_) | Shape::Struct(_) = self.parameter(value)? {
                let hint = "go over a list with {{#each}}, and name the field that is meant".to_owned();
                return Err(Fault::new("what stands here is a list or has fields, and is no text", Some(hint)));
            }
        }
        Ok(())
    }

    /// A call of a helper: that it is one, and takes what it gets.
    fn call(&mut self, helper: &HelperTemplate) -> Result<(), Fault> {
        let Some(name) = name(&helper.name) else {
            return Err(Fault::new("a helper's name must be written out", None));
        };
        signature::check(name, helper).map_err(|fault| {
            let is_bare = helper.params.is_empty() && helper.hash.is_empty();
            match is_bare && self.scopes.named(name).is_ok() {
                true => Fault { hint: Some(format!("if the column is meant, write {{{{this.{name}}}}}")), ..fault },
                false => fault,
            }
        })
    }

    fn parameters(&mut self, helper: &HelperTemplate) -> Result<(), Fault> {
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            self.parameter(parameter)?;
        }
        Ok(())
    }

    fn parameter(&mut self, parameter: &Parameter) -> Result<Shape, Fault> {
        match parameter {
            Parameter::Path(path) => self.scopes.value(path),
            Parameter::Name(name) => self.scopes.named(name),
            Parameter::Literal(_) => Ok(Shape::Scalar),
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(helper) = inner.as_element() {
                    self.call(helper)?;
                    self.parameters(helper)?;
                }
                Ok(Shape::Unknown)
            }
            _ => Ok(Shape::Unknown),
        }
    }

    /// The scope that a parameter makes: the row stays the row.
    fn scope(&mut self, parameter: &Parameter) -> Result<Scope<'a>, Fault> {
        match parameter {
            Parameter::Path(path) => self.scopes.scope(path),
            other => self.parameter(other).map(Scope::of),
        }
    }

    fn block(&mut self, helper: &'a HelperTemplate) -> Result<(), Fault> {
        self.call(helper)?;
        if helper.block_param.is_some() {
            return Err(Fault::new("block parameters (`as |x|`) are not supported", None));
        }
        let inner = match (name(&helper.name).unwrap_or_default(), helper.params.first()) {
            ("each", Some(list)) => Some(match self.parameter(list)? {
                Shape::List(item) => Scope::of(*item),
                Shape::Scalar => return Err(no_list(list)),
                Shape::Struct(_) | Shape::Unknown => Scope::of(Shape::Unknown),
            }),
            ("with", Some(value)) => Some(self.scope(value)?),
            _ => {
                self.parameters(helper)?;
                None
            }
        };
        if let Some(template) = &helper.template {
            match inner {
                Some(scope) => {
                    self.scopes.enter(scope);
                    self.template(template)?;
                    self.leave()?;
                }
                None => self.template(template)?,
            }
        }
        helper.inverse.as_ref().map_or(Ok(()), |template| self.template(template))
    }

    /// `{{#*inline "name"}}`: known from here on, in this scope and in what it includes.
    fn inline(&mut self, decorator: &'a DecoratorTemplate, line: usize) -> Result<(), Fault> {
        let name = match (name(&decorator.name), decorator.params.first()) {
            (Some("inline"), Some(Parameter::Literal(name))) => name.as_str(),
            (Some("inline"), _) => None,
            _ => return Err(Fault::new("decorators other than {{#*inline \"name\"}} are not supported", None)),
        };
        let (Some(name), Some(template)) = (name, &decorator.template) else {
            return Err(Fault::new("an inline partial needs a name: {{#*inline \"name\"}}", None));
        };
        let origin = self.reading.last().copied().unwrap_or_default();
        self.scopes.define(Inline { name, template, origin, line, used: false });
        Ok(())
    }

    fn partial(&mut self, partial: &'a DecoratorTemplate) -> Result<(), Fault> {
        let Some(name) = name(&partial.name) else {
            return Err(Fault::new(
                "a partial's name must be written out: what it includes could not be checked",
                None,
            ));
        };
        if name == PARTIAL_BLOCK {
            return match (self.blocks.last(), &partial.template) {
                (Some(true), _) => Ok(()),
                (_, Some(fallback)) => self.template(fallback),
                _ => Err(Fault::new(
                    "{{> @partial-block}} has no block here",
                    Some("include this partial with one: {{#> name}}…{{/name}}".into()),
                )),
            };
        }
        let scope = self.partial_scope(partial)?;
        self.scopes.enter(scope);
        match self.find(name) {
            Some((origin, found)) => {
                if let Some(block) = &partial.template {
                    self.template(block)?;
                }
                self.include(name, origin, found, partial.template.is_some())?;
            }
            // Inside a partial this is a slot that its user may fill with an inline partial.
            None => match &partial.template {
                Some(fallback) if self.reading.len() > 1 => {
                    self.blocks.push(false);
                    let checked = self.template(fallback);
                    self.blocks.pop();
                    checked?;
                }
                _ => return Err(self.no_partial(name)),
            },
        }
        self.leave()
    }

    fn partial_scope(&mut self, partial: &'a DecoratorTemplate) -> Result<Scope<'a>, Fault> {
        let mut scope = match partial.params.first() {
            Some(context) => self.scope(context)?,
            None => self.scopes.current(),
        };
        for (name, value) in &partial.hash {
            let shape = self.parameter(value)?;
            scope.params.push((name, shape));
        }
        Ok(scope)
    }

    fn find(&mut self, name: &'a str) -> Option<(&'a str, &'a Template)> {
        self.scopes.inline(name).or_else(|| {
            let found = self.registry.get_template(name).filter(|_| !name.starts_with('/'))?;
            self.partials.insert(name.to_owned());
            Some((name, found))
        })
    }

    fn include(&mut self, name: &'a str, origin: &'a str, found: &'a Template, with_block: bool) -> Result<(), Fault> {
        if self.reading.len() > DEEPEST {
            let what = format!("partial \"{name}\" includes itself, or partials are nested more than {DEEPEST} deep");
            return Err(Fault::new(what, None));
        }
        self.reading.push(origin);
        self.blocks.push(with_block);
        let checked = self.template(found);
        self.blocks.pop();
        self.reading.pop();
        checked
    }

    fn leave(&mut self) -> Result<(), Fault> {
        match self.scopes.leave() {
            Some(unused) => {
                let what = format!("inline partial \"{}\" is never included", unused.name);
                Err(Fault::new(what, None).at(unused.origin, unused.line))
            }
            None => Ok(()),
        }
    }

    fn no_partial(&self, name: &str) -> Fault {
        let partials = self.registry.get_templates().keys().map(String::as_str).filter(|name| !name.starts_with('/'));
        let hint = closest(name, partials)
            .unwrap_or_else(|| "partials are NAME.html.hbs or NAME.txt.hbs in the folder [message] partials".into());
        Fault::new(format!("there is no partial \"{name}\""), Some(hint))
    }
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, hint: Option<String>) -> Fault {
        Fault { place: None, what: what.into(), hint }
    }

    fn at(mut self, template: &str, line: usize) -> Fault {
        self.place.get_or_insert_with(|| (template.to_owned(), line));
        self
    }
}

fn no_list(parameter: &Parameter) -> Fault {
    let column =
        name(parameter).filter(|path| path.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_'));
    let hint =
        column.map(|column| format!("if it is JSON, declare it under [input]: columns = {{ {column} = \"json\" }}"));
    Fault::new("each needs a list, and this column is none", hint)
}

/// The name of a helper or partial, where it is written out.
pub(super) fn name(name: &Parameter) -> Option<&str> {
    match name {
        Parameter::Name(name) => Some(name),
        Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => Some(raw),
        _ => None,
    }
}

pub(super) fn closest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    crate::mail::closest(written, names).map(|name| format!("did you mean \"{name}\"?"))
}

const PARTIAL_BLOCK: &str = "@partial-block";

/// A letter's layout, its parts and theirs need four; what goes deeper goes round.
const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::render::renderer::tests::{make, plan, row, template, wording};
    use crate::render::{ColumnsUsed, Dialect, MessagePlan, Partial, Renderer, Template, TemplateError};
    use serde_json::json;

    fn with_partials(html: &str, partials: &[(&str, &str)]) -> Result<Renderer, TemplateError> {
        let partials = partials.iter().map(|(name, text)| Partial {
            name: (*name).to_owned(),
            dialect: Dialect::Html,
            template: Template { path: format!("{name}.html.hbs").into(), ..template(text) },
        });
        make(MessagePlan { partials: partials.collect(), ..plan(vec![wording(None, "s", html)]) })
    }

    #[test]
    fn what_includes_what_renders() {
        let layout = "<h1>{{title}}</h1>\n{{> @partial-block}}{{#> foot}}no foot{{/foot}}";
        let cases = [
            ("{{> p}}", "{{name}}", "Ann"),
            ("{{> p title=\"x\"}}", "{{title}} {{name}}", "x Ann"),
            ("{{> p title=name}}", "{{#each lines}}{{title}}{{code}}{{../owe}}{{/each}}", "Ann79"),
            ("{{#each lines}}{{> p this}}{{/each}}", "{{code}}", "7"),
            ("{{#each lines}}{{> p title=\"x\"}}{{/each}}", "{{code}}{{title}}{{../../name}}{{@index}}", "7xAnn0"),
            ("{{#> layout title=\"t\"}}{{name}}{{/layout}}", layout, "<h1>t</h1>\nAnnno foot"),
            ("{{#> layout title=owe}}{{#*inline \"foot\"}}{{name}}{{/inline}}b{{/layout}}", layout, "<h1>9</h1>\nbAnn"),
            ("{{#*inline \"own\"}}{{name}}!{{/inline}}{{> own}}{{#if owe}}{{> own}}{{/if}}", "", "Ann!Ann!"),
            ("{{#with this}}{{> p}}{{/with}}", "{{name}}", "Ann"),
            ("{{#each lines}}{{> p this}}{{/each}}", "{{code}}{{@root.name}}", "7Ann"),
        ];
        for (html, partial, expected) in cases {
            let renderer = with_partials(html, &[("p", partial), ("layout", partial)]);
            let renderer = renderer.unwrap_or_else(|error| panic!("{html}: {error}"));
            let fields = json!({"name": "Ann", "owe": "9", "lines": [{"code": "7"}]});
            match renderer.html(&row(fields)) {
                Ok(shown) => assert!(shown.starts_with(expected), "{html}: {shown}"),
                Err(fault) => panic!("{html}: {fault}"),
            }
        }
    }

    #[test]
    fn what_can_t_be_included() {
        let cases = [
            ("a\n{{> p}}", "b\n{{nmae}}", "p.html.hbs:2: there is no column \"nmae\"", "did you mean \"name\"?"),
            ("{{#each lines}}{{> p}}{{/each}}", "\n\n{{name}}", "p.html.hbs:3: there is no field \"name\" here", ""),
            (
                "{{#each lines}}{{> p this}}{{/each}}",
                "{{cod}}",
                "p.html.hbs:1: there is no field",
                "did you mean \"code\"?",
            ),
            ("{{> p title=nmae}}", "", "t.hbs:1: there is no column \"nmae\"", "did you mean \"name\"?"),
            (
                "{{> p titel=\"x\"}}",
                "{{title}}",
                "p.html.hbs:1: there is no column \"title\"",
                "did you mean \"titel\"?",
            ),
            ("\n{{> gone}}", "", "t.hbs:2: there is no partial \"gone\"", "partials are NAME.html.hbs"),
            ("{{> heeder}}", "", "t.hbs:1: there is no partial \"heeder\"", "did you mean \"header\"?"),
            ("{{#> gone}}x{{/gone}}", "", "t.hbs:1: there is no partial \"gone\"", ""),
            ("{{> (lookup this name)}}", "", "t.hbs:1: a partial's name must be written out", ""),
            ("{{> p}}", "{{> p}}", "p.html.hbs:1: partial \"p\" includes itself", ""),
            ("{{> p}}", "{{> @partial-block}}", "p.html.hbs:1: {{> @partial-block}} has no block", "{{#> name}}"),
            ("{{> @partial-block}}", "", "t.hbs:1: {{> @partial-block}} has no block", ""),
            (
                "{{#> p}}\n{{#*inline \"x\"}}y{{/inline}}{{/p}}",
                "z",
                "t.hbs:2: inline partial \"x\" is never included",
                "",
            ),
            ("{{> own}}{{#*inline \"own\"}}y{{/inline}}", "", "t.hbs:1: there is no partial \"own\"", ""),
            ("{{#> p}}{{#*inline \"x\"}}\n{{nmae}}{{/inline}}{{/p}}", "{{> x}}", "t.hbs:2: there is no column", ""),
            ("{{> /html}}", "", "t.hbs:1: ", ""),
            ("{{* odd}}", "", "t.hbs:1: decorators other than", ""),
            ("{{#each name}}{{/each}}", "", "t.hbs:1: each needs a list", "columns = { name = \"json\" }"),
            ("{{> p}}", "{{#if}", "p.html.hbs:1: template does not compile", ""),
        ];
        for (html, partial, start, hint) in cases {
            let error = with_partials(html, &[("p", partial), ("header", "x")]).err().expect(html);
            assert!(error.to_string().starts_with(start), "{html}: {error}");
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{html}: {:?}", error.hint);
        }
    }

    #[test]
    fn calls_that_no_row_could_satisfy() {
        let cases = [
            ("{{date}}", "date takes 1 to 2 parameters, and here it has 0", ""),
            ("{{#*inline \"x\"}}{{len}}{{/inline}}{{> x len=name}}", "len takes 1 parameter,", "{{this.len}}"),
            ("{{pad name}}", "pad takes 2 to 3 parameters, and here it has 1", ""),
            ("{{#each}}{{/each}}", "each takes 1 parameter, and here it has 0", ""),
            ("{{#if (eq name)}}{{/if}}", "eq takes 2 parameters, and here it has 1", ""),
            ("{{#if (and)}}{{/if}}", "and takes 1 or more parameters", ""),
            ("{{#if name}}{{else if (eq name)}}{{/if}}", "eq takes 2 parameters", ""),
            ("{{each lines}}", "each needs a block", "{{#each …}}…{{/each}}"),
            ("{{#money owe}}x{{/money}}", "money takes no block", "{{money …}}"),
            ("{{date owe \"%Q\"}}", "date: its format can't be used", ""),
            ("{{date owe \"%H:%M\"}}", "date: its format can't be used", ""),
            ("{{date owe \"lnog\"}}", "date: its format is", ""),
            ("{{money owe curency=\"€\"}}", "money has no setting \"curency\"", "did you mean \"currency\"?"),
            ("{{mask name keep=\"2\"}}", "mask: keep is a number", ""),
            ("{{pad name 0}}", "pad: its width is 1 to 200", ""),
            ("{{pad name 9 \"rihgt\"}}", "pad: its side is", ""),
            ("{{#each lines}}{{@frist}}{{/each}}", "there is no @frist", "did you mean \"@first\"?"),
            ("{{lines}}", "what stands here is a list", "{{#each}}"),
            ("{{{lines}}}", "what stands here is a list", ""),
            ("{{#each lines}}{{this}}{{/each}}", "what stands here is a list or has fields", ""),
        ];
        for (html, what, hint) in cases {
            let error = with_partials(html, &[]).err().expect(html);
            assert!(error.what.starts_with(what), "{html}: {error}");
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{html}: {:?}", error.hint);
        }
    }

    #[test]
    fn a_row_s_fault_names_the_template_it_is_in() {
        let layout = "\n\n{{> slot}}\n{{> @partial-block}}";
        let cases = [
            ("{{> p}}", "\n{{name}}", "partial p, line 2: name has no value"),
            (
                "\n{{#> p}}\n{{#*inline \"slot\"}}{{name}}{{/inline}}{{/p}}",
                layout,
                "template html, line 3: name has no value",
            ),
            ("{{#> p}}{{#*inline \"slot\"}}{{/inline}}\n\n\n{{money owe}}{{/p}}", layout, "template html, line 4: "),
        ];
        for (html, partial, detail) in cases {
            let renderer = with_partials(html, &[("p", partial)]).unwrap_or_else(|error| panic!("{html}: {error}"));
            let fault = renderer.render(&row(json!({})), Timestamp(0)).expect_err(html);
            assert_eq!(fault.reason, "missing_field", "{html}");
            assert!(fault.detail.starts_with(detail), "{html}: {fault}");
        }
    }

    #[test]
    fn partials_use_columns_too() {
        let renderer = with_partials("{{> p title=owe}}{{#> p this title=1}}{{/p}}", &[("p", "{{name}}{{title}}")]);
        let expected = ["name", "owe"].map(str::to_owned).into();
        assert_eq!(renderer.expect("compiles").uses(), &ColumnsUsed::Only(expected));
        let all = with_partials("{{> p row=this}}", &[("p", "{{name}}")]).expect("compiles");
        assert_eq!(all.uses(), &ColumnsUsed::All);
    }
}
