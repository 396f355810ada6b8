//! A real Postfix and a real Exim take the real claims; dkimpy and OpenDKIM verify every signature.

use crate::support::receivers::cache;
use crate::support::{Authority, Debian, Desk, root};
use serde_json::Value;
use std::process::Command;

const CSV_TYPES: &str = r#"columns = { billed = "decimal", plan_paid = "decimal", you_owe = "decimal", birth_date = "date", service_date = "date", lines = "json" }"#;

/// Sends one file, from a machine with `more`, and gives what `verify.py` rendered of the maildir.
fn delivered(file: &str, columns: &str, more: &str) -> Value {
    let authority = Authority::new();
    let postfix = Debian::postfix(&authority);
    let desk = Desk::new();
    authority.write(&desk.path("ca.pem"));
    desk.machine(postfix.port, more);
    let name = file.replace('.', "-");
    let campaign = desk.campaign(&name, &root().join("tests/data/eob").join(file), columns, "");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64()), (0, Some(1267)), "{counts}");
    postfix.drain();
    let rendered = desk.path("rendered.json");
    let output = Command::new(cache().join("venv/bin/python"))
        .arg(root().join("tests/support/verify.py"))
        .arg(postfix.maildir())
        .args(["--expect", "1267", "--dns"])
        .arg(desk.dns())
        .arg("--render")
        .arg(&rendered)
        .output()
        .expect("the venv's Python runs; `make test` installs it");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(rendered).expect("rendered")).expect("JSON")
}

#[test]
fn csv_and_parquet_give_the_same_1267_verified_messages() {
    let from_csv = delivered("eob.csv", CSV_TYPES, "");
    let from_parquet = delivered("eob.parquet", "", "");
    assert_eq!(from_csv.as_object().map(serde_json::Map::len), Some(1267));
    assert!(from_csv == from_parquet, "the texts of the CSV and the Parquet run differ");
}

#[test]
fn exim_takes_them_too_and_opendkim_verifies() {
    let authority = Authority::new();
    let exim = Debian::exim(&authority);
    let desk = Desk::new();
    authority.write(&desk.path("ca.pem"));
    desk.machine(exim.port, "");
    let campaign = desk.campaign("eob", &root().join("tests/data/eob/eob.parquet"), "", "");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64()), (0, Some(1267)), "{counts}");
    exim.drain();
    let output = Command::new(cache().join("venv/bin/python"))
        .arg(root().join("tests/support/second_verifier.py"))
        .arg(exim.maildir())
        .args(["--expect", "1267", "--dns"])
        .arg(desk.dns())
        .output()
        .expect("the venv's Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let judged: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((judged["rsa"].as_u64(), judged["ed25519"].as_u64()), (Some(1267), Some(1267)));
}

/// The others' RSA signatures were made together, where this machine can.
#[test]
fn snappy_pages_of_version_2_are_delivered_too_with_signatures_made_one_by_one() {
    delivered("eob-snappy.parquet", "", "[signing]\ntogether = \"off\"\n");
}

/// A letter with everything: PDFs, an inline logo, two languages, and addresses in Devanagari and Greek by SMTPUTF8.
#[test]
fn statements_in_two_languages_to_addresses_in_three_scripts() {
    let authority = Authority::new();
    let postfix = Debian::postfix(&authority);
    let desk = Desk::new();
    authority.write(&desk.path("ca.pem"));
    desk.machine(postfix.port, "");
    let campaign = root().join("config/statement/statement.toml").display().to_string();
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64()), (0, Some(10)), "{counts}");
    postfix.drain();
    let python = cache().join("venv/bin/python");
    let judges = [
        Command::new(&python)
            .arg(root().join("tests/support/letters.py"))
            .arg("--delivered")
            .arg(postfix.maildir())
            .output(),
        Command::new(&python)
            .arg(root().join("tests/support/second_verifier.py"))
            .arg(postfix.maildir())
            .args(["--expect", "10", "--dns"])
            .arg(desk.dns())
            .output(),
    ];
    for output in judges {
        let output = output.expect("the venv's Python runs");
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
