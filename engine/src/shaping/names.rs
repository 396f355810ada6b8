//! The names that rules stand for. One that can never decide anything is a mistake, and a costly one: its site is sent to as fast
//! as a stranger's, and nobody notices.

use super::file::RuleTable;
use super::read::Text;
use super::rules::{Entry, Names, suffixes};
use crate::mail::{Address, Mistake, is_host_name};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::net::IpAddr;
use toml::Spanned;

/// What is wrong with a name, and how it is written right.
type Wrong = (String, String);

/// Takes the names of all rules together.
///
/// # Errors
/// A name that no destination can have, that two rules have, or that changes nothing.
pub(super) fn names(text: Text<'_>, tables: &[RuleTable]) -> Result<Names, Mistake> {
    let mut names = Names::default();
    for (rule, table) in tables.iter().enumerate() {
        take(text, rule, &table.domains, domain, &mut names.domains)?;
        take(text, rule, &table.sites, site, &mut names.sites)?;
        take(text, rule, &table.mx, suffix, &mut names.suffixes)?;
    }
    names.suffixes.iter().try_for_each(|(name, entry)| changes_something(text, &names, name, *entry, 1))?;
    names.sites.iter().try_for_each(|(name, entry)| changes_something(text, &names, name, *entry, 0))?;
    Ok(names)
}

fn take(
    text: Text<'_>,
    rule: usize,
    written: &[Spanned<String>],
    check: impl Fn(&str) -> Result<(), Wrong>,
    taken: &mut BTreeMap<String, Entry>,
) -> Result<(), Mistake> {
    for name in written {
        let at = name.span().start;
        check(name.get_ref()).map_err(|(what, hint)| text.mistake(at, what).hint(hint))?;
        match taken.entry(name.get_ref().clone()) {
            btree_map::Entry::Vacant(place) => place.insert(Entry { rule, line: text.line(at) }),
            btree_map::Entry::Occupied(earlier) => {
                let what = format!("\"{}\" stands on line {} already", name.get_ref(), earlier.get().line);
                return Err(text.mistake(at, what).hint("a name is one rule's alone: take it out of the other"));
            }
        };
    }
    Ok(())
}

/// That a host of this name would not fall under the very rule without the entry; `own` suffixes of it are the entry itself.
fn changes_something(text: Text<'_>, names: &Names, name: &str, entry: Entry, own: usize) -> Result<(), Mistake> {
    let wider = suffixes(name).skip(own).find_map(|wider| Some((wider, names.suffixes.get(wider)?)));
    match wider {
        Some((wider, other)) if other.rule == entry.rule => {
            let what = format!(
                "\"{name}\" changes nothing: every such host falls under \"{wider}\" of the same rule (line {})",
                other.line
            );
            Err(text.mistake_on(entry.line, what).hint("take one of the two out"))
        }
        _ => Ok(()),
    }
}

/// Slips of the pen that no name of a host or domain has.
fn spelt(name: &str) -> Result<(), Wrong> {
    let wrong = |what: &str, right: &str| Err((format!("\"{name}\" {what}"), format!("write \"{right}\"")));
    if name.contains('*') {
        let right = name.trim_start_matches(['*', '.']);
        return Err((
            format!("\"{name}\" is a pattern, and would match nobody"),
            format!("a suffix covers every host below it: mx = [\"{right}\"]"),
        ));
    }
    if name.starts_with('.') {
        return wrong("begins with a dot, and would match nobody", name.trim_start_matches('.'));
    }
    if name.ends_with('.') {
        return wrong(
            "ends with a dot, and would match nobody: names are compared without it",
            name.trim_end_matches('.'),
        );
    }
    if name.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return wrong("would match nobody: names are compared in lower case", &name.to_ascii_lowercase());
    }
    Ok(())
}

fn suffix(name: &str) -> Result<(), Wrong> {
    spelt(name)?;
    if name.parse::<IpAddr>().is_ok() {
        let what = format!("\"{name}\" is an address, and suffixes are of names");
        return Err((what, "name the host in `sites`".into()));
    }
    host(name, "it is the end of host names, of two labels or more, like \"protection.outlook.com\"")
}

fn site(name: &str) -> Result<(), Wrong> {
    spelt(name)?;
    match name.parse::<IpAddr>() {
        Ok(address) if address.to_string() == name => Ok(()),
        Ok(address) => Err((format!("\"{name}\" would match nobody"), format!("write \"{address}\""))),
        Err(_) => host(name, "it is an MX host's whole name, like \"mx1.partner.example\""),
    }
}

fn host(name: &str, hint: &str) -> Result<(), Wrong> {
    if is_host_name(name) {
        return Ok(());
    }
    Err((format!("\"{name}\" is no host name, and would match nobody"), hint.to_owned()))
}

fn domain(name: &str) -> Result<(), Wrong> {
    spelt(name)?;
    match Address::parse(&format!("postmaster@{name}")) {
        Ok(address) if address.domain() == name => Ok(()),
        Ok(address) => {
            let what = format!("\"{name}\" would match nobody: domains are compared as A-labels");
            Err((what, format!("write \"{}\"", address.domain())))
        }
        Err(_) => Err((
            format!("\"{name}\" is no domain, and would match nobody"),
            "it is what stands after the @, like \"partner.example\"".into(),
        )),
    }
}
