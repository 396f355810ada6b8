//! What a file of rules may say, and whom it is taken to mean.

use super::*;
use crate::mail::Class;
use crate::resolve::{MxHost, Place};
use proptest::prelude::*;
use std::path::Path;

const BOUNDS: Bounds = Bounds { connections: 20, messages_per_connection: 1000 };

fn rules(text: &str) -> Rules {
    Rules::parse(Path::new("shaping.toml"), text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Hosts that the DNS names, with their preferences.
fn hosts(names: &[(u16, &str)]) -> Vec<MxHost> {
    let host = |(preference, name): &(u16, &str)| MxHost {
        name: (*name).to_owned(),
        preference: *preference,
        place: Place::Named(25),
    };
    names.iter().map(host).collect()
}

fn provider(rules: &Rules, domain: &str, names: &[(u16, &str)]) -> String {
    rules.find(domain, &hosts(names)).rule.map_or_else(|| "none".to_owned(), |rule| rule.name.to_string())
}

/// One rule of each kind; the wide one has this suffix.
fn order(wide: &str) -> String {
    format!("[[provider]]\nname = \"wide\"\nmx = [\"{wide}\"]\n{OTHERS}")
}

const OTHERS: &str = r#"[[provider]]
name = "narrow"
mx = ["mx.host.example"]
[[provider]]
name = "site"
sites = ["one.mx.host.example", "127.0.0.1"]
[[provider]]
name = "domain"
domains = ["partner.test"]
"#;

#[test]
fn the_more_specific_wins() {
    let rules = rules(&order("host.example"));
    for (expected, domain, host) in [
        ("domain", "partner.test", "one.mx.host.example"),
        ("none", "sub.partner.test", "mx.test"),
        ("site", "b.test", "one.mx.host.example"),
        ("narrow", "b.test", "two.mx.host.example"),
        ("narrow", "b.test", "mx.host.example"),
        ("narrow", "b.test", "deep.one.mx.host.example"),
        ("wide", "b.test", "host.example"),
        ("wide", "b.test", "amx.host.example"),
        ("none", "b.test", "otherhost.example"),
        ("none", "b.test", "host.example.test"),
        ("site", "b.test", "127.0.0.1"),
        ("none", "b.test", "10.127.0.0.1"),
    ] {
        assert_eq!(provider(&rules, domain, &[(10, host)]), expected, "{domain} {host}");
    }
}

#[test]
fn hosts_of_the_best_preference_decide_and_have_to_agree() {
    let rules = rules(&order("wide.example"));
    let narrow = (1, "a.mx.host.example");
    assert_eq!(provider(&rules, "b.test", &[narrow, (1, "b.mx.host.example"), (5, "a.wide.example")]), "narrow");
    assert_eq!(provider(&rules, "b.test", &[narrow, (1, "a.wide.example")]), "none");
    assert_eq!(provider(&rules, "b.test", &[narrow, (1, "elsewhere.test")]), "none");
    assert_eq!(provider(&rules, "b.test", &[(1, "elsewhere.test"), (5, "a.wide.example")]), "none");
    let why = |names: &[(u16, &str)]| rules.find("b.test", &hosts(names)).why;
    assert_eq!(why(&[narrow, (1, "elsewhere.test")]), Why::Divided);
    assert_eq!(why(&[(1, "elsewhere.test"), (1, "mx.test")]), Why::Stranger);
    let suffix = Why::Suffix { host: "a.mx.host.example".into(), suffix: "mx.host.example".into(), line: 6 };
    assert_eq!(why(&[narrow, (5, "a.wide.example")]), suffix);
}

#[test]
fn what_the_operator_routes_himself_is_no_stranger_to_him() {
    let rules = rules(
        "[default]\nconnections = 10\nrate = \"100/s\"\n[[provider]]\nname = \"p\"\nmx = [\"p.example\"]\n\
         domains = [\"d.test\"]\nmessages_per_connection = 7\n",
    );
    let shaping = Shaping::new(rules.clone(), None, BOUNDS);
    let at = |domain: &str, name: &str, place: Place| {
        let host = MxHost { name: name.into(), preference: 0, place };
        let shape = shaping.shape(domain, &[host]);
        let terms = &shape.terms;
        (shape.group.is_some(), terms.connections, terms.messages_per_connection, terms.rates.len())
    };
    let fixed = || Place::Fixed(([127, 0, 0, 1], 25).into());
    assert_eq!(at("b.test", "mx.test", Place::Named(25)), (false, 10, 1000, 1), "a stranger");
    assert_eq!(at("b.test", "b.test", Place::Implicit(25)), (false, 10, 1000, 1), "a stranger without MX");
    assert_eq!(at("b.test", "127.0.0.1", fixed()), (false, 20, 1000, 0), "only [limits]");
    assert_eq!(at("b.test", "relay.test", Place::Relay(587)), (false, 20, 1000, 0), "only [limits]");
    assert_eq!(at("b.test", "mx.p.example", Place::Named(25)), (true, 10, 7, 1), "its rule, then [default]");
    assert_eq!(at("b.test", "mx.p.example", fixed()), (true, 20, 7, 0), "its rule, then [limits]");
    assert_eq!(at("d.test", "127.0.0.1", fixed()), (true, 20, 7, 0));
    assert_eq!(at("d.test", "relay.test", Place::Relay(587)), (false, 20, 1000, 0), "the limit is the relay's");
    let bare = Shaping::none(BOUNDS).shape("d.test", &hosts(&[(1, "mx.p.example")]));
    assert_eq!((bare.group, *bare.terms == Terms::within(BOUNDS)), (None, true));
}

#[test]
fn a_rule_s_own_word_then_the_default_s_and_never_more_than_the_machine_s() {
    let text = "[default]\nconnections = 10\nfirst_window = 4\nmessages_per_connection = 100\nrate = [\"100/s\", \"200000/day\"]\n\
                [default.source]\nrate = \"a page\"\n\
                [[provider]]\nname = \"few\"\nmx = [\"few.example\"]\nconnections = 2\nrate = []\n\
                [[provider]]\nname = \"many\"\nmx = [\"many.example\"]\nconnections = 500\nmessages_per_connection = 5\n\
                connection_rate = \"30/min\"\nrecipients_per_message = 1\n";
    let rules = rules(text);
    let [few, many] = [0, 1].map(|index| rules.reasons(Some(&rules.providers()[index]), false, BOUNDS));
    assert_eq!((few.connections.value, &few.connections.by), (2, &By::Line(11, None)));
    assert_eq!((few.first_window.value, &few.first_window.by), (2, &By::Connections), "no more than there are");
    assert_eq!((few.rates.value.len(), &few.rates.by), (0, &By::Line(12, None)), "it lifts the default's");
    assert_eq!((many.connections.value, &many.connections.by), (20, &By::Limits));
    assert_eq!((many.first_window.value, &many.first_window.by), (4, &By::Line(3, None)));
    assert_eq!(many.messages_per_connection.value, 5);
    assert_eq!(many.rates.by, By::Line(5, Some("a page".into())));
    assert_eq!(many.connection_rate.value.map(|rate| rate.to_string()), Some("30/min".into()));
    assert_eq!((few.connection_rate.value, &few.connection_rate.by), (None, &By::Nobody));
    let terms = many.terms();
    assert_eq!(
        (terms.connections, terms.first_window, Rates(&terms.rates).to_string()),
        (20, 4, "100/s and 200000/day".into())
    );
}

/// What is written, and what is said of it, with the line and what to do.
const MISTAKES: [(&str, &str, &str); 34] = [
    ("[default]\nconections = 1", ":2: unknown field `conections`", "did you mean `connections`?"),
    ("[defaults]", ":1: unknown field `defaults`", "did you mean `default`?"),
    ("[default]\nconnections = 0", ":2: connections must be at least 1", "pause --provider"),
    ("[default]\nconnections = -1", ":2: invalid value", ""),
    ("[default]\nconnections = \"5\"", ":2: invalid type", ""),
    ("[default]\nrate = \"5/m\"", ":2: \"5/m\" is no rate", "3000/min"),
    ("[default]\nrate = \"0/s\"", ":2: \"0/s\" is no rate", "above zero"),
    ("[default]\nrate = 5", ":2: write a rate like \"100/s\"", ""),
    ("[default]\nrate = [\"5/s\", \"7/s\"]", ":2: the rate 7/s never binds", "take one"),
    ("[default]\nrate = [\"5/s\", \"300/min\"]", ":2: the rate 300/min never binds: 5/s", "take one"),
    ("[default]\nrate = [\"500/h\", \"600/s\"]", ":2: the rate 600/s never binds: 500/h", "take one"),
    ("[default]\nconnection_rate = \"5\"", ":2: \"5\" is no rate", "3000/min"),
    ("[default]\nrecipients_per_message = 2", ":2: recipients_per_message can only be 1", "write 1"),
    (
        "[default]\nconnections = 2\nfirst_window = 3",
        ":3: first_window is more than the 2 connections of line 2",
        "fewer",
    ),
    ("[default]\nmx = [\"a.example\"]", ":2: [default] is for everybody whom no rule names", "[[provider]]"),
    ("[default]\n[default.source]\nrate = \"a page\"", ":3: there is a source for rate", "take it out"),
    ("[[provider]]\nmx = [\"a.example\"]", ": a [[provider]] has no name", "add: name"),
    ("[[provider]]\nname = \"a\"", ":2: the rule of \"a\" can never match", "add: mx"),
    ("[[provider]]\nname = \"a.b\"\nmx = [\"a.example\"]", ":2: \"a.b\" can't be a provider's name", "no dots"),
    ("[[provider]]\nname = \"other\"\nmx = [\"a.example\"]", ":2: \"other\" can't be", "no dots"),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\"]\n[[provider]]\nname = \"a\"\nmx = [\"b.example\"]",
        ":5: \"a\" is the name of the rule on line 2",
        "one rule",
    ),
    ("[[provider]]\nname = \"a\"\nmx = [\"a.example.\"]", ":3: \"a.example.\" ends with a dot", "write \"a.example\""),
    (
        "[[provider]]\nname = \"a\"\nmx = [\".a.example\"]",
        ":3: \".a.example\" begins with a dot",
        "write \"a.example\"",
    ),
    ("[[provider]]\nname = \"a\"\nmx = [\"*.a.example\"]", ":3: \"*.a.example\" is a pattern", "mx = [\"a.example\"]"),
    ("[[provider]]\nname = \"a\"\nmx = [\"A.example\"]", ":3: \"A.example\" would match nobody", "write \"a.example\""),
    ("[[provider]]\nname = \"a\"\nmx = [\"com\"]", ":3: \"com\" is no host name", "two labels"),
    ("[[provider]]\nname = \"a\"\nmx = [\"192.0.2.1\"]", ":3: \"192.0.2.1\" is an address", "`sites`"),
    ("[[provider]]\nname = \"a\"\nsites = [\"0:0::1\"]", ":3: \"0:0::1\" would match nobody", "write \"::1\""),
    (
        "[[provider]]\nname = \"a\"\ndomains = [\"bücher.example\"]",
        ":3: \"bücher.example\" would match nobody",
        "xn--bcher-kva.example",
    ),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\"]\n[[provider]]\nname = \"b\"\nmx = [\"a.example\"]",
        ":6: \"a.example\" stands on line 3 already",
        "one rule's",
    ),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\", \"mx.a.example\"]",
        ":3: \"mx.a.example\" changes nothing",
        "take one",
    ),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\"]\nsites = [\"mx.a.example\"]",
        ":4: \"mx.a.example\" changes nothing",
        "take one",
    ),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\"]\nreplies = [{ text = \"x\", class = \"rates\" }]",
        ":4: \"rates\" is no class",
        "did you mean \"rate\"",
    ),
    (
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\"]\nreplies = [{ text = \"Slow\", class = \"rate\" }, { text = \"too SLOW\", class = \"policy\" }]",
        ":4: the pattern \"too slow\" can never decide",
        "the longer one first",
    ),
];

