//! Whether the columns of one file are those of another.

use crate::Fault;
use crate::meaning::Meaning;
use std::path::Path;

/// The columns of a file, and whether it says their types itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) list: Vec<(String, Meaning)>,
    pub(crate) typed: bool,
}

impl Columns {
    /// Whether a file with these columns can follow `first`, the one at `path`: the same names in any order, of the same
    /// meaning. Beside a text file, whose cells are text unless declared, the same shape is enough.
    pub(crate) fn follow(&self, first: &Columns, path: &Path) -> Result<(), Fault> {
        for (column, there) in &first.list {
            let Some((_, here)) = self.list.iter().find(|(name, _)| name == column) else {
                return Err(Fault::ColumnMissing { column: column.clone(), first: path.to_owned() });
            };
            let agree = if self.typed && first.typed { here.agrees(there) } else { here.shape() == there.shape() };
            if !agree {
                let (here, there) = (here.word().into(), there.word().into());
                return Err(Fault::ColumnDiffers { column: column.clone(), here, there, first: path.to_owned() });
            }
        }
        match self.list.iter().find(|(name, _)| !first.list.iter().any(|(other, _)| other == name)) {
            Some((column, _)) => Err(Fault::ColumnExtra { column: column.clone(), first: path.to_owned() }),
            None => Ok(()),
        }
    }
}
