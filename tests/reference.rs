//! The reference files are whole: what they show is what the program does.

use crate::support::{Desk, root};
use engine::plan::{Campaign, Machine};

/// The file with its `#:` lines taken in.
fn with_defaults(name: &str) -> String {
    let text = std::fs::read_to_string(root().join("config").join(name)).expect("there");
    text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn defaults_in_the_reference_are_the_defaults() {
    let path = root().join("config/sealpost.toml");
    let plain = Machine::read(&path).expect("the reference is good");
    let spelt = Machine::parse(&path, &with_defaults("sealpost.toml")).expect("and with its defaults");
    assert_eq!(format!("{plain:?}"), format!("{spelt:?}"));

    let path = root().join("config/demo/campaign.toml");
    let text = std::fs::read_to_string(root().join("config/campaign.toml")).expect("there");
    let plain = Campaign::parse(&path, &text).expect("the reference is good");
    let spelt = Campaign::parse(&path, &with_defaults("campaign.toml")).expect("and with its defaults");
    let without_lines = |campaign: &Campaign| {
        let mut campaign = campaign.clone();
        for wording in &mut campaign.message.wordings {
            wording.subject.line = 0;
        }
        format!("{campaign:?}")
    };
    assert_eq!(without_lines(&plain), without_lines(&spelt));
}

#[test]
fn the_smarthost_of_the_reference_is_a_good_one() {
    let text = std::fs::read_to_string(root().join("config/sealpost.toml")).expect("there");
    let (before, rest) = text.split_once("# [smarthost]").expect("it is shown");
    let (table, after) = rest.split_once("\n\n").expect("it ends");
    let is_key = |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.split(' ').nth(1) == Some("="));
    let table: Vec<_> = table.lines().map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    let whole = format!("{before}[smarthost]{}\n\n{after}", table.join("\n"));
    // It says of itself that the route for everything must go.
    let whole = whole.replace("\n\"*\" = ", "\n# ");
    let machine = Machine::parse(&root().join("config/sealpost.toml"), &whole).expect("good");
    let smarthost = machine.smarthost.expect("there");
    assert_eq!(smarthost.host.name, "smtp.relay.example");
    assert!(smarthost.login.is_some() && smarthost.identity.is_some() && !smarthost.implicit_tls);
}

/// The part of a reference file that belongs to `table`; the file's head for an empty name.
fn section<'a>(text: &'a str, table: &str) -> &'a str {
    let start = if table.is_empty() { 0 } else { text.find(&format!("\n[{table}")).expect("the table is there") };
    let end = text[start + 1..].find("\n[").map_or(text.len(), |at| start + 1 + at);
    let end = if table == "message" { text.find("\n[transport]").expect("it follows") } else { end };
    &text[start..end]
}

/// serde lists a table's fields when it meets one that it doesn't know: each must be written, as a key of its own, in the
/// table's section of the reference.
#[test]
fn every_key_is_in_the_reference() {
    let cases = [
        (
            "sealpost.toml",
            &[
                "", "[source", "warmup", "dkim", "keys", "dns", "smtp", "tls", "retry", "limits", "shaping", "signing",
                "store", "metrics",
            ][..],
        ),
        ("campaign.toml", &["campaign", "input", "message", "transport"]),
    ];
    let mut seen = 0;
    for (name, tables) in cases {
        let text = std::fs::read_to_string(root().join("config").join(name)).expect("there");
        for table in tables {
            let part = section(&text, table);
            let broken = match part.trim_start().strip_prefix('[') {
                Some(_) => {
                    let head = part.trim_start().lines().next().expect("a line");
                    text.replace(part, &part.replacen(head, &format!("{head}\nzzz = 1"), 1))
                }
                None => format!("zzz = 1\n{text}"),
            };
            let path = root().join("config/demo").join(name);
            let error = match name {
                "sealpost.toml" => Machine::parse(&path, &broken).map(drop),
                _ => Campaign::parse(&path, &broken).map(drop),
            };
            let error = error.expect_err("zzz is no key").to_string();
            let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
            assert!(!keys.is_empty(), "{name} [{table}]: {error}");
            for key in keys {
                seen += 1;
                let is_key = |line: &str| {
                    line.trim_start_matches(['#', ':', ' '])
                        .trim_start()
                        .strip_prefix(key)
                        .is_some_and(|rest| rest.trim_start().starts_with('='))
                };
                let is_table = ["[", "[[", "# ["].iter().any(|open| text.contains(&format!("\n{open}{key}")));
                let inner = format!("{}.{key}", table.trim_start_matches('['));
                let is_table = is_table || [']', '.'].iter().any(|end| text.contains(&format!("{inner}{end}")));
                assert!(part.lines().any(is_key) || is_table, "{name} does not show [{table}] {key}");
            }
        }
    }
    assert!(seen > 35, "{seen} keys");
}

