//! Bad input: a clear error that names the place and says what to do, or an outcome that says what was wrong with the row.

use crate::support::{Desk, Mx, root};
use std::os::unix::fs::PermissionsExt;

/// A desk with a good campaign of three rows.
fn desk() -> (Desk, String) {
    let desk = Desk::new();
    std::fs::write(desk.path("ca.pem"), "").expect("written");
    std::fs::remove_file(desk.path("ca.pem")).expect("removed");
    desk.machine(9, "");
    let campaign = desk.small(3, "");
    (desk, campaign)
}

/// `check` and `send` both refuse with 2 and say all of `words`; nothing was made in the state directory.
fn refused(desk: &Desk, campaign: &str, words: &[&str]) {
    for command in ["check", "send"] {
        let ran = desk.sealpost(&[command, campaign]);
        assert_eq!(ran.code, 2, "{command}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{command}: no \"{word}\" in {}", ran.stderr);
        }
    }
}

/// The campaign file with `from` replaced by `to`.
fn edited(desk: &Desk, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(desk.path(file)).expect("there");
    assert!(text.contains(from), "{from} is not in {file}");
    desk.write(file, text.replace(from, to).as_bytes());
}

#[test]
fn unknown_config_key() {
    let (desk, campaign) = desk();
    edited(&desk, &campaign, "recipient =", "recipeint =");
    refused(&desk, &campaign, &["small.toml:6", "unknown field `recipeint`", "hint: did you mean `recipient`?"]);
    let (desk, campaign) = self::desk();
    edited(&desk, "sealpost.toml", "state_dir", "statedir");
    refused(&desk, &campaign, &["sealpost.toml:2", "unknown field `statedir`", "did you mean `state_dir`?"]);
}

#[test]
fn missing_field_and_no_such_file() {
    let (desk, campaign) = desk();
    edited(&desk, &campaign, "key = \"id\"\n", "");
    refused(&desk, &campaign, &["small.toml", "missing field `key`"]);
    refused(&desk, "none.toml", &["none.toml: can't be read", "hint:"]);
    let (desk, campaign) = self::desk();
    edited(&desk, &campaign, "small.csv", "gone.csv");
    refused(&desk, &campaign, &["gone.csv: No such file", "relative to the campaign file"]);
    let (desk, campaign) = self::desk();
    edited(&desk, &campaign, "html = \"small.hbs\"", "html = \"gone.hbs\"");
    refused(&desk, &campaign, &["small.toml:12: template", "gone.hbs"]);
}

#[test]
fn missing_column() {
    let (desk, campaign) = desk();
    edited(&desk, &campaign, "recipient = \"email\"", "recipient = \"mail\"");
    refused(
        &desk,
        &campaign,
        &["[input] recipient names column \"mail\"", "small.csv does not have", "did you mean \"email\"?"],
    );
    let (desk, campaign) = self::desk();
    edited(&desk, &campaign, "key = \"id\"", "key = \"id\"\ncolumns = { age = \"int\" }");
    refused(&desk, &campaign, &["has no column \"age\" (declared as int)", "its columns are: id, email, first_name"]);
}

#[test]
fn template_that_names_no_column() {
    let (desk, campaign) = desk();
    desk.write("small.hbs", b"Hello\n{{fist_name}}.\n");
    refused(&desk, &campaign, &["small.hbs:2: there is no column \"fist_name\"", "did you mean \"first_name\"?"]);
    desk.write("small.hbs", b"Hello\n\n{{#if first_name}}.\n");
    refused(&desk, &campaign, &["small.hbs:", "template does not compile"]);
}

#[test]
fn phi_in_the_subject() {
    let (desk, campaign) = desk();
    edited(&desk, &campaign, "A notice", "For {{first_name}}");
    refused(&desk, &campaign, &["small.toml:11", "column \"first_name\" is PHI", "public = [\"first_name\"]"]);
}

#[test]
fn marketing_waits_for_its_gate() {
    let (desk, campaign) = desk();
    edited(&desk, &campaign, "transactional", "marketing");
    refused(&desk, &campaign, &["small.toml:3", "class = \"marketing\" is not supported yet", "hint:"]);
}

#[test]
fn contradictions() {
    for (more, word) in [
        ("[transport]\ntls = \"opportunistic\"\nexclusive = true\n", "exclusive = true is not possible"),
        ("[transport]\ndrop_brake = 10\n", "drop_brake must be a share from 0 up to 1"),
        ("[transport]\ndrop_brake = \"none\"\n", "drop_brake must be a share from 0 up to 1"),
        ("[transport]\nlifetime = \"soon\"\n", "\"soon\" is no time span"),
        ("[transport]\nlifetime = \"0s\"\n", "longer than nothing"),
        ("[transport]\ntls = \"strong\"\n", "unknown variant `strong`"),
        ("[message.headers]\nBcc = \"x\"\n", "header \"Bcc\" can't be set here"),
    ] {
        let (desk, campaign) = desk();
        let text = std::fs::read_to_string(desk.path(&campaign)).expect("there");
        desk.write(&campaign, (text + more).as_bytes());
        refused(&desk, &campaign, &["small.toml:1", word]);
    }
}

