//! Decides whether a row may get its message: is the address valid, is the key new?
//!
//! Comes in: a batch from the loader. Goes next: admitted rows to `route`, the others to the store as outcomes with reasons.
//! Promise: of the rows with one key, the first in file order is admitted and no other.

use crate::clock::Timestamp;
use crate::mail::{Address, Fields, Kind, Origin, Outcome, Row};
use loader::Batch;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What the gate asks of a row.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The column with the address.
    pub recipient: String,
    /// The column that makes a row unique.
    pub key: String,
}

/// Stands between the loader and everything else; one a run.
pub struct Gate {
    rules: Rules,
    /// SHA-256 of each key seen, cut to 16 octets: two keys of ten million meet with a chance below 10⁻²⁴.
    seen: HashSet<u128>,
}

/// One row's verdict.
#[derive(Debug)]
pub enum Verdict {
    /// It may get its message.
    Admitted(Row),
    /// It ends here.
    Refused(u64, Outcome),
}

impl Gate {
    /// A gate that has seen no row.
    pub fn new(rules: Rules) -> Gate {
        Gate { rules, seen: HashSet::new() }
    }

    /// Judges every row of `batch`, in order.
    pub fn judge(&mut self, batch: &Batch, now: Timestamp) -> Vec<Verdict> {
        let mut rejects = batch.rejects.iter().peekable();
        (0..batch.len())
            .map(|index| {
                let ordinal = batch.first + index as u64;
                match rejects.next_if(|reject| reject.index == index) {
                    Some(reject) => refused(ordinal, now, Kind::Invalid, "malformed_row", &reject.to_string()),
                    None => self.row(ordinal, batch.row(index), now),
                }
            })
            .collect()
    }

    fn row(&mut self, ordinal: u64, fields: Map<String, Value>, now: Timestamp) -> Verdict {
        let invalid = |reason, text: &str| refused(ordinal, now, Kind::Invalid, reason, text);
        let column = &self.rules.recipient;
        let to = match fields.get(column).and_then(Value::as_str) {
            None => return invalid("no_address", &format!("column \"{column}\" has no value")),
            Some(text) => match Address::parse(text) {
                Ok(address) => address,
                Err(fault) => return invalid("bad_address", &format!("column \"{column}\": the address {fault}")),
            },
        };
        let key = fields.get(&self.rules.key).filter(|key| key.as_str().is_none_or(|text| !text.trim().is_empty()));
        let Some(key) = key.map(digest) else {
            return invalid("no_key", &format!("column \"{}\" has no value", self.rules.key));
        };
        if !self.seen.insert(key) {
            let text = format!("column \"{}\": an earlier row has the same key", self.rules.key);
            return refused(ordinal, now, Kind::Duplicate, "same_key", &text);
        }
        let fields = Fields(fields);
        Verdict::Admitted(Row { ordinal, to, fields, attempts: 0, first_attempt: None, origin: Origin::Input })
    }
}

fn refused(ordinal: u64, now: Timestamp, kind: Kind, reason: &str, text: &str) -> Verdict {
    let mut outcome = Outcome::new(kind, now, 0, reason);
    text.clone_into(&mut outcome.text);
    Verdict::Refused(ordinal, outcome)
}

fn digest(key: &Value) -> u128 {
    let text = match key {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    u128::from_be_bytes(digest.as_ref()[..16].try_into().expect("SHA-256 has 32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_refusal_has_its_reason() {
        let content = "id,email\n1,ann@b.example\n2,\n3,ann\n4,ann@\n1,bob@b.example\n,bob@b.example\n5\n6,bob@b.example\n \t,bob@b.example\n";
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("file");
        file.write_all(content.as_bytes()).expect("write");
        let batch =
            loader::open(&loader::Spec::new(file.path())).expect("opens").next().expect("a batch").expect("reads");
        let mut gate = Gate::new(Rules { recipient: "email".into(), key: "id".into() });
        let found: Vec<_> = gate
            .judge(&batch, Timestamp(0))
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Admitted(row) => (row.ordinal, "admitted".to_owned()),
                Verdict::Refused(ordinal, outcome) => (ordinal, format!("{} {}", outcome.kind, outcome.reason)),
            })
            .collect();
        let expected = [
            (1, "admitted"),
            (2, "invalid no_address"),
            (3, "invalid bad_address"),
            (4, "invalid bad_address"),
            (5, "duplicate same_key"),
            (6, "invalid no_key"),
            (7, "invalid malformed_row"),
            (8, "admitted"),
            (9, "invalid no_key"),
        ];
        assert_eq!(found, expected.map(|(ordinal, text)| (ordinal, text.to_owned())));
    }
}
