//! What `this` is at some place of a template, and what its names mean there.

use super::ColumnsUsed;
use super::lint::{Fault, closest};
use handlebars::{Path, PathSeg, template::Template};
use loader::Shape;

/// One block or partial.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    /// What `this` is.
    pub(super) shape: Shape,
    /// Whether `this` is the row.
    is_row: bool,
    /// A partial's parameters: handlebars finds them from every block inside it too.
    pub(super) params: Vec<(&'a str, Shape)>,
    inlines: Vec<Inline<'a>>,
}

/// A partial written inside a template.
#[derive(Clone)]
pub(super) struct Inline<'a> {
    pub(super) name: &'a str,
    pub(super) template: &'a Template,
    /// The template it stands in.
    pub(super) origin: &'a str,
    pub(super) line: usize,
    pub(super) used: bool,
}

/// Scopes, outermost first; and the columns that were named.
pub(super) struct Scopes<'a> {
    scopes: Vec<Scope<'a>>,
    pub(super) used: ColumnsUsed,
}

impl<'a> Scope<'a> {
    pub(super) fn row(shape: Shape) -> Scope<'a> {
        Scope { is_row: true, ..Scope::of(shape) }
    }

    pub(super) fn of(shape: Shape) -> Scope<'a> {
        Scope { shape, is_row: false, params: Vec::new(), inlines: Vec::new() }
    }
}

impl<'a> Scopes<'a> {
    pub(super) fn new(row: Scope<'a>) -> Scopes<'a> {
        Scopes { scopes: vec![row], used: ColumnsUsed::none() }
    }

    pub(super) fn enter(&mut self, scope: Scope<'a>) {
        self.scopes.push(scope);
    }

    /// Leaves the innermost scope; gives an inline partial of it that nobody included.
    pub(super) fn leave(&mut self) -> Option<Inline<'a>> {
        self.scopes.pop()?.inlines.into_iter().find(|inline| !inline.used)
    }

    /// The innermost scope again, as a partial without a context has it.
    pub(super) fn current(&self) -> Scope<'a> {
        let current = self.scopes.last();
        current
            .map_or(Scope::of(Shape::Unknown), |scope| Scope { is_row: scope.is_row, ..Scope::of(scope.shape.clone()) })
    }

    pub(super) fn define(&mut self, inline: Inline<'a>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.inlines.push(inline);
        }
    }

    /// The inline partial of this name, with the template it stands in.
    pub(super) fn inline(&mut self, name: &str) -> Option<(&'a str, &'a Template)> {
        let mut all = self.scopes.iter_mut().rev().flat_map(|scope| scope.inlines.iter_mut().rev());
        let found = all.find(|inline| inline.name == name)?;
        found.used = true;
        Some((found.origin, found.template))
    }

    /// The scope that `path` makes as the context of a partial or `with`.
    pub(super) fn scope(&mut self, path: &Path) -> Result<Scope<'a>, Fault> {
        self.resolve(path)
    }

    /// What is at `path`, used as a value: all of the row, if it is the row.
    pub(super) fn value(&mut self, path: &Path) -> Result<Shape, Fault> {
        let found = self.resolve(path)?;
        if found.is_row {
            self.used = ColumnsUsed::All;
        }
        Ok(found.shape)
    }

    /// The same for a bare name.
    pub(super) fn named(&mut self, name: &str) -> Result<Shape, Fault> {
        let segments = if name == "this" { vec![] } else { vec![PathSeg::Named(name.to_owned())] };
        self.value(&Path::Relative((segments, name.to_owned())))
    }

    fn resolve(&mut self, path: &Path) -> Result<Scope<'a>, Fault> {
        let (segments, raw) = match path {
            Path::Relative((segments, raw)) => (segments, raw),
            Path::Local((_, name, _)) => return local(name),
        };
        let mut names = segments.iter().filter_map(|segment| match segment {
            PathSeg::Named(name) if name != "this" => Some(name.as_str()),
            _ => None,
        });
        let from_root = raw.starts_with("@root");
        let Some(first) = names.next() else { return self.target(raw, from_root).map(Scope::bare) };
        let param = self.scopes.iter().rev().flat_map(|scope| &scope.params).find(|(name, _)| *name == first);
        let shape = match param {
            Some((_, shape)) if !from_root => shape.clone(),
            _ => {
                let scope = self.target(raw, from_root)?;
                let params = self.scopes.iter().flat_map(|scope| scope.params.iter().map(|(name, _)| *name));
                let shape = inside(&scope.shape, first, scope.is_row, params)?;
                if scope.is_row {
                    self.used.add(first);
                }
                shape
            }
        };
        names.try_fold(shape, |shape, name| inside(&shape, name, false, std::iter::empty())).map(Scope::of)
    }

    /// The scope from which a path starts.
    fn target(&self, raw: &str, from_root: bool) -> Result<&Scope<'a>, Fault> {
        let up = if from_root { self.scopes.len() - 1 } else { raw.matches("../").count() };
        let at = self.scopes.len().checked_sub(up + 1);
        at.and_then(|at| self.scopes.get(at)).ok_or_else(|| Fault::new("`../` leads out of the row", None))
    }
}

impl<'a> Scope<'a> {
    fn bare(&self) -> Scope<'a> {
        Scope { is_row: self.is_row, ..Scope::of(self.shape.clone()) }
    }
}

/// What `each` tells of where it stands.
const LOCALS: [&str; 4] = ["@first", "@last", "@index", "@key"];

fn local<'a>(name: &str) -> Result<Scope<'a>, Fault> {
    let name = format!("@{name}");
    if LOCALS.contains(&name.as_str()) {
        return Ok(Scope::of(Shape::Scalar));
    }
    Err(Fault::new(format!("there is no {name}"), closest(&name, LOCALS.into_iter())))
}

/// What `name` is inside `shape`; `params` could be meant too.
fn inside<'a>(
    shape: &'a Shape,
    name: &str,
    is_row: bool,
    params: impl Iterator<Item = &'a str>,
) -> Result<Shape, Fault> {
    match shape {
        Shape::Unknown => Ok(Shape::Unknown),
        Shape::List(item) if name.bytes().all(|octet| octet.is_ascii_digit()) => Ok((**item).clone()),
        Shape::Struct(fields) => fields.iter().find(|(field, _)| field == name).map_or_else(
            || {
                let hint = closest(name, fields.iter().map(|(field, _)| field.as_str()).chain(params));
                let what = if is_row { "there is no column" } else { "there is no field" };
                let here = if is_row { "" } else { " here" };
                Err(Fault::new(format!("{what} \"{name}\"{here}"), hint))
            },
            |(_, shape)| Ok(shape.clone()),
        ),
        Shape::Scalar | Shape::List(_) => {
            Err(Fault::new(format!("there is nothing named \"{name}\" inside this"), None))
        }
    }
}
