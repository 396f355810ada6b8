//! From handlebars' syntax tree to segments.

use super::expression::{Base, Call, Expression, Helper, Local, Name};
use super::output::Literal;
use super::segment::{Program, Segment, Subject};
use crate::render::helpers::{self, Function};
use crate::render::language::Calendar;
use crate::render::{Column, lint};
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Handlebars, Path, PathSeg};

/// The template under `key` in segments, if all of it can be said so. `columns` are those that it was checked against.
pub(in crate::render) fn compile(
    registry: &Handlebars<'static>,
    key: &str,
    columns: &[Column],
    calendar: Calendar,
    escapes: bool,
) -> Option<Program> {
    let row = Outline { is_row: true, is_mixed: false, params: Vec::new() };
    let mut compiler = Compiler { registry, columns, calendar, escapes, scopes: vec![row], literals: 0 };
    let segments = compiler.template(registry.get_template(key)?)?;
    let is_encoded = |segment: &Segment| matches!(segment, Segment::Literal(literal) if literal.needs_encoding());
    let needs_encoding = segments.iter().any(is_encoded);
    Some(Program { segments, literals: compiler.literals, needs_encoding })
}

struct Compiler<'a> {
    registry: &'a Handlebars<'static>,
    columns: &'a [Column],
    calendar: Calendar,
    escapes: bool,
    /// Outermost first, as they will stand around what is written.
    scopes: Vec<Outline<'a>>,
    literals: usize,
}

/// What is known of a scope before there is a row.
struct Outline<'a> {
    is_row: bool,
    /// Whether parameters of a partial are mixed into it.
    is_mixed: bool,
    params: Vec<&'a str>,
}

impl Outline<'_> {
    const VALUE: Self = Outline { is_row: false, is_mixed: false, params: Vec::new() };
}

/// Octets of literals: partials within partials could multiply.
const LARGEST: usize = 4 << 20;

impl<'a> Compiler<'a> {
    fn template(&mut self, template: &'a Template) -> Option<Vec<Segment>> {
        let mut segments = Vec::with_capacity(template.elements.len());
        let mut literal = String::new();
        for element in &template.elements {
            let segment = match element {
                TemplateElement::RawString(text) => {
                    literal.push_str(text);
                    continue;
                }
                TemplateElement::Comment(_) => continue,
                TemplateElement::Expression(helper) => self.written(helper, self.escapes)?,
                TemplateElement::HtmlExpression(helper) => self.written(helper, false)?,
                TemplateElement::HelperBlock(helper) => self.block(helper)?,
                TemplateElement::PartialExpression(partial) => self.partial(partial)?,
                _ => return None,
            };
            segments.extend(self.literal(&mut literal));
            segments.push(segment);
        }
        segments.extend(self.literal(&mut literal));
        (self.literals <= LARGEST).then_some(segments)
    }

    fn literal(&mut self, text: &mut String) -> Option<Segment> {
        self.literals += text.len();
        (!text.is_empty()).then(|| Segment::Literal(Literal::new(std::mem::take(text))))
    }

    /// [`Library`](crate::render::library::Library) has made every expression a call of [`WRITE`](helpers::WRITE).
    fn written(&self, helper: &'a HelperTemplate, escaped: bool) -> Option<Segment> {
        match (lint::name(&helper.name), &helper.params[..]) {
            (Some(helpers::WRITE), [value]) => Some(Segment::Value { value: self.expression(value)?, escaped }),
            _ => None,
        }
    }