/// The same for the tables that only stand there as comments.
#[test]
fn the_tls_reports_of_the_reference_are_good() {
    let path = root().join("config/sealpost.toml");
    let text = std::fs::read_to_string(&path).expect("there");
    let (before, rest) = text.split_once("# [tls.reports]").expect("it is shown");
    let (table, after) = rest.split_once("\n\n").expect("it ends");
    let is_key = |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.split(' ').nth(1) == Some("="));
    let table: Vec<_> = table.lines().map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    let parse =
        |key: &str| Machine::parse(&path, &format!("{before}[tls.reports]{}{key}\n\n{after}", table.join("\n")));
    assert!(parse("").expect("good").reports.is_some());
    let error = parse("\nzzz = 1").expect_err("zzz is no key").to_string();
    let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| table.iter().any(|line| line.starts_with(key))), "{error}");
}

#[test]
fn every_key_of_the_optional_tables_is_in_the_reference() {
    let text = std::fs::read_to_string(root().join("config/campaign.toml")).expect("there");
    for table in ["[[message.attachment]]", "[message.language]", "[message.locale.es]"] {
        let path = root().join("config/demo/campaign.toml");
        let error =
            Campaign::parse(&path, &format!("{text}\n{table}\nzzz = 1\n")).expect_err("zzz is no key").to_string();
        let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert!(!keys.is_empty(), "{table}: {error}");
        let head = format!("# {table}\n");
        let shown = |key: &str| {
            let part = text.split(&head).skip(1).map(|part| part.split("\n\n").next().unwrap_or_default());
            part.flat_map(str::lines).any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} =")))
        };
        for key in keys {
            assert!(shown(key), "campaign.toml does not show {table} {key}");
        }
    }
}

/// The same for the rules, whose head explains each key.
#[test]
fn every_key_of_the_shaping_rules_is_explained_in_their_file() {
    let path = root().join("config/shaping.toml");
    let text = std::fs::read_to_string(&path).expect("there");
    let (head, _) = text.split_once("\n[default]").expect("it follows");
    let parse = |text: &str| engine::shaping::Rules::parse(&path, text);
    parse(&text).expect("good");
    for (broken, least) in [("[[provider]]\nzzz = 1", 14), ("[default.source]\nzzz = 1", 5), ("zzz = 1", 2)] {
        let error = parse(broken).expect_err("zzz is no key").to_string();
        let keys: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert!(keys.len() >= least, "{error}");
        let words: Vec<_> = head.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        keys.iter().for_each(|key| assert!(words.contains(key), "{key} is not explained"));
    }
}

#[test]
fn what_init_writes_passes_check_with_an_input() {
    let desk = Desk::new();
    std::fs::copy(root().join("tests/data/eob/eob.parquet"), desk.path("eob.parquet")).expect("copied");
    let ran = desk.sealpost(&["check", "campaign.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1000 rows looked at, 1000 would be sent"), "{ran:?}");
    assert!(ran.stdout.contains("routes     everything to 127.0.0.1 at 127.0.0.1:"), "{ran:?}");
    assert!(ran.stdout.contains("sources    a (out.acme-health.example)"), "{ran:?}");
}