#[test]
fn key_files() {
    let (desk, campaign) = desk();
    std::fs::set_permissions(desk.path("keys/s1.pem"), std::fs::Permissions::from_mode(0o644)).expect("chmod");
    refused(&desk, &campaign, &["keys/s1.pem: others can read this key file (mode 0644)", "hint: chmod 600"]);
    std::fs::remove_file(desk.path("keys/s1.pem")).expect("removed");
    refused(&desk, &campaign, &["keys/s1.pem: No such file", "sealpost init"]);
    let (desk, campaign) = self::desk();
    std::fs::copy(desk.path("keys/s2.pem"), desk.path("keys/s1.pem")).expect("copied");
    refused(&desk, &campaign, &["keys/s1.pem: is not an RSA key"]);
    let (desk, campaign) = self::desk();
    std::fs::set_permissions(desk.path("sealpost-master.key"), std::fs::Permissions::from_mode(0o604)).expect("chmod");
    refused(&desk, &campaign, &["sealpost-master.key: others can read", "chmod 600"]);
    let (desk, campaign) = self::desk();
    desk.write("sealpost-master.key", b"hello\n");
    refused(&desk, &campaign, &["sealpost-master.key: is no master key"]);
}

#[test]
fn another_master_key() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(3, "");
    assert_eq!(desk.send(&campaign).0, 0);
    let other = Desk::new();
    std::fs::copy(other.path("sealpost-master.key"), desk.path("sealpost-master.key")).expect("copied");
    let campaign = desk.small(4, "");
    let ran = desk.sealpost(&["send", &campaign]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the master key does not open this state directory's keys"), "{ran:?}");
}

#[test]
fn files_that_stop_a_run_before_it_starts() {
    let whole = std::fs::read(root().join("tests/data/eob/eob.parquet")).expect("there");
    let cases: [(&str, &[u8], &[&str]); 8] = [
        ("x.csv", b"", &["x.csv: is empty", "hint:"]),
        ("x.csv", b"id,email,first_name\n", &["x.csv: has a header and no rows"]),
        ("x.csv", b"id,email,\n1,2,3\n", &["column 3 of its header has no name", "is the delimiter right"]),
        ("x.csv", b"id,email,id\n1,2,3\n", &["two columns named \"id\""]),
        ("x.csv", b"id;email;first_name\n1;2;3\n", &["names column \"email\"", "its columns are: id;email;first_name"]),
        ("x.dat", b"id\n1\n", &["can't tell its format from its name", "format = \"csv\""]),
        ("x.parquet", &whole[..whole.len() / 2], &["x.parquet: is not a whole Parquet file", "cut short"]),
        ("x.parquet", b"id,email\n", &["x.parquet: is not a whole Parquet file"]),
    ];
    for (name, content, words) in cases {
        let (desk, campaign) = desk();
        desk.write(name, content);
        edited(&desk, &campaign, "small.csv", name);
        refused(&desk, &campaign, words);
    }
    let (desk, campaign) = self::desk();
    std::fs::create_dir(desk.path("x.csv")).expect("made");
    edited(&desk, &campaign, "small.csv", "x.csv");
    refused(&desk, &campaign, &["x.csv: is a directory, not a file", "hint:"]);
}

#[test]
fn malformed_rows_are_invalid_with_their_reason_and_the_others_are_sent() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(1, "");
    // Without it a file that isn't UTF-8 from its beginning is refused as a whole.
    edited(&desk, &campaign, "[input]\n", "[input]\nencoding = \"utf-8\"\n");
    let mut csv = b"id,email,first_name\n1,ann@mail.example,Ann\n2,bob@mail.example\n3,cy\xff@mail.example,Cy\n4,dan@,Dan\n5,,Eve\n6,flo@mail.example,\n7,g@mail.example,".to_vec();
    csv.resize(csv.len() + (10 << 20), b'x');
    csv.extend_from_slice(b"\n1,hal@mail.example,Hal\n9,ida@mail.example,Ida\n");
    desk.write("small.csv", &csv);
    let (code, counts) = desk.send(&campaign);
    assert_eq!(
        (code, &counts["rows"], &counts["delivered"], &counts["invalid"], &counts["duplicate"]),
        (0, &9.into(), &2.into(), &6.into(), &1.into()),
        "{counts}"
    );
    let list = desk.sealpost(&["report", &campaign, "--list"]).stdout;
    for line in [
        "row 2: invalid: malformed_row line 3: has 2 fields where the header has 3",
        "row 3: invalid: malformed_row line 4, column \"email\": is not UTF-8 text",
        "row 4: invalid: bad_address column \"email\": the address has no domain",
        "row 5: invalid: no_address column \"email\" has no value",
        "row 6: invalid: missing_field template text, line 1: first_name has no value",
        "row 7: invalid: malformed_row line 8: is longer than",
        "row 8: duplicate: same_key column \"id\": an earlier row has the same key",
    ] {
        assert!(list.contains(line), "no \"{line}\" in\n{list}");
    }
    let checked = desk.sealpost(&["check", &campaign]);
    assert_eq!(checked.code, 0);
    assert!(checked.stdout.contains("9 rows looked at, 2 would be sent"), "{checked:?}");
}

#[test]
fn a_parquet_file_damaged_inside_keeps_what_was_accepted() {
    let mut content = std::fs::read(root().join("tests/data/eob/eob.parquet")).expect("there");
    // The last of five row groups; the footer is whole.
    let last = content.len() - 20_000;
    content[last..last + 4000].fill(0);
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    desk.write("damaged.parquet", &content);
    let campaign = desk.campaign("damaged", &desk.path("damaged.parquet"), "", "");
    let ran = desk.sealpost(&["send", &campaign]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("damaged.parquet: is not a whole Parquet file"), "{ran:?}");
    let status = desk.sealpost(&["status", "--json"]).json();
    let delivered = status["runs"][0]["delivered"].as_u64().expect("a count");
    assert_eq!(mx.totals()["accepted"].as_u64(), Some(delivered), "what was accepted is recorded: {status}");
    assert_eq!(delivered, 1024, "what was read before the damage is sent: {status}");
}

#[test]
fn no_configuration() {
    let (desk, campaign) = desk();
    std::fs::remove_file(desk.path("sealpost.toml")).expect("removed");
    refused(&desk, &campaign, &["no sealpost.toml here", "sealpost init"]);
}