    fn block(&mut self, helper: &'a HelperTemplate) -> Option<Segment> {
        if helper.block_param.is_some() {
            return None;
        }
        match (lint::name(&helper.name)?, &helper.params[..]) {
            (name @ ("if" | "unless"), [condition]) => {
                let condition = self.expression(condition)?;
                let include_zero = match helper.hash.get("includeZero") {
                    Some(setting) => Some(self.expression(setting)?),
                    None => None,
                };
                let (mut then, mut otherwise) = (self.branch(&helper.template)?, self.branch(&helper.inverse)?);
                if name == "unless" {
                    std::mem::swap(&mut then, &mut otherwise);
                }
                Some(Segment::Branch { condition, include_zero, then, otherwise })
            }
            ("each", [list]) => {
                let list = self.expression(list)?;
                let inside = self.inside(helper.template.as_ref()?, Outline::VALUE)?;
                Some(Segment::Each { list, inside, otherwise: self.otherwise(helper)? })
            }
            ("with", [this]) => {
                let (this, scope) = self.subject(this)?;
                let inside = self.inside(helper.template.as_ref()?, scope)?;
                Some(Segment::With { this, inside, otherwise: self.otherwise(helper)? })
            }
            (name, _) if Helper::is_condition(name) => {
                let condition = self.call(helper)?;
                let (then, otherwise) = (self.branch(&helper.template)?, self.branch(&helper.inverse)?);
                Some(Segment::Branch { condition, include_zero: None, then, otherwise })
            }
            _ => None,
        }
    }

    fn branch(&mut self, template: &'a Option<Template>) -> Option<Vec<Segment>> {
        template.as_ref().map_or(Some(Vec::new()), |template| self.template(template))
    }

    fn otherwise(&mut self, helper: &'a HelperTemplate) -> Option<Option<Vec<Segment>>> {
        match &helper.inverse {
            Some(template) => self.template(template).map(Some),
            None => Some(None),
        }
    }

    fn inside(&mut self, template: &'a Template, scope: Outline<'a>) -> Option<Vec<Segment>> {
        self.scopes.push(scope);
        let segments = self.template(template);
        self.scopes.pop();
        segments
    }

    /// Indentation is written, or not, by what was written before it: that is handlebars' own business.
    fn partial(&mut self, partial: &'a DecoratorTemplate) -> Option<Segment> {
        let template = self.registry.get_template(lint::name(&partial.name)?)?;
        if partial.indent.is_some() {
            return None;
        }
        let (this, mut scope) = match partial.params.first() {
            Some(context) => self.subject(context)?,
            None => self.scope(0)?,
        };
        let mut params = Vec::with_capacity(partial.hash.len());
        for (name, value) in &partial.hash {
            scope.params.push(name.as_str());
            params.push(self.expression(value)?);
        }
        scope.is_mixed |= !params.is_empty();
        let inside = self.inside(template, scope)?;
        Some(Segment::Partial { this, params, inside })
    }

    /// What becomes `this`, and what is known of that.
    fn subject(&self, parameter: &'a Parameter) -> Option<(Subject, Outline<'a>)> {
        if let Parameter::Path(path @ Path::Relative(_)) = parameter
            && let (steps, names) = self.steps(path)?
            && names.is_empty()
        {
            return self.scope(steps);
        }
        Some((Subject::Value(self.expression(parameter)?), Outline::VALUE))
    }

    /// What `this` is that many steps out.
    fn scope(&self, steps: usize) -> Option<(Subject, Outline<'a>)> {
        let Outline { is_row, is_mixed, .. } = *self.scopes.iter().rev().nth(steps)?;
        Some((Subject::Scope(steps), Outline { is_row, is_mixed, params: Vec::new() }))
    }

