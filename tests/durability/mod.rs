//! Nothing lost, nothing twice: whatever dies, stops, fills up or is copied. The receiver's ledger is the judge.

mod copies;
mod disk;
mod doubt;
mod kill;
mod nights;
mod power;
mod serving;
mod silence;
mod stopping;
mod throttled;
mod together;

use crate::support::lasting::Accepted;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every way in which a row stands or ends.
const STANDINGS: [&str; 12] = [
    "delivered",
    "bounced",
    "dropped",
    "expired",
    "suppressed",
    "withheld",
    "duplicate",
    "invalid",
    "cancelled",
    "waiting",
    "deferred",
    "in_doubt",
];

/// A count of a run.
fn count(run: &Value, name: &str) -> u64 {
    run[name].as_u64().unwrap_or_else(|| panic!("no count \"{name}\": {run}"))
}

/// Rows read are the sum of how they stand. Gives the number of rows.
fn adds_up(run: &Value) -> u64 {
    let sum: u64 = STANDINGS.iter().map(|name| count(run, name)).sum();
    assert_eq!(count(run, "rows"), sum, "the accounts don't add up: {run}");
    sum
}

/// `r1@mail.example` and so on.
fn people(rows: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = String> {
    rows.map(|row| format!("r{row}@mail.example"))
}

/// Nothing is twice, and each accepted row is known as delivered or listed in doubt: none waits to be sent again.
fn no_accepted_row_waits(accepted: &Accepted, in_doubt: &BTreeSet<u64>, run: &Value) {
    assert_eq!((accepted.len(), accepted.ids_twice()), (accepted.people(), 0), "somebody got it twice: {run}");
    let settled = accepted.rows(1).difference(in_doubt).count() as u64;
    assert_eq!(settled, count(run, "delivered"), "accepted and not in doubt, or delivered and not accepted: {run}");
    assert_eq!(in_doubt.len() as u64, count(run, "in_doubt"), "counted and listed differ: {run}");
}
