//! Takes `shaping.toml` apart: every number, name and pattern in it can be meant.

use super::file::{RatesValue, ReplyTable, RuleTable, ShapingFile};
use super::names::names;
use super::rules::{Rule, Rules};
use super::spec::{Spec, Written};
use super::terms::{Rate, ReplyPattern};
use crate::mail::{Class, Mistake, instead_of, line_of};
use crate::resolve::WITHOUT_MX;
use std::path::Path;
use toml::Spanned;

/// A file's text, for what is said of places in it.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    pub(super) fn line(self, offset: usize) -> usize {
        line_of(self.text, offset)
    }

    pub(super) fn mistake(self, offset: usize, what: String) -> Mistake {
        Mistake::new(self.path, what).at(self.text, offset)
    }

    pub(super) fn mistake_on(self, line: usize, what: String) -> Mistake {
        Mistake::new(self.path, what).line(line)
    }
}

/// Checks `text` as the content of the file at `path`.
pub(super) fn rules(path: &Path, text: &str) -> Result<Rules, Mistake> {
    let file: ShapingFile = toml::from_str(text).map_err(|cause| Mistake::toml(path, text, &cause))?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let text = Text { path, text };
    let default = default(text, &file.default)?;
    let mut rules: Vec<Rule> = Vec::new();
    for table in &file.provider {
        rules.push(rule(text, table, &default, &rules)?);
    }
    let names = names(text, &file.provider)?;
    Ok(Rules { path: path.to_owned(), digest: data_encoding::HEXLOWER.encode(digest.as_ref()), default, rules, names })
}

/// `[default]`, which says nothing of anybody by name.
fn default(text: Text<'_>, table: &RuleTable) -> Result<Spec, Mistake> {
    let first = |names: &[Spanned<String>]| names.first().map(|name| name.span().start);
    let reply = table.replies.first().map(|reply| reply.text.span().start);
    let name = table.name.as_ref().map(|name| name.span().start);
    let of = [first(&table.mx), first(&table.domains), first(&table.sites), reply, name];
    if let Some(at) = of.into_iter().flatten().next() {
        let what = "[default] is for everybody whom no rule names: it has numbers, and nothing else";
        return Err(text.mistake(at, what.into()).hint("begin a rule of its own with [[provider]]"));
    }
    spec(text, table, &Spec::default())
}

fn rule(text: Text<'_>, table: &RuleTable, default: &Spec, earlier: &[Rule]) -> Result<Rule, Mistake> {
    let Some(name) = &table.name else {
        return Err(Mistake::new(text.path, "a [[provider]] has no name")
            .hint("add: name = \"…\", by which metrics, logs and `sealpost pause --provider` know it"));
    };
    let (at, name) = (name.span().start, name.get_ref());
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if name.is_empty()
        || name.len() > 40
        || !name.bytes().all(plain)
        || [crate::metrics::OTHER, WITHOUT_MX].contains(&name.as_str())
    {
        let hint = "lower-case letters, digits and hyphens, like \"microsoft-365\"; no dots, so that it is never taken for a host";
        return Err(text.mistake(at, format!("\"{name}\" can't be a provider's name")).hint(hint));
    }
    if let Some(other) = earlier.iter().find(|other| *other.name == **name) {
        let what = format!("\"{name}\" is the name of the rule on line {} already", other.line);
        return Err(text.mistake(at, what).hint("put their names into one rule, or call this one something else"));
    }
    if table.mx.is_empty() && table.domains.is_empty() && table.sites.is_empty() {
        return Err(text.mistake(at, format!("the rule of \"{name}\" can never match: it says nothing of whom it is about"))
            .hint("add: mx = [\"…\"] (suffixes of MX hosts), sites = [\"…\"] (whole names of MX hosts) or domains = [\"…\"]"));
    }
    Ok(Rule {
        name: name.as_str().into(),
        line: text.line(at),
        replies: replies(text, &table.replies)?.into(),
        tls_note: table.tls_note.clone(),
        note: table.note.clone(),
        spec: spec(text, table, default)?,
    })
}

fn spec(text: Text<'_>, table: &RuleTable, default: &Spec) -> Result<Spec, Mistake> {
    if let Some(recipients) = &table.recipients_per_message
        && *recipients.get_ref() != 1
    {
        let what = "recipients_per_message can only be 1: each message is its recipient's own";
        return Err(text.mistake(recipients.span().start, what.into()).hint("write 1, or take it out"));
    }
    let source = &table.source;
    let key = |name, source| Key { text, name, source };
    let rate_at = |at, value: &String| rate(text, at, value);
    let rates_at = |at, value: &RatesValue| rates(text, at, value);
    let spec = Spec {
        connections: key("connections", &source.connections).number(&table.connections)?,
        first_window: key("first_window", &source.first_window).number(&table.first_window)?,
        messages_per_connection: key("messages_per_connection", &source.messages_per_connection)
            .number(&table.messages_per_connection)?,
        rates: key("rate", &source.rate).written(&table.rate, rates_at)?,
        connection_rate: key("connection_rate", &source.connection_rate).written(&table.connection_rate, rate_at)?,
    };
    let most = spec.connections.as_ref().or(default.connections.as_ref());
    if let (Some(first), Some(most)) = (&spec.first_window, most)
        && first.value > most.value
    {
        let what = format!("first_window is more than the {} connections of line {}", most.value, most.line);
        return Err(text.mistake_on(first.line, what).hint("the window starts there and grows: write fewer"));
    }
    Ok(spec)
}

