//! What a template is rendered from.

use handlebars::Context;
use serde_json::{Map, Value};
use std::cell::OnceCell;

/// A row, or its public columns alone. The copy of it that handlebars wants is made where handlebars is asked.
pub(super) struct Data<'a> {
    row: &'a Map<String, Value>,
    visible: Option<&'a [String]>,
    context: OnceCell<Context>,
}

impl<'a> Data<'a> {
    /// What a letter says.
    pub(super) fn all(row: &'a Map<String, Value>) -> Data<'a> {
        Data { row, visible: None, context: OnceCell::new() }
    }

    /// What headers are rendered from: whatever a template tries, PHI isn't there. Segments name their columns, which were
    /// checked to be `visible`; handlebars, whose templates may look around, gets no others.
    pub(super) fn visible(row: &'a Map<String, Value>, visible: &'a [String]) -> Data<'a> {
        Data { row, visible: Some(visible), context: OnceCell::new() }
    }

    pub(super) fn row(&self) -> &'a Map<String, Value> {
        self.row
    }

    pub(super) fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            let fields = match self.visible {
                None => self.row.clone(),
                Some(names) => {
                    names.iter().filter_map(|name| Some((name.clone(), self.row.get(name)?.clone()))).collect()
                }
            };
            Context::from(Value::Object(fields))
        })
    }
}
