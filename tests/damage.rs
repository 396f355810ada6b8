//! State directories that can't be read: never an all-clear.

use crate::support::{Desk, Mx};
use std::fs;
use std::path::PathBuf;

/// A desk that has sent five rows, and reads them back from tables.
fn sent() -> (Desk, Mx, String) {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(5, "");
    // Each start writes the log of the one before into tables.
    for code in [3, 3, 0] {
        assert_eq!(desk.sealpost(&["send", &campaign, "--limit", "2"]).code, code);
    }
    (desk, mx, campaign)
}

fn tables(desk: &Desk) -> Vec<PathBuf> {
    let files = fs::read_dir(desk.path("state/db")).expect("a folder").map(|file| file.expect("a file").path());
    files.filter(|file| file.extension().is_some_and(|ending| ending == "sst")).collect()
}

/// Whoever asks is told which folder can't be read, and what to do.
fn refused(desk: &Desk, campaign: &str) {
    let commands: [&[&str]; 5] =
        [&["status"], &["status", "--json"], &["doubt", "list"], &["report", campaign], &["send", campaign]];
    for args in commands {
        let ran = desk.sealpost(args);
        assert_eq!((ran.code, &*ran.stdout), (70, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("state/db"), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("hint: restore the state directory from a backup"), "{args:?}: {ran:?}");
    }
}

#[test]
fn a_store_without_current_is_damaged_and_not_new() {
    let (desk, mx, campaign) = sent();
    fs::remove_file(desk.path("state/db/CURRENT")).expect("removed");
    let before = tables(&desk).len();
    refused(&desk, &campaign);
    assert!(before > 0 && tables(&desk).len() == before, "what is left was touched");
    fs::remove_dir_all(desk.path("state/db")).expect("removed");
    refused(&desk, &campaign);
    drop(mx);
}

#[test]
fn a_store_with_a_table_cut_short_is_damaged_and_not_empty() {
    let (desk, mx, campaign) = sent();
    let tables = tables(&desk);
    let cut = |table: &PathBuf| {
        let whole = fs::read(table).expect("readable");
        fs::write(table, &whole[..whole.len() / 2]).expect("written");
        whole
    };
    // Whatever table it is: RocksDB opens a few at its start.
    for table in &tables {
        let whole = cut(table);
        let ran = desk.sealpost(&["send", &campaign]);
        assert_eq!(ran.code, 70, "{ran:?}");
        fs::write(table, &whole).expect("written");
    }
    let table = tables.first().expect("a table");
    let whole = cut(table);
    refused(&desk, &campaign);
    fs::remove_file(table).expect("removed");
    refused(&desk, &campaign);
    fs::write(table, &whole).expect("written");
    assert_eq!(desk.status()["runs"][0]["delivered"], 5, "and whole again it is read");
    drop(mx);
}

#[test]
fn a_state_directory_that_is_a_file_is_refused_with_a_hint() {
    let desk = Desk::new();
    desk.machine(9, "");
    let campaign = desk.small(1, "");
    desk.write("state", b"");
    for args in [&["status"][..], &["doubt", "list"], &["send", &campaign]] {
        let ran = desk.sealpost(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("hint: state_dir of sealpost.toml must name a folder"), "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("warning"), "{args:?}: {ran:?}");
    }
}
