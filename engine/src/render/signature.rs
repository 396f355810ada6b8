//! What each helper takes, so that a call that no row can satisfy stops a run before it starts.

use super::helpers;
use super::lint::{Fault, closest};
use handlebars::template::{HelperTemplate, Parameter};
use serde_json::Value;
use std::collections::HashMap;

/// One helper that templates may use. Others are unknown.
struct Signature {
    name: &'static str,
    form: Form,
    least: usize,
    most: usize,
    keys: &'static [&'static str],
}

/// Where a helper can stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{{#if x}}…{{/if}}`: elsewhere it writes nothing.
    Block,
    /// `{{money x}}`, `(money x)`: as a block it would lose what is inside.
    Value,
    /// `{{#gt a b}}…{{/gt}}`, `(gt a b)`.
    Both,
}

const MANY: usize = usize::MAX;

const ALL: [Signature; 22] = [
    takes("if", Form::Block, 1, 1, &["includeZero"]),
    takes("unless", Form::Block, 1, 1, &["includeZero"]),
    takes("each", Form::Block, 1, 1, &[]),
    takes("with", Form::Block, 1, 1, &[]),
    takes("raw", Form::Block, 0, MANY, &[]),
    takes("lookup", Form::Value, 2, 2, &[]),
    takes("len", Form::Value, 1, 1, &[]),
    takes("eq", Form::Both, 2, 2, &[]),
    takes("ne", Form::Both, 2, 2, &[]),
    takes("gt", Form::Both, 2, 2, &[]),
    takes("gte", Form::Both, 2, 2, &[]),
    takes("lt", Form::Both, 2, 2, &[]),
    takes("lte", Form::Both, 2, 2, &[]),
    takes("and", Form::Both, 1, MANY, &[]),
    takes("or", Form::Both, 1, MANY, &[]),
    takes("not", Form::Both, 1, 1, &[]),
    takes("money", Form::Value, 1, 1, &["currency"]),
    takes("date", Form::Value, 1, 2, &[]),
    takes("mask", Form::Value, 1, 1, &["keep"]),
    takes("plural", Form::Value, 3, 3, &[]),
    takes("default", Form::Value, 1, MANY, &[]),
    takes("pad", Form::Value, 2, 3, &[]),
];

const fn takes(name: &'static str, form: Form, least: usize, most: usize, keys: &'static [&'static str]) -> Signature {
    Signature { name, form, least, most, keys }
}

pub(super) fn is_helper(name: &str) -> bool {
    ALL.iter().any(|helper| helper.name == name)
}

/// Checks the call `helper` of the helper `name`.
pub(super) fn check(name: &str, helper: &HelperTemplate) -> Result<(), Fault> {
    let Some(signature) = ALL.iter().find(|signature| signature.name == name) else {
        let hint = closest(name, ALL.iter().map(|signature| signature.name));
        return Err(Fault::new(format!("there is no helper \"{name}\""), hint));
    };
    signature.form(helper.block)?;
    signature.count(helper.params.len())?;
    signature.keys(&helper.hash)?;
    helpers::literals(name, &|at| literal(helper.params.get(at)?), &|key| literal(helper.hash.get(key)?))
        .map_err(|what| Fault::new(what, None))
}

fn literal(parameter: &Parameter) -> Option<&Value> {
    if let Parameter::Literal(value) = parameter { Some(value) } else { None }
}

impl Signature {
    fn form(&self, block: bool) -> Result<(), Fault> {
        let name = self.name;
        match (self.form, block) {
            (Form::Block, false) => {
                let hint = format!("write {{{{#{name} …}}}}…{{{{/{name}}}}}");
                Err(Fault::new(format!("{name} needs a block"), Some(hint)))
            }
            (Form::Value, true) => {
                Err(Fault::new(format!("{name} takes no block"), Some(format!("write {{{{{name} …}}}}"))))
            }
            _ => Ok(()),
        }
    }

    fn count(&self, found: usize) -> Result<(), Fault> {
        if (self.least..=self.most).contains(&found) {
            return Ok(());
        }
        let (name, least, most) = (self.name, self.least, self.most);
        let takes = match most {
            MANY => format!("{least} or more"),
            _ if least == most => least.to_string(),
            _ => format!("{least} to {most}"),
        };
        let s = if takes == "1" { "" } else { "s" };
        Err(Fault::new(format!("{name} takes {takes} parameter{s}, and here it has {found}"), None))
    }

    fn keys(&self, hash: &HashMap<String, Parameter>) -> Result<(), Fault> {
        let unknown = hash.keys().filter(|key| !self.keys.contains(&key.as_str())).min();
        unknown.map_or(Ok(()), |key| {
            let hint = closest(key, self.keys.iter().copied());
            Err(Fault::new(format!("{} has no setting \"{key}\"", self.name), hint))
        })
    }
}
