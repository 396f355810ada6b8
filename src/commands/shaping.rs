//! `sealpost shaping`: the rules, and what they make of a domain.

use super::learned;
use crate::args::{Args, Shaping, ShapingCheck, ShapingExplain};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::control::{Client, RulesView};
use engine::mail::Address;
use engine::plan::Machine;
use engine::report::rfc3339;
use engine::resolve::MxHost;
use engine::run::rules::{Explanation, explain, rules};
use engine::shaping::{BUILT_IN, By, Rates, Reasons, Rule, Rules, Term, Why};
use engine::throttle::Learned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One of its commands.
pub fn run(args: &Args, options: &Shaping) -> Result<u8, Failure> {
    match options {
        Shaping::Explain(options) => explain_domain(args, options),
        Shaping::Check(options) => check(args, options),
        Shaping::Show => {
            outln!("{}", BUILT_IN.trim_end());
            Ok(SETTLED)
        }
    }
}

fn check(args: &Args, options: &ShapingCheck) -> Result<u8, Failure> {
    let rules = match &options.file {
        Some(file) => Rules::read(file)?,
        None => rules(&super::machine(args)?)?,
    };
    let names: Vec<_> = rules.providers().iter().map(|rule| &*rule.name).collect();
    if args.json {
        outln!("{}", json!({"file": rules.path(), "providers": names}));
    } else {
        outln!("{} is good: {} providers: {}", rules.path().display(), names.len(), names.join(", "));
    }
    Ok(SETTLED)
}

fn explain_domain(args: &Args, options: &ShapingExplain) -> Result<u8, Failure> {
    let parsed =
        Address::parse(&format!("postmaster@{}", options.domain)).ok().filter(|_| !options.domain.contains('@'));
    let no_domain = || {
        let hint = "name what stands after the @ of an address: sealpost shaping explain partner.example";
        Failure::usage(format!("\"{}\" is no domain", options.domain), Some(hint.into()))
    };
    let domain = parsed.ok_or_else(no_domain)?.domain().to_owned();
    let machine = super::machine(args)?;
    let rules = rules(&machine)?;
    let found = explain(&machine, &rules, &domain)?
        .map_err(|trouble| Failure::usage(format!("{domain}: {}", trouble.label()), None))?;
    let learned = learned_of(&machine, &found)?;
    let page = Page { rules: &rules, domain, found, learned, engine: of_engine(&machine) };
    if args.json {
        outln!("{}", page.json());
    } else {
        page.print();
    }
    Ok(SETTLED)
}

/// What each source has learned of the provider of these hosts.
fn learned_of(machine: &Machine, found: &Explanation<'_>) -> Result<BTreeMap<String, Learned>, Failure> {
    let name = found.rule.map(|rule| &*rule.name).or_else(|| found.hosts.first().map(MxHost::shown));
    let state_dir = &machine.state_dir;
    let (Some(name), Some((store, ..))) = (name, stored::observe(state_dir)?) else { return Ok(BTreeMap::new()) };
    let lessons = learned::lessons(&store).map_err(|error| stored::unreadable(state_dir, error))?;
    Ok(lessons.into_iter().filter_map(|(source, mut of)| Some((source, of.remove(name)?))).collect())
}

/// The rules of the engine that is at work here, if one is.
fn of_engine(machine: &Machine) -> Option<RulesView> {
    let client = Client::connect(&machine.state_dir, || stored::is_held(&machine.state_dir)).ok()?;
    client.view().ok()?.shaping
}

/// All that is known of one domain.
struct Page<'a> {
    rules: &'a Rules,
    domain: String,
    found: Explanation<'a>,
    /// By source.
    learned: BTreeMap<String, Learned>,
    engine: Option<RulesView>,
}

