//! What a table says of terms, and what becomes of it: a rule's own word, else `[default]`'s, never more than `[limits]`.

use super::terms::{Bounds, Rate, Terms};
use std::fmt;

/// The numbers of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    pub(super) connections: Option<Written<usize>>,
    pub(super) first_window: Option<Written<usize>>,
    pub(super) messages_per_connection: Option<Written<u32>>,
    pub(super) rates: Option<Written<Vec<Rate>>>,
    pub(super) connection_rate: Option<Written<Rate>>,
}

/// A value, where it stands, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) line: usize,
    pub(super) source: Option<String>,
}

/// A value in force, and by whose word.
#[derive(Clone, Debug, PartialEq)]
pub struct Term<T> {
    /// What holds.
    pub value: T,
    /// Who says so.
    pub by: By,
}

/// By whose word a value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The file's, on this line, which says where it has it from.
    Line(usize, Option<String>),
    /// `[limits]`, which is the smaller or the only one to say anything.
    Limits,
    /// The window is as large as there are connections.
    Connections,
    /// Nobody's: there is no bound.
    Nobody,
}

/// Terms with their reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasons {
    /// Connections open at once.
    pub connections: Term<usize>,
    /// The same before anything is learned.
    pub first_window: Term<usize>,
    /// Messages on one connection.
    pub messages_per_connection: Term<u32>,
    /// Messages begun.
    pub rates: Term<Vec<Rate>>,
    /// Connections begun.
    pub connection_rate: Term<Option<Rate>>,
}

impl Reasons {
    /// What the first of `specs` that says anything of a term says, within `bounds`.
    pub(super) fn of(specs: &[&Spec], bounds: Bounds) -> Reasons {
        let connections = within(specs.iter().find_map(|spec| spec.connections.as_ref()), bounds.connections);
        let messages = specs.iter().find_map(|spec| spec.messages_per_connection.as_ref());
        let first = match specs.iter().find_map(|spec| spec.first_window.as_ref()) {
            Some(first) if first.value <= connections.value => first.term(),
            _ => Term { value: connections.value, by: By::Connections },
        };
        let rates = specs.iter().find_map(|spec| spec.rates.as_ref());
        let connection_rate = specs.iter().find_map(|spec| spec.connection_rate.as_ref()).map(Written::term);
        Reasons {
            first_window: first,
            messages_per_connection: within(messages, bounds.messages_per_connection),
            rates: rates.map_or(Term { value: Vec::new(), by: By::Nobody }, Written::term),
            connection_rate: connection_rate
                .map_or(Term { value: None, by: By::Nobody }, |rate| Term { value: Some(rate.value), by: rate.by }),
            connections,
        }
    }

    /// The terms alone.
    pub fn terms(&self) -> Terms {
        Terms {
            connections: self.connections.value,
            first_window: self.first_window.value,
            messages_per_connection: self.messages_per_connection.value,
            rates: self.rates.value.clone(),
            connection_rate: self.connection_rate.value,
        }
    }
}

impl<T: Clone> Written<T> {
    fn term(&self) -> Term<T> {
        Term { value: self.value.clone(), by: By::Line(self.line, self.source.clone()) }
    }
}

/// The smaller of both.
fn within<T: Copy + PartialOrd>(written: Option<&Written<T>>, most: T) -> Term<T> {
    match written {
        Some(written) if written.value <= most => written.term(),
        _ => Term { value: most, by: By::Limits },
    }
}

impl Terms {
    /// All that the machine allows.
    pub fn within(bounds: Bounds) -> Terms {
        Reasons::of(&[], bounds).terms()
    }
}

/// Rates as people read them.
pub struct Rates<'a>(pub &'a [Rate]);

impl fmt::Display for Rates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(if texts.is_empty() { "unbounded" } else { "" })?;
        f.write_str(&texts.join(" and "))
    }
}
