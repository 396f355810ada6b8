//! Checks the names in a template against the input's columns, so that a typing error stops a run before it starts and not
//! at every row.

use super::helpers;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, template};
use loader::Shape;

/// A column that templates may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What is inside.
    pub shape: Shape,
}

/// What is wrong, and on which line of the template.
pub(super) struct Finding {
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// What `this` is at some place of a template, innermost last.
type Scopes = Vec<Shape>;

pub(super) fn check(
    compiled: &template::Template,
    columns: &[Column],
    known_helper: &dyn Fn(&str) -> bool,
) -> Result<(), Finding> {
    let root = columns.iter().map(|column| (column.name.clone(), column.shape.clone())).collect();
    Linter { known_helper }.template(compiled, &mut vec![Shape::Struct(root)])
}

struct Linter<'a> {
    known_helper: &'a dyn Fn(&str) -> bool,
}

/// A fault before its line is known.
struct Fault {
    what: String,
    hint: Option<String>,
}

impl Linter<'_> {
    fn template(&self, compiled: &template::Template, scopes: &mut Scopes) -> Result<(), Finding> {
        for (at, element) in compiled.elements.iter().enumerate() {
            let line = compiled.mapping.get(at).map_or(1, |mapping| mapping.0);
            let place = |fault: Fault| Finding { line, what: fault.what, hint: fault.hint };
            match element {
                TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                    self.expression(helper, scopes).map_err(place)?;
                }
                TemplateElement::HelperBlock(helper) => self.block(helper, scopes, &place)?,
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                _ => return Err(place(fault("partials and decorators are not supported yet", None))),
            }
        }
        Ok(())
    }

    fn expression(&self, helper: &HelperTemplate, scopes: &Scopes) -> Result<(), Fault> {
        let bare = !helper.block && helper.params.is_empty() && helper.hash.is_empty();
        match &helper.name {
            Parameter::Path(path) if bare => self.path(path, scopes).map(drop),
            Parameter::Name(name) if bare && !(self.known_helper)(name) => self.named(name, scopes).map(drop),
            name => {
                self.helper(name)?;
                self.parameters(helper, scopes)
            }
        }
    }

    fn helper(&self, name: &Parameter) -> Result<(), Fault> {
        let Some(name) = helper_name(name) else { return Ok(()) };
        if (self.known_helper)(&name) {
            return Ok(());
        }
        let hint = closest(&name, helpers::names());
        Err(fault(&format!("there is no helper \"{name}\""), hint))
    }

    fn parameters(&self, helper: &HelperTemplate, scopes: &Scopes) -> Result<(), Fault> {
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            self.parameter(parameter, scopes)?;
        }
        Ok(())
    }

    fn parameter(&self, parameter: &Parameter, scopes: &Scopes) -> Result<Shape, Fault> {
        match parameter {
            Parameter::Path(path) => self.path(path, scopes),
            Parameter::Name(name) => self.named(name, scopes),
            Parameter::Literal(_) => Ok(Shape::Scalar),
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(helper) = inner.as_element() {
                    self.helper(&helper.name)?;
                    self.parameters(helper, scopes)?;
                }
                Ok(Shape::Unknown)
            }
            _ => Ok(Shape::Unknown),
        }
    }

    fn block(
        &self,
        helper: &HelperTemplate,
        scopes: &mut Scopes,
        place: &dyn Fn(Fault) -> Finding,
    ) -> Result<(), Finding> {
        self.helper(&helper.name).map_err(place)?;
        self.parameters(helper, scopes).map_err(place)?;
        let name = helper_name(&helper.name).unwrap_or_default();
        if helper.block_param.is_some() {
            return Err(place(fault("block parameters (`as |x|`) are not supported", None)));
        }
        let inner = match (name.as_str(), helper.params.first()) {
            ("each", Some(list)) => Some(match self.parameter(list, scopes).map_err(place)? {
                Shape::List(item) => *item,
                Shape::Scalar => return Err(place(fault("each needs a list, and this column is none", None))),
                Shape::Struct(_) | Shape::Unknown => Shape::Unknown,
            }),
            ("with", Some(value)) => Some(self.parameter(value, scopes).map_err(place)?),
            _ => None,
        };
        if let Some(template) = &helper.template {
            let depth = scopes.len();
            scopes.extend(inner);
            let result = self.template(template, scopes);
            scopes.truncate(depth);
            result?;
        }
        helper.inverse.as_ref().map_or(Ok(()), |template| self.template(template, scopes))
    }

    fn path(&self, path: &Path, scopes: &Scopes) -> Result<Shape, Fault> {
        let Path::Relative((segments, raw)) = path else { return Ok(Shape::Scalar) };
        let up = raw.matches("../").count();
        let Some(scope) = scopes.len().checked_sub(up + 1).and_then(|at| scopes.get(at)) else {
            return Err(fault("`../` leads out of the row", None));
        };
        let scope = if raw.starts_with("@root") { scopes.first().unwrap_or(scope) } else { scope };
        let mut names = segments.iter().filter_map(|segment| match segment {
            PathSeg::Named(name) if name != "this" => Some(name.as_str()),
            _ => None,
        });
        names.try_fold(scope.clone(), |shape, name| self.inside(&shape, name, up + 1 == scopes.len()))
    }

    fn named(&self, name: &str, scopes: &Scopes) -> Result<Shape, Fault> {
        match scopes.last() {
            Some(scope) if name != "this" => self.inside(scope, name, scopes.len() == 1),
            Some(scope) => Ok(scope.clone()),
            None => Ok(Shape::Unknown),
        }
    }

    fn inside(&self, shape: &Shape, name: &str, is_row: bool) -> Result<Shape, Fault> {
        match shape {
            Shape::Unknown => Ok(Shape::Unknown),
            Shape::List(item) if name.bytes().all(|octet| octet.is_ascii_digit()) => Ok((**item).clone()),
            Shape::Struct(fields) => match fields.iter().find(|(field, _)| field == name) {
                Some((_, shape)) => Ok(shape.clone()),
                None if is_row => {
                    let hint = closest(name, fields.iter().map(|(field, _)| field.as_str()));
                    Err(fault(&format!("there is no column \"{name}\""), hint))
                }
                None => {
                    let hint = closest(name, fields.iter().map(|(field, _)| field.as_str()));
                    Err(fault(&format!("there is no field \"{name}\" here"), hint))
                }
            },
            Shape::Scalar | Shape::List(_) => {
                Err(fault(&format!("there is nothing named \"{name}\" inside this"), None))
            }
        }
    }
}

fn helper_name(name: &Parameter) -> Option<String> {
    match name {
        Parameter::Name(name) => Some(name.clone()),
        Parameter::Path(Path::Relative((_, raw))) => Some(raw.clone()),
        _ => None,
    }
}

fn fault(what: &str, hint: Option<String>) -> Fault {
    Fault { what: what.to_owned(), hint }
}

fn closest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    crate::mail::closest(written, names).map(|name| format!("did you mean \"{name}\"?"))
}