impl Page<'_> {
    fn print(&self) {
        let hosts: Vec<_> = self.found.hosts.iter().map(|host| format!("{} {}", host.preference, host.name)).collect();
        outln!("{}", self.domain);
        outln!("  hosts     {}", hosts.join(" · "));
        outln!("  provider  {}", self.provider());
        outln!("  because   {}", self.because());
        for (host, rule) in &self.found.others {
            let whose = rule.map_or("nobody's".into(), |rule| format!("{}'s", rule.name));
            outln!("  left out  {} ({whose}): only hosts of the best preference decide", host.name);
        }
        for (term, value, by) in terms(&self.found.reasons) {
            let line = format!("  {term:<24} {value:<12} {}", self.words(&by));
            outln!("{}", line.trim_end());
        }
        for (source, learned) in &self.learned {
            let words = learned::words(learned, SystemClock.now());
            let words = if words.is_empty() { "nothing that is less".into() } else { words.join(", ") };
            outln!("  learned   from {source}: {words} (last written down {})", rfc3339(learned.at));
        }
        let rule = self.found.rule;
        for reply in rule.iter().flat_map(|rule| rule.replies.iter()) {
            outln!("  a reply with \"{}\" is {} (line {})", reply.text(), reply.word(), reply.line);
        }
        for (what, note) in notes(rule) {
            outln!("  {what:<9} {note}");
        }
        if self.is_stale() {
            outln!("  the engine at work here has read other rules: SIGHUP lets it read them again");
        }
    }

    /// Whether an engine goes by something else.
    fn is_stale(&self) -> bool {
        self.engine.as_ref().is_some_and(|view| view.digest != self.rules.digest())
    }

    fn provider(&self) -> String {
        match self.found.rule {
            Some(rule) => format!("{}, by {}", rule.name, self.at(rule.line)),
            None => "none: each set of MX hosts by itself".into(),
        }
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.rules.path().display())
    }

    fn because(&self) -> String {
        match &self.found.why {
            Why::Domain(line) => format!("the rule names the domain ({})", self.at(*line)),
            Why::Site { host, line } => format!("the rule names {host} ({})", self.at(*line)),
            Why::Suffix { host, suffix, line } => {
                format!("{host} ends in {suffix}, the longest suffix of a rule that it ends in ({})", self.at(*line))
            }
            Why::Stranger => "no rule names the domain or its best hosts, so [default] holds".into(),
            Why::Divided => "its best hosts fall under different rules, or some under none, so [default] holds".into(),
            Why::ByHand => "it is routed by sealpost.toml and no rule names it, so [limits] alone hold".into(),
        }
    }

    fn words(&self, by: &By) -> String {
        match by {
            By::Line(line, None) => self.at(*line),
            By::Line(line, Some(source)) => format!("{} ({source})", self.at(*line)),
            By::Limits => "[limits] of sealpost.toml".into(),
            By::Connections => "as many as there are connections".into(),
            By::Nobody => String::new(),
        }
    }

    fn json(&self) -> Value {
        let rule = self.found.rule;
        let host = |host: &MxHost| json!({"host": host.name, "preference": host.preference});
        let other = |(host, rule): &(MxHost, Option<&Rule>)| json!({"host": host.name, "preference": host.preference, "provider": rule.map(|rule| &*rule.name)});
        let value = |(term, value, by): (&str, String, By)| {
            let number = value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from);
            let (line, source) = match &by {
                By::Line(line, source) => (Some(line), source.as_ref()),
                _ => (None, None),
            };
            (term.to_owned(), json!({"value": number, "by": word(&by), "line": line, "source": source}))
        };
        let replies = rule.iter().flat_map(|rule| rule.replies.iter());
        let replies = replies.map(|reply| json!({"text": reply.text(), "class": reply.word(), "line": reply.line}));
        let (by, line) = reason(&self.found.why);
        json!({
            "domain": self.domain, "hosts": self.found.hosts.iter().map(host).collect::<Vec<_>>(),
            "file": self.rules.path(), "provider": rule.map(|rule| &*rule.name), "line": rule.map(|rule| rule.line),
            "matched": {"by": by, "line": line}, "because": self.because(),
            "left_out": self.found.others.iter().map(other).collect::<Vec<_>>(),
            "terms": terms(&self.found.reasons).into_iter().map(value).collect::<serde_json::Map<_, _>>(),
            "replies": replies.collect::<Vec<_>>(),
            "notes": notes(rule).into_iter().map(|(what, note)| (what.to_owned(), note.into())).collect::<serde_json::Map<_, _>>(),
            "learned": self.learned.iter().map(|(source, it)| (source.clone(), learned::json(Some(it)))).collect::<serde_json::Map<_, _>>(),
            "engine_has_other_rules": self.engine.as_ref().map(|_| self.is_stale()),
        })
    }
}

/// Every term, in the file's order.
fn terms(reasons: &Reasons) -> [(&'static str, String, By); 5] {
    fn term<T>(name: &'static str, term: &Term<T>, text: String) -> (&'static str, String, By) {
        (name, text, term.by.clone())
    }
    let Reasons { connections, first_window, messages_per_connection, rates, connection_rate } = reasons;
    let at_most = connection_rate.value.map_or_else(|| "unbounded".into(), |rate| rate.to_string());
    [
        term("connections", connections, connections.value.to_string()),
        term("first_window", first_window, first_window.value.to_string()),
        term("messages_per_connection", messages_per_connection, messages_per_connection.value.to_string()),
        term("rate", rates, Rates(&rates.value).to_string()),
        term("connection_rate", connection_rate, at_most),
    ]
}

fn notes(rule: Option<&Rule>) -> Vec<(&'static str, &str)> {
    let notes = rule.map(|rule| [("tls", rule.tls_note.as_deref()), ("note", rule.note.as_deref())]);
    notes.into_iter().flatten().filter_map(|(what, note)| Some((what, note?))).collect()
}

fn word(by: &By) -> &'static str {
    match by {
        By::Line(..) => "rules",
        By::Limits => "limits",
        By::Connections => "connections",
        By::Nobody => "nobody",
    }
}

fn reason(why: &Why) -> (&'static str, Option<usize>) {
    match why {
        Why::Domain(line) => ("domain", Some(*line)),
        Why::Site { line, .. } => ("site", Some(*line)),
        Why::Suffix { line, .. } => ("mx", Some(*line)),
        Why::Stranger => ("default", None),
        Why::Divided => ("divided", None),
        Why::ByHand => ("limits", None),
    }
}
