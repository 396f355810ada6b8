//! What providers allow: rules that group sites by the suffixes of their MX hosts, and say how fast each may be sent to.
//!
//! Comes in: `shaping.toml` and a domain with its MX hosts. Goes out: the provider's name and its [`Terms`].
//!
//! 1. [`read`] takes the file ([`mod@file`] is what was written), and refuses what can't be meant ([`names`]);
//! 2. [`rules`] says under which rule a destination falls: the order is written there;
//! 3. [`spec`] makes terms of the rule, `[default]` and `[limits]`, and knows whose word each is;
//! 4. [`in_force`] are the rules in force, which SIGHUP reads again.

mod file;
mod in_force;
mod names;
mod read;
mod rules;
mod spec;
mod terms;
#[cfg(test)]
mod tests;

pub use in_force::Shaping;
pub use rules::{BUILT_IN, Found, Rule, Rules, Why, deciding};
pub use spec::{By, Rates, Reasons, Term};
pub use terms::{Bounds, Rate, ReplyPattern, Shape, Terms, class_of};