#[test]
fn mistakes_are_named_with_file_line_and_what_to_do() {
    for (text, expected, hint) in MISTAKES {
        let error = match Rules::parse(Path::new("shaping.toml"), text) {
            Ok(_) => panic!("taken: {text}"),
            Err(error) => error,
        };
        let said = error.to_string();
        assert!(said.starts_with(&format!("shaping.toml{expected}")), "{text}\n{said}");
        assert!(error.to_do().unwrap_or_default().contains(hint), "{text}\n{:?}", error.to_do());
    }
}

#[test]
fn a_longer_suffix_of_another_rule_in_between_makes_a_name_mean_something() {
    let rules = rules(
        "[[provider]]\nname = \"a\"\nmx = [\"a.example\", \"x.b.a.example\"]\n[[provider]]\nname = \"b\"\nmx = [\"b.a.example\"]\n",
    );
    let of = |host| provider(&rules, "d.test", &[(1, host)]);
    assert_eq!([of("m.a.example"), of("m.b.a.example"), of("m.x.b.a.example")], ["a", "b", "a"]);
}

#[test]
fn the_rules_that_are_built_in_name_whom_they_mean() {
    let rules = Rules::built_in();
    for (host, expected) in [
        ("aspmx.l.google.com", "google"),
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("outlook-com.olc.protection.outlook.com", "microsoft-consumer"),
        ("eur.olc.protection.outlook.com", "microsoft-consumer"),
        ("acme-example.mail.protection.outlook.com", "microsoft-365"),
        ("acme-example.p-v1.mx.microsoft", "microsoft-365"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx-aol.mail.gm0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx1a1.comcast.net", "comcast"),
        ("pkvw-mx.msg.pkvw.co.charter.net", "charter"),
        ("cxr.mx.a.cloudfilter.net", "cox"),
        ("eir-01.mx.a.cloudfilter.net", "cloudfilter"),
        ("al-ip4-mx-vip1.prodigy.net", "att"),
        ("us-smtp-inbound-1.mimecast.com", "mimecast"),
        ("mxa-00360101.gslb.pphosted.com", "proofpoint"),
        ("mx1-us1.ppe-hosted.com", "proofpoint-essentials"),
        ("d12345a.ess.barracudanetworks.com", "barracuda"),
        ("mx1.acme.iphmx.com", "cisco"),
        ("mx00.gmx.net", "gmx"),
        ("mx-ha02.web.de", "gmx"),
        ("in1-smtp.messagingengine.com", "fastmail"),
        ("mx2.zoho.com", "zoho"),
    ] {
        assert_eq!(provider(&rules, "d.test", &[(10, host)]), expected, "{host}");
    }
    let strangers = ["notgoogle.com", "google.com.test", "mx.example", "mail.outlook.com"];
    for host in strangers {
        assert_eq!(provider(&rules, "d.test", &[(10, host)]), "none", "{host}");
    }
    let shape = Shaping::new(rules, None, BOUNDS).shape("gmail.com", &hosts(&[(5, "gmail-smtp-in.l.google.com")]));
    assert_eq!((shape.terms.connections, shape.terms.messages_per_connection), (5, 50));
}

/// Whose word a term is, if it is the file's: its line, and where that has it from.
fn sources(reasons: &Reasons) -> Vec<(usize, Option<String>)> {
    let Reasons { connections, first_window, messages_per_connection, rates, connection_rate } = reasons;
    let by = [&connections.by, &first_window.by, &messages_per_connection.by, &rates.by, &connection_rate.by];
    let line = |by: &By| match by {
        By::Line(line, source) => Some((*line, source.clone())),
        By::Limits | By::Connections | By::Nobody => None,
    };
    by.into_iter().filter_map(line).collect()
}

#[test]
fn every_number_that_is_built_in_says_where_it_comes_from() {
    let rules = Rules::built_in();
    let default = sources(&rules.reasons(None, false, Bounds::NONE));
    assert_eq!(default.len(), 4, "all but a rate of connections");
    // By hand, so that [default] does not speak for the rule.
    let of_rule = |rule| sources(&rules.reasons(Some(rule), true, Bounds::NONE));
    let all: Vec<_> = rules.providers().iter().flat_map(of_rule).chain(default).collect();
    assert!(all.len() > 40, "{all:?}");
    for (line, source) in all {
        assert!(source.is_some_and(|source| source.len() > 10), "no source for line {line}");
    }
}

#[test]
fn what_a_provider_s_reply_means() {
    let rules = Rules::built_in();
    let class = |host: &str, reply| class_of(&rules.provider_of(host).expect("a rule").replies, reply);
    assert_eq!(class("mta5.am0.yahoodns.net", "4.7.0 [TSS04] Messages from 192.0.2.1 deferred"), Some(Class::Rate));
    assert_eq!(class("MX1A1.comcast.net", "4.1.0 rl000003 try again"), Some(Class::Rate));
    assert_eq!(class("mx1a1.comcast.net", "4.1.0 mailbox busy"), None);
}

#[test]
fn a_file_that_is_read_again_takes_effect_only_if_it_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shaping.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    let rule = |connections| format!("[[provider]]\nname = \"p\"\nmx = [\"p.example\"]\nconnections = {connections}\n");
    write(&rule(3));
    let shaping = Shaping::new(Rules::read(&file).expect("good"), Some(file.clone()), BOUNDS);
    let connections = || shaping.shape("d.test", &hosts(&[(1, "mx.p.example")])).terms.connections;
    assert_eq!((connections(), shaping.edition()), (3, 0));
    write(&rule(4));
    assert_eq!(connections(), 3, "nobody said that it be read");
    assert_eq!(shaping.read_again().expect("good").map(|rules| rules.providers().len()), Some(1));
    assert_eq!((connections(), shaping.edition()), (4, 1));
    write(&rule(0));
    let error = shaping.read_again().expect_err("bad").to_string();
    assert!(error.ends_with("shaping.toml:4: connections must be at least 1"), "{error}");
    std::fs::remove_file(&file).expect("there");
    assert!(shaping.read_again().is_err());
    assert_eq!((connections(), shaping.edition()), (4, 1), "what was good stays");
    assert!(Shaping::new(Rules::built_in(), None, BOUNDS).read_again().expect("no file").is_none());
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[\\PC\n]{0,200}", from in 0usize..20_000, length in 0usize..200) {
        Rules::parse(Path::new("shaping.toml"), &text).ok();
        let cut = |(at, octet): (usize, char)| (at < from || at >= from + length).then_some(octet);
        let damaged: String = BUILT_IN.chars().enumerate().filter_map(cut).collect();
        if let Err(error) = Rules::parse(Path::new("shaping.toml"), &damaged) {
            prop_assert!(error.to_string().starts_with("shaping.toml"), "{}", error);
        }
    }

    /// Whatever rules there are, a host falls under the one with the longest suffix that it ends in by whole labels.
    #[test]
    fn the_longest_suffix_decides(
        names in prop::collection::btree_set("[ab]{1,2}(\\.[ab]{1,2}){1,3}", 1..8),
        host in "[ab]{1,2}(\\.[ab]{1,2}){1,5}",
    ) {
        let names: Vec<_> = names.into_iter().collect();
        let rule = |(number, name): (usize, &String)| format!("[[provider]]\nname = \"p{number}\"\nmx = [\"{name}\"]\n");
        let rules = rules(&names.iter().enumerate().map(rule).collect::<String>());
        let ends = |name: &&String| host == **name || host.ends_with(&format!(".{name}"));
        let longest = names.iter().filter(ends).max_by_key(|name| name.len());
        let expected = longest.map_or("none".to_owned(), |longest| {
            format!("p{}", names.iter().position(|name| name == longest).expect("one of them"))
        });
        prop_assert_eq!(provider(&rules, "d.test", &[(1, &host)]), expected);
    }
}
