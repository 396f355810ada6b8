//! Rows to messages: templates, MIME, and the names a message bears.
//!
//! 1. [`template`] compiles handlebars in strict mode, HTML-escaped or plain; [`lint`] checks every name in it against the
//!    input's columns before the first row.
//! 2. [`helpers`] are what an EOB needs: money, dates, masking.
//! 3. [`mime`] makes the message: 7-bit, lines ≤ 998 octets, our own Message-ID, Date and boundary.
//!
//! Promises: the same row of the same run renders to the same octets, every time; a missing field, a helper given nonsense
//! or a control character in a header makes the row [`Unrenderable`], never a message with a hole in it.

mod helpers;
mod lint;
mod mime;
mod template;

pub use lint::Column;
pub use template::{MessagePlan, Renderer, Template, TemplateError, Unrenderable};
