//! The columns of an input, as templates see them.

use loader::Shape;
use std::collections::BTreeSet;

/// A column that templates may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What is inside.
    pub shape: Shape,
}

/// What messages are made from, so that an input need not be read whole. The gate's columns (recipient, key) are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnsUsed {
    /// Any: a template goes over the whole row (`{{#each this}}`, `{{lookup this …}}`).
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl ColumnsUsed {
    /// None so far.
    pub(super) fn none() -> ColumnsUsed {
        ColumnsUsed::Only(BTreeSet::new())
    }

    /// And `name`.
    pub(super) fn add(&mut self, name: &str) {
        if let ColumnsUsed::Only(names) = self
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
    }

    /// And those of `other`.
    pub(super) fn join(&mut self, other: ColumnsUsed) {
        match (&mut *self, other) {
            (ColumnsUsed::Only(names), ColumnsUsed::Only(more)) => names.extend(more),
            _ => *self = ColumnsUsed::All,
        }
    }
}