/// A key of a table, and what is said of where its value comes from.
struct Key<'a> {
    text: Text<'a>,
    name: &'static str,
    source: &'a Option<Spanned<String>>,
}

impl Key<'_> {
    /// The value as `check` takes it.
    fn written<V, T>(
        &self,
        value: &Option<Spanned<V>>,
        check: impl FnOnce(usize, &V) -> Result<T, Mistake>,
    ) -> Result<Option<Written<T>>, Mistake> {
        let Some(value) = value else {
            let of_nothing = |source: &Spanned<String>| {
                let what = format!("there is a source for {}, which this table does not set", self.name);
                Err(self.text.mistake(source.span().start, what).hint("take it out, or set the value"))
            };
            return self.source.as_ref().map_or(Ok(None), of_nothing);
        };
        let at = value.span().start;
        let source = self.source.as_ref().map(|source| source.get_ref().clone());
        Ok(Some(Written { value: check(at, value.get_ref())?, line: self.text.line(at), source }))
    }

    /// A number above zero.
    fn number<T: Copy + PartialEq + From<u8>>(
        &self,
        value: &Option<Spanned<T>>,
    ) -> Result<Option<Written<T>>, Mistake> {
        self.written(value, |at, number| {
            if *number == T::from(0) {
                let hint = "to send nothing there: `sealpost pause --provider NAME`";
                return Err(self.text.mistake(at, format!("{} must be at least 1", self.name)).hint(hint));
            }
            Ok(*number)
        })
    }
}

fn rate(text: Text<'_>, at: usize, written: &str) -> Result<Rate, Mistake> {
    Rate::parse(written).ok_or_else(|| {
        let hint =
            "write it like \"100/s\", \"3000/min\", \"10000/h\" or \"200000/day\", with a whole number above zero";
        text.mistake(at, format!("\"{written}\" is no rate")).hint(hint)
    })
}

/// Rates each of which can bind, the shortest span first.
fn rates(text: Text<'_>, at: usize, written: &RatesValue) -> Result<Vec<Rate>, Mistake> {
    let written = match written {
        RatesValue::One(one) => std::slice::from_ref(one),
        RatesValue::Several(several) => several,
    };
    let mut rates = written.iter().map(|one| rate(text, at, one)).collect::<Result<Vec<_>, _>>()?;
    rates.sort_by_key(|rate| rate.per);
    for pair in rates.windows(2) {
        let (short, long) = (pair[0], pair[1]);
        let idle = match () {
            () if short.count >= long.count => Some((short, long)),
            () if short.over(long.per) <= u128::from(long.count) => Some((long, short)),
            () => None,
        };
        if let Some((idle, other)) = idle {
            let what = format!("the rate {idle} never binds: {other} always does before");
            return Err(text.mistake(at, what).hint("take one of the two out"));
        }
    }
    Ok(rates)
}

fn replies(text: Text<'_>, tables: &[ReplyTable]) -> Result<Vec<ReplyPattern>, Mistake> {
    let mut patterns: Vec<ReplyPattern> = Vec::new();
    for ReplyTable { text: wanted, class } in tables {
        let (at, wanted) = (wanted.span().start, wanted.get_ref().to_ascii_lowercase());
        if wanted.trim().is_empty() {
            return Err(text
                .mistake(at, "a reply pattern is empty, and would match every reply".into())
                .hint("write a part of the reply's text that no other reply has"));
        }
        if let Some(earlier) = patterns.iter().find(|earlier| wanted.contains(&*earlier.text)) {
            let what = format!(
                "the pattern \"{wanted}\" can never decide: \"{}\" on line {} matches all of it before",
                earlier.text, earlier.line
            );
            return Err(text.mistake(at, what).hint("put the longer one first, or take it out"));
        }
        patterns.push(ReplyPattern { text: wanted.into(), class: meant(text, class)?, line: text.line(at) });
    }
    Ok(patterns)
}

fn meant(text: Text<'_>, word: &Spanned<String>) -> Result<Class, Mistake> {
    Class::ALL.into_iter().find(|class| class.word() == word.get_ref()).ok_or_else(|| {
        let words = Class::ALL.map(Class::word);
        let what = format!("\"{}\" is no class of replies", word.get_ref());
        text.mistake(word.span().start, what).hint(instead_of(word.get_ref(), &words))
    })
}
