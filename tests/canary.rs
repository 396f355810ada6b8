//! PHI rests sealed: a canary in every column is found nowhere but on the wire.

use crate::support::receivers::signal;
use crate::support::{Authority, Desk, Peer, Ran};
use engine::store::{Settings, Store};
use std::path::Path;
use std::time::{Duration, Instant};

const COLUMNS: [&str; 4] = ["first_name", "diagnosis", "claim_id", "amount"];

/// Every file under `folder`, read whole: the WAL, tables, RocksDB's own logs, everything.
fn octets_under(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            octets_under(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("readable")));
        }
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// A server that repeats the address in every refusal, as real ones do: by row, takes, defers or bounces.
fn echoing() -> Peer {
    Peer::start(|_, line| {
        line.greet(&["PIPELINING"]);
        let mut taken = false;
        loop {
            let said = line.hear();
            match said.get(..4).unwrap_or_default() {
                "RCPT" => {
                    let address = said.trim_start_matches("RCPT TO:").to_owned();
                    taken = address.contains("take");
                    line.say(&match address {
                        _ if taken => "250 ok\r\n".to_owned(),
                        _ if address.contains("wait") => format!("450 4.2.1 {address} is greylisted\r\n"),
                        _ => format!("550 5.1.1 {address} is unknown here\r\n"),
                    });
                }
                "DATA" if taken => {
                    line.say("354 go on\r\n");
                    line.content();
                    line.say("250 2.0.0 taken\r\n");
                }
                "DATA" => line.say("503 5.5.1 no valid recipients\r\n"),
                "QUIT" | "" => return,
                _ => line.say("250 ok\r\n"),
            }
        }
    })
}

fn canary(seed: u64, column: &str) -> String {
    let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id()).rotate_left(40);
    format!("kanari{random:016x}{column}").replace('_', "")
}

/// Rows whose every cell is a canary; some can't be rendered, some have no address, one is malformed, one a duplicate.
fn input(canaries: &[String], seed: u64) -> String {
    let mut csv = format!("email,{},when\n", COLUMNS.join(","));
    for (row, fate) in ["take", "wait", "bounce", "take", "wait", "bounce"].iter().enumerate() {
        let cells: Vec<_> = canaries.iter().map(|canary| format!("{canary}{row}")).collect();
        csv.push_str(&format!("{fate}{seed:016x}x{row}@mail.example,{},2024-01-01\n", cells.join(",")));
    }
    let cells = canaries.join(",");
    csv.push_str(&format!("take{seed:016x}@mail.example,{cells},{}\n", canary(seed, "nodate")));
    csv.push_str(&format!("kanari{seed:016x}nodomain@,{cells}8,2024-01-01\n"));
    csv.push_str(&format!("{cells}\n"));
    csv.push_str(&format!("take{seed:016x}@mail.example,{}0,2024-01-01\n", canaries.join("0,")));
    csv
}

#[test]
fn a_canary_in_every_column_is_found_nowhere_at_rest() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").subsec_nanos();
    let seed = u64::from(seed) | 1 << 40;
    let canaries: Vec<_> = COLUMNS.iter().map(|column| canary(seed, column)).collect();
    let peer = echoing();
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(peer.port, "");
    let campaign = desk.small(1, "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n");
    desk.write("small.csv", input(&canaries, seed).as_bytes());
    desk.write("small.hbs", b"{{first_name}} {{diagnosis}} {{claim_id}} {{amount}} {{date when}}\n");
    let text = std::fs::read_to_string(desk.path(&campaign)).expect("written");
    desk.write(&campaign, text.replace("key = \"id\"", "key = \"claim_id\"").as_bytes());

    let child = desk.spawn(&["send", &campaign, "--log", "trace"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let settled = || {
        let status = desk.sealpost(&["status", "--json"]).json();
        status["runs"][0]["deferred"] == 2 && status["runs"][0]["delivered"] == 2 && status["runs"][0]["bounced"] == 2
    };
    while !settled() {
        assert!(Instant::now() < deadline, "six rows were never tried");
        std::thread::sleep(Duration::from_millis(100));
    }
    signal(child.id(), "TERM");
    let sent: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(sent.code, 3, "two rows wait for five minutes: {sent:?}");
    let state = desk.sealpost(&["status", "--json"]).json()["runs"][0].clone();
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(
        report["deferred_reasons"],
        serde_json::json!([{"reason": "450 4.2.1", "class": "greylist", "rows": 2}]),
        "{report}"
    );
    for (count, rows) in [("delivered", 2), ("bounced", 2), ("deferred", 2), ("invalid", 3), ("duplicate", 1)] {
        assert_eq!(state[count], rows, "{count}: {state}");
    }
    let mut wanted = canaries;
    wanted.extend([format!("{seed:016x}"), canary(seed, "nodate"), "kanari".into()]);
    assert!(
        peer.said().iter().any(|said| contains(said.as_bytes(), &wanted[4])),
        "the wire has it, so the search can find it"
    );

    let mut places = Vec::new();
    octets_under(&desk.path("state"), &mut places);
    assert!(
        places.iter().any(|(name, octets)| name.ends_with(".log") && contains(octets, "small")),
        "the WAL is there and plain"
    );
    let talk = |args: &[&str]| {
        let ran = desk.sealpost(args);
        (args.join(" "), format!("{}{}", ran.stdout, ran.stderr).into_bytes())
    };
    places.push(("send".into(), format!("{}{}", sent.stdout, sent.stderr).into_bytes()));
    for args in [
        &["status", "--log", "trace"][..],
        &["report", &campaign, "--log", "trace"],
        &["report", &campaign, "--json"],
        &["report", &campaign, "--undeliverable", "--log", "trace"],
        &["report", &campaign, "--undeliverable", "--json"],
        &["check", &campaign, "--all", "--log", "trace"],
        &["send", &campaign, "--dry-run"],
    ] {
        places.push(talk(args));
    }
    let mut values = 0;
    Store::open(&desk.path("state"), &Settings::default())
        .and_then(|store| {
            store.everything(|family, key, value| {
                values += 1;
                places.push((format!("family {family}, a key"), key.to_vec()));
                places.push((format!("family {family}, a value"), value.to_vec()));
            })
        })
        .expect("the store opens");
    assert!(values >= 12, "ten rows, a manifest and keys: {values}");
    for (name, octets) in &places {
        for canary in &wanted {
            assert!(!contains(octets, canary), "{canary} in {name}: {}", String::from_utf8_lossy(octets));
        }
    }
    let letters = desk.sealpost(&["report", &campaign, "--undeliverable", "--plain"]).stdout;
    for canary in [&wanted[2], &wanted[4]] {
        assert!(contains(letters.as_bytes(), canary), "key and address of who bounced: {letters}");
    }
    let list = desk.sealpost(&["report", &campaign, "--list"]);
    assert!(contains(list.stdout.as_bytes(), &wanted[4]), "with the key, and only when asked: {list:?}");
}
