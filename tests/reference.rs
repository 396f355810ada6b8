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
        campaign.message.subject.line = 0;
        format!("{campaign:?}")
    };
    assert_eq!(without_lines(&plain), without_lines(&spelt));
}

/// serde lists a table's fields when it meets one that it doesn't know: every one of them must stand in the reference.
#[test]
fn every_key_is_in_the_reference() {
    let keys_of = |text: String, probe: &str| {
        let error = Machine::parse(&root().join("config/x.toml"), &text)
            .map(drop)
            .and_then(|()| Campaign::parse(&root().join("config/demo/x.toml"), &text).map(drop))
            .expect_err(probe)
            .to_string();
        let names = error.split('`').skip(3).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        assert!(!names.is_empty(), "{probe}: {error}");
        names
    };
    let mut seen = 0;
    for (name, tables) in [
        ("sealpost.toml", &["", "smtp", "tls", "retry", "limits", "dns", "keys"][..]),
        ("campaign.toml", &["campaign", "input", "message", "transport"]),
    ] {
        let text = std::fs::read_to_string(root().join("config").join(name)).expect("there");
        for table in tables {
            let probe = if table.is_empty() { "zzz = 1\n".to_owned() } else { format!("[{table}]\nzzz = 1\n") };
            let whole = if name == "campaign.toml" {
                // A campaign's tables come in order, so the probe stands where the table begins.
                text.replace(&format!("[{table}]\n"), &probe)
            } else {
                probe.clone()
            };
            let keys = if name == "campaign.toml" {
                let error = Campaign::parse(&root().join("config/demo/x.toml"), &whole).expect_err(table).to_string();
                error.split('`').skip(3).step_by(2).map(str::to_owned).collect::<Vec<_>>()
            } else {
                keys_of(whole, &probe)
            };
            assert!(!keys.is_empty(), "{name} [{table}]");
            for key in keys {
                seen += 1;
                let written = text.lines().any(|line| {
                    line.trim_start_matches(['#', ':', ' ']).starts_with(&key)
                        || line.contains(&format!("[{key}"))
                        || line.contains(&format!("[[{key}"))
                        || line.contains(&format!(".{key}]"))
                });
                assert!(written, "{name} does not show [{table}] {key}");
            }
        }
    }
    assert!(seen > 30, "{seen} keys");
}

#[test]
fn what_init_writes_passes_check_with_an_input() {
    let desk = Desk::new();
    std::fs::copy(root().join("tests/data/eob/eob.parquet"), desk.path("eob.parquet")).expect("copied");
    let ran = desk.sealpost(&["check", "campaign.toml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("1000 rows looked at, 1000 would be sent"), "{ran:?}");
}
