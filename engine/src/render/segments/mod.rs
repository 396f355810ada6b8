//! Templates as lists of segments: what handlebars compiles, without its interpreter.
//!
//! 1. [`mod@compile`] walks the syntax tree of a template that [`lint`](super::lint) found good, and puts what it includes in the
//!    place of each inclusion. So every path is known as steps from where it stands, and a row needs no copy.
//! 2. [`Program::text`] goes over the segments with a row: [`segment`] has what they do, [`expression`] what stands between
//!    braces, [`scope`] what names mean there.
//! 3. [`Program::quoted`] does the same and writes quoted-printable ([`output`]): most lines of a letter are the same in every
//!    message, and are encoded when the template is compiled.
//!
//! handlebars stays the language and has the last word. A template that holds what is not listed here (a partial with a block,
//! an inline or an indented one, the whole row as a value) is none of ours, and a row of which we can't make text is *odd*: both
//! are rendered by handlebars, so a fault is reported in its words. What we write is what it would write; tests hold one
//! against the other.

mod compile;
mod expression;
mod output;
mod scope;
mod segment;
#[cfg(test)]
mod tests;

pub(super) use compile::compile;
pub(super) use segment::Program;

/// A row that handlebars must judge: it makes no text, or not by these segments.
#[derive(Debug)]
pub(super) struct Odd;
