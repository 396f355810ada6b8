//! The segments, and how they are written.

use super::Odd;
use super::expression::Expression;
use super::output::{Literal, Output, Quoted};
use super::scope::{Scope, This, Turn};
use handlebars::JsonTruthy;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// A template in segments.
pub(in crate::render) struct Program {
    pub(super) segments: Vec<Segment>,
    /// Octets of all literals: what a text of it has at the least, and often at the most.
    pub(super) literals: usize,
    /// Whether every text of it needs an encoding, whatever the row holds.
    pub(super) needs_encoding: bool,
}

pub(super) enum Segment {
    /// As it stands in the template.
    Literal(Literal),
    /// `{{x}}`, `{{{x}}}`
    Value { value: Expression, escaped: bool },
    /// `{{#if x}}`, `{{#unless x}}`, `{{#gt x y}}`: what is written where it holds, and where it doesn't.
    Branch { condition: Expression, include_zero: Option<Expression>, then: Vec<Segment>, otherwise: Vec<Segment> },
    /// `{{#each x}}`
    Each { list: Expression, inside: Vec<Segment>, otherwise: Option<Vec<Segment>> },
    /// `{{#with x}}`
    With { this: Subject, inside: Vec<Segment>, otherwise: Option<Vec<Segment>> },
    /// `{{> name x key=y}}`
    Partial { this: Subject, params: Vec<Expression>, inside: Vec<Segment> },
}

/// What becomes `this`.
pub(super) enum Subject {
    /// What it is that many steps out.
    Scope(usize),
    Value(Expression),
}

impl Program {
    /// The text of `row`.
    pub(in crate::render) fn text(&self, row: &Map<String, Value>) -> Result<String, Odd> {
        let mut text = String::with_capacity(self.literals + self.literals / 4 + 64);
        write_all(&self.segments, &Scope::row(row), &mut text)?;
        Ok(text)
    }

    /// The text of `row` in quoted-printable, octet for octet what mail-builder would make of it. Odd is also what would be
    /// left as it is or written in base64, and what holds a control character.
    pub(in crate::render) fn quoted(&self, row: &Map<String, Value>) -> Result<Vec<u8>, Odd> {
        if !self.needs_encoding {
            return Err(Odd);
        }
        let mut quoted = Quoted::with_capacity(self.literals + self.literals / 2 + 64);
        write_all(&self.segments, &Scope::row(row), &mut quoted)?;
        quoted.finish()
    }
}

fn write_all(segments: &[Segment], here: &Scope<'_>, out: &mut impl Output) -> Result<(), Odd> {
    segments.iter().try_for_each(|segment| segment.write(here, out))
}

impl Segment {
    fn write(&self, here: &Scope<'_>, out: &mut impl Output) -> Result<(), Odd> {
        match self {
            Segment::Literal(literal) => out.literal(literal),
            Segment::Value { value, escaped } => written(&*value.value(here)?.ok_or(Odd)?, *escaped, out.value()),
            Segment::Branch { condition, include_zero, then, otherwise } => {
                let include_zero = include_zero.as_ref().map(|setting| setting.value(here)).transpose()?.flatten();
                let include_zero = include_zero.and_then(|setting| setting.as_bool()).unwrap_or(false);
                let branch = if condition.holds(include_zero, here)? { then } else { otherwise };
                write_all(branch, here, out)
            }
            Segment::Each { list, inside, otherwise } => {
                let list = list.value(here)?;
                match (list.as_deref(), otherwise) {
                    (Some(Value::Array(items)), None) => each_item(items, inside, here, out),
                    (Some(Value::Object(fields)), None) => each_field(fields, inside, here, out),
                    (Some(Value::Array(items)), _) if !items.is_empty() => each_item(items, inside, here, out),
                    (Some(Value::Object(fields)), _) if !fields.is_empty() => each_field(fields, inside, here, out),
                    (_, Some(otherwise)) => write_all(otherwise, here, out),
                    (_, None) => Err(Odd),
                }
            }
            Segment::With { this, inside, otherwise } => match (this.found(here)?, otherwise) {
                (Some(found), _) if found.holds() => write_all(inside, &here.enter(found.this()), out),
                (_, Some(otherwise)) => write_all(otherwise, here, out),
                (_, None) => Err(Odd),
            },
            Segment::Partial { this, params, inside } => partial(this, params, inside, here, out),
        }
    }
}

