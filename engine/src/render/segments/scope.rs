//! What `this` is while segments are written, and around them.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// One block or partial, and those around it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) this: This<'a>,
    /// What a partial was given by name.
    pub(super) params: &'a [Cow<'a, Value>],
    pub(super) turn: Option<Turn<'a>>,
    pub(super) outer: Option<&'a Scope<'a>>,
}

/// The row is no JSON value of its own.
#[derive(Clone, Copy)]
pub(super) enum This<'a> {
    Row(&'a Map<String, Value>),
    Value(&'a Value),
}

/// Where `each` is: blocks inside know it too, until the next `each`.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) index: usize,
    pub(super) is_last: bool,
    pub(super) key: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub(super) fn row(row: &'a Map<String, Value>) -> Scope<'a> {
        Scope { this: This::Row(row), params: &[], turn: None, outer: None }
    }

    /// A scope inside this one.
    pub(super) fn enter(&'a self, this: This<'a>) -> Scope<'a> {
        Scope { this, params: &[], turn: self.turn, outer: Some(self) }
    }

    /// The scope `steps` further out. The compiler has counted them.
    pub(super) fn out(&self, steps: usize) -> &Scope<'a> {
        let mut scope = self;
        for _ in 0..steps {
            scope = scope.outer.unwrap_or(scope);
        }
        scope
    }
}
