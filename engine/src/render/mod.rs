//! Rows to messages: templates, files, MIME, and the names a message bears.
//!
//! 1. [`plan`] is what a campaign says; [`language`] chooses the wording of a row and knows how it writes dates.
//! 2. [`library`] compiles handlebars in strict mode, HTML-escaped or plain, with the partials; [`lint`] checks every name
//!    against the input's columns before the first row, [`scope`] knows what a name means where it stands; [`segments`]
//!    spares most templates the interpreter, and [`data`] the row a copy.
//! 3. [`helpers`] are what an EOB needs: money, dates, masking; [`compare`] knows which of two amounts is more, [`signature`]
//!    what each helper takes.
//! 4. [`plaintext`] makes the text of a letter that only has HTML.
//! 5. [`attachment`] encloses files, [`cid`] lets HTML refer to them.
//! 6. [`edition`] is one wording of all this, compiled; [`mime`] makes the message: 7-bit, lines ≤ 998 octets, our own
//!    Message-ID, Date and boundaries.
//!
//! [`Renderer`] goes this way for each row. Promises: the same row of the same run renders to the same octets, every time; a
//! missing field, a helper given nonsense, a file that isn't there or a control character in a header makes the row
//! [`Unrenderable`], never a message with a hole in it.

mod attachment;
mod cid;
mod columns;
mod compare;
mod data;
mod dates;
mod edition;
mod fault;
mod helpers;
mod language;
mod library;
mod lint;
mod mime;
mod plaintext;
mod plan;
mod renderer;
mod scope;
mod segments;
mod signature;

pub(crate) use attachment::is_file_name;
pub use attachment::{AttachmentPlan, AttachmentSource, Content};
pub(crate) use cid::is_name as is_content_id;
pub use columns::{Column, ColumnsUsed};
use data::Data;
pub use fault::{TemplateError, Unrenderable};
pub(crate) use language::is_tag as is_language_tag;
pub use library::{Dialect, Partial};
pub use plan::{ColumnName, MessagePlan, Template, Wording};
pub use renderer::Renderer;