    fn expression(&self, parameter: &'a Parameter) -> Option<Expression> {
        match parameter {
            Parameter::Literal(value) => Some(Expression::Literal(value.clone())),
            Parameter::Path(path) => self.path(path),
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(helper) => self.call(helper),
                _ => None,
            },
            _ => None,
        }
    }

    fn call(&self, helper: &'a HelperTemplate) -> Option<Expression> {
        let name = lint::name(&helper.name)?;
        let known = Helper::of(name, self.calendar)?;
        let params = helper.params.iter().map(|param| self.expression(param)).collect::<Option<_>>()?;
        let setting = |(key, value): (&String, &'a Parameter)| Some((key.clone(), self.expression(value)?));
        let settings = helper.hash.iter().map(setting).collect::<Option<_>>()?;
        Some(Expression::Call(Box::new(Call { name: name.to_owned(), helper: known, params, settings })))
    }

    fn path(&self, path: &'a Path) -> Option<Expression> {
        if let Path::Local((steps, name, _)) = path {
            let local = Local::of(name).filter(|_| *steps < self.scopes.len())?;
            return Some(Expression::Local(*steps, local));
        }
        let (steps, names) = self.steps(path)?;
        let scope = self.scopes.iter().rev().nth(steps)?;
        let Some(first) = names.first() else {
            let is_value = !scope.is_row && !scope.is_mixed;
            return is_value.then_some(Expression::Path(Base::This(steps), Vec::new()));
        };
        // A parameter's name means it in every block inside the partial, however many steps out the path says.
        let param =
            self.scopes.iter().rev().enumerate().find_map(|(steps, scope)| {
                Some(Base::Param(steps, scope.params.iter().position(|param| param == first)?))
            });
        if let Some(base) = param.filter(|_| !is_from_root(path)) {
            return Some(Expression::Path(base, names[1..].iter().map(|name| Name::new(name)).collect()));
        }
        if scope.is_row && !self.columns.iter().any(|column| column.name == *first) {
            return None;
        }
        Some(Expression::Path(Base::This(steps), names.iter().map(|name| Name::new(name)).collect()))
    }

    /// How many scopes out a path begins, and the names that it has there. `None` where it is written in a way that only
    /// handlebars' parser understands.
    fn steps(&self, path: &'a Path) -> Option<(usize, Vec<&'a str>)> {
        let Path::Relative((segments, raw)) = path else { return None };
        let mut rest = ["this/", "this.", "./"].iter().find_map(|here| raw.strip_prefix(here)).unwrap_or(raw);
        let from_root = rest.strip_prefix("@root").and_then(|rest| rest.strip_prefix(['.', '/']));
        rest = from_root.unwrap_or(rest);
        let mut steps = 0;
        while let Some(outer) = rest.strip_prefix("../") {
            (rest, steps) = (outer, steps + 1);
        }
        let rules = segments.iter().filter(|segment| !matches!(segment, PathSeg::Named(_))).count();
        if rest.contains(['[', '@']) || rest.contains("..") || rules != steps + usize::from(from_root.is_some()) {
            return None;
        }
        let names = segments.iter().filter_map(|segment| match segment {
            PathSeg::Named(name) => Some(name.as_str()),
            _ => None,
        });
        let steps = if from_root.is_some() { self.scopes.len() - 1 } else { steps };
        Some((steps, names.collect()))
    }
}

fn is_from_root(path: &Path) -> bool {
    matches!(path, Path::Relative((_, raw)) if raw.contains("@root"))
}

impl Name {
    fn new(name: &str) -> Name {
        Name { text: name.to_owned(), index: name.parse().ok() }
    }
}

impl Local {
    fn of(name: &str) -> Option<Local> {
        match name {
            "first" => Some(Local::First),
            "last" => Some(Local::Last),
            "index" => Some(Local::Index),
            "key" => Some(Local::Key),
            _ => None,
        }
    }
}

impl Helper {
    fn of(name: &str, calendar: Calendar) -> Option<Helper> {
        match name {
            "and" => Some(Helper::And),
            "or" => Some(Helper::Or),
            "not" => Some(Helper::Not),
            "len" => Some(Helper::Len),
            _ => Function::of(name, calendar).map(Helper::Ours),
        }
    }

    /// Whether it can stand as a block that has a truth for a condition.
    fn is_condition(name: &str) -> bool {
        matches!(name, "and" | "or" | "not") || helpers::is_comparison(name)
    }
}