fn each_item(items: &[Value], inside: &[Segment], here: &Scope<'_>, out: &mut impl Output) -> Result<(), Odd> {
    for (index, item) in items.iter().enumerate() {
        let turn = Some(Turn { index, is_last: index + 1 == items.len(), key: None });
        write_all(inside, &Scope { turn, ..here.enter(This::Value(item)) }, out)?;
    }
    Ok(())
}

fn each_field(
    fields: &Map<String, Value>,
    inside: &[Segment],
    here: &Scope<'_>,
    out: &mut impl Output,
) -> Result<(), Odd> {
    for (index, (key, field)) in fields.iter().enumerate() {
        let turn = Some(Turn { index, is_last: index + 1 == fields.len(), key: Some(key) });
        write_all(inside, &Scope { turn, ..here.enter(This::Value(field)) }, out)?;
    }
    Ok(())
}

fn partial(
    this: &Subject,
    params: &[Expression],
    inside: &[Segment],
    here: &Scope<'_>,
    out: &mut impl Output,
) -> Result<(), Odd> {
    let mut given = Vec::with_capacity(params.len());
    for param in params {
        // To a partial, what is missing is null.
        given.push(param.value(here)?.unwrap_or(Cow::Owned(Value::Null)));
    }
    let found = this.found(here)?.unwrap_or(Found::Value(Cow::Owned(Value::Null)));
    // handlebars mixes parameters into lists and texts too.
    if !given.is_empty() && !found.has_fields() {
        return Err(Odd);
    }
    write_all(inside, &Scope { params: &given, ..here.enter(found.this()) }, out)
}

/// What was found to become `this`.
enum Found<'v> {
    Scope(This<'v>),
    Value(Cow<'v, Value>),
}

impl Subject {
    fn found<'v>(&'v self, here: &'v Scope<'v>) -> Result<Option<Found<'v>>, Odd> {
        match self {
            Subject::Scope(steps) => Ok(Some(Found::Scope(here.out(*steps).this))),
            Subject::Value(value) => Ok(value.value(here)?.map(Found::Value)),
        }
    }
}

impl Found<'_> {
    fn this(&self) -> This<'_> {
        match self {
            Found::Scope(this) => *this,
            Found::Value(value) => This::Value(value),
        }
    }

    fn holds(&self) -> bool {
        match self.this() {
            This::Row(row) => !row.is_empty(),
            This::Value(value) => value.is_truthy(false),
        }
    }

    fn has_fields(&self) -> bool {
        matches!(self.this(), This::Row(_) | This::Value(Value::Object(_)))
    }
}

/// Appends a value as handlebars does what [`WRITE`](crate::render::helpers::WRITE) lets through.
fn written(value: &Value, escaped: bool, out: &mut String) -> Result<(), Odd> {
    match value {
        Value::String(text) if escaped => escape(text, out),
        Value::String(text) => out.push_str(text),
        Value::Number(number) => write!(out, "{number}").map_err(|_| Odd)?,
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(Odd),
    }
    Ok(())
}

/// As handlebars escapes for HTML.
fn escape(text: &str, out: &mut String) {
    let mut from = 0;
    for (at, octet) in text.bytes().enumerate() {
        let entity = match octet {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'&' => "&amp;",
            b'\'' => "&#x27;",
            b'`' => "&#x60;",
            b'=' => "&#x3D;",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(entity);
        from = at + 1;
    }
    out.push_str(&text[from..]);
}
