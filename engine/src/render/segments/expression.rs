//! What stands between braces, and what it is worth.

use super::Odd;
use super::scope::{Scope, This};
use crate::render::helpers::{Answer, Arguments, Function};
use handlebars::JsonTruthy;
use serde_json::Value;
use std::borrow::Cow;

/// Something that has a value, or is missing.
pub(super) enum Expression {
    /// As it is written.
    Literal(Value),
    /// A field of a scope, or of a partial's parameter.
    Path(Base, Vec<Name>),
    /// `@index` of the scope that many steps out.
    Local(usize, Local),
    /// `(money owe)`
    Call(Box<Call>),
}

/// Where a path begins: steps out, and there at `this` or at a parameter.
#[derive(Clone, Copy)]
pub(super) enum Base {
    This(usize),
    Param(usize, usize),
}

/// A field's name, which may be a place in a list.
pub(super) struct Name {
    pub(super) text: String,
    pub(super) index: Option<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum Local {
    First,
    Last,
    Index,
    Key,
}

/// A helper with what it takes.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) helper: Helper,
    pub(super) params: Vec<Expression>,
    pub(super) settings: Vec<(String, Expression)>,
}

/// Ours, or one of handlebars' own.
pub(super) enum Helper {
    Ours(Function),
    And,
    Or,
    Not,
    Len,
}

/// A value, or nothing where it is missing.
type Found<'v> = Option<Cow<'v, Value>>;

impl Expression {
    pub(super) fn value<'v>(&'v self, here: &'v Scope<'v>) -> Result<Found<'v>, Odd> {
        match self {
            Expression::Literal(value) => Ok(Some(Cow::Borrowed(value))),
            Expression::Path(base, names) => Ok(path(*base, names, here)?.map(Cow::Borrowed)),
            Expression::Local(steps, local) => Ok(local.value(here.out(*steps)).map(Cow::Owned)),
            Expression::Call(call) => call.value(here),
        }
    }

    /// Whether handlebars' conditions hold it for true.
    pub(super) fn holds(&self, include_zero: bool, here: &Scope<'_>) -> Result<bool, Odd> {
        Ok(self.value(here)?.is_some_and(|value| value.is_truthy(include_zero)))
    }
}

fn path<'v>(base: Base, names: &[Name], here: &'v Scope<'v>) -> Result<Option<&'v Value>, Odd> {
    let (start, names) = match base {
        Base::Param(steps, at) => (here.out(steps).params.get(at).map(|value| &**value), names),
        Base::This(steps) => match (here.out(steps).this, names) {
            (This::Value(value), names) => (Some(value), names),
            (This::Row(row), [first, others @ ..]) => (row.get(&first.text), others),
            (This::Row(_), []) => return Err(Odd),
        },
    };
    let Some(mut found) = start else { return Ok(None) };
    for name in names {
        let inside = match found {
            Value::Object(fields) => fields.get(&name.text),
            Value::Array(items) => items.get(name.index.ok_or(Odd)?),
            _ => None,
        };
        let Some(inside) = inside else { return Ok(None) };
        found = inside;
    }
    Ok(Some(found))
}

impl Local {
    fn value(self, scope: &Scope<'_>) -> Option<Value> {
        let turn = scope.turn?;
        Some(match self {
            Local::First => (turn.index == 0).into(),
            Local::Last => turn.is_last.into(),
            Local::Index => turn.index.into(),
            Local::Key => turn.key?.into(),
        })
    }
}

/// Parameters that need no memory of their own: few calls have more.
const FEW: usize = 3;

impl Call {
    fn value<'v>(&'v self, here: &'v Scope<'v>) -> Result<Found<'v>, Odd> {
        let mut few = [const { None }; FEW];
        let mut many = Vec::new();
        let values = match few.get_mut(..self.params.len()) {
            Some(few) => few,
            None => {
                many.resize_with(self.params.len(), || None);
                &mut many[..]
            }
        };
        for (value, param) in values.iter_mut().zip(&self.params) {
            *value = param.value(here)?;
        }
        let mut settings = Vec::with_capacity(self.settings.len());
        for (_, setting) in &self.settings {
            settings.push(setting.value(here)?);
        }
        let truth = |value: &Found<'_>| value.as_ref().is_some_and(|value| value.is_truthy(false));
        let made = match &self.helper {
            Helper::Ours(function) => match function.call(&Given { call: self, values, settings: &settings }) {
                Ok(Answer::Made(value)) => value,
                Ok(Answer::Param(at)) => return values.get_mut(at).map(Option::take).ok_or(Odd),
                Err(_) => return Err(Odd),
            },
            Helper::And => values.iter().all(truth).into(),
            Helper::Or => values.iter().any(truth).into(),
            Helper::Not => (!values.first().and_then(Option::as_ref).ok_or(Odd)?.is_truthy(false)).into(),
            Helper::Len => len(values.first().and_then(Option::as_ref).ok_or(Odd)?).into(),
        };
        Ok((!made.is_null()).then_some(Cow::Owned(made)))
    }
}

/// As handlebars counts: a text's octets.
fn len(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.len(),
        _ => 0,
    }
}

/// What a helper of ours sees of a call.
struct Given<'a, 'v> {
    call: &'a Call,
    values: &'a [Found<'v>],
    settings: &'a [Found<'v>],
}

impl Arguments for Given<'_, '_> {
    fn name(&self) -> &str {
        &self.call.name
    }

    fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at).map(|value| value.as_deref().unwrap_or(&Value::Null))
    }

    /// Nobody reads what is said of an odd row.
    fn path(&self, _: usize) -> Option<&str> {
        None
    }

    fn setting(&self, key: &str) -> Option<&Value> {
        let at = self.call.settings.iter().position(|(name, _)| name == key)?;
        Some(self.settings.get(at)?.as_deref().unwrap_or(&Value::Null))
    }
}
