//! Decides whether a row may get its message: is the address valid, is the key new?
//!
//! Comes in: a batch from the loader. Goes next: admitted rows to `route`, the others to the store as outcomes with reasons.
//! Promise: of the rows with one key, the first in file order is admitted and no other; over runs of a campaign, a key that
//! was delivered, is in doubt or still waits is not admitted again ([`Sent`]).

mod keys;
mod sent;

pub use keys::{Claim, Keys, Seen};
pub use sent::Sent;

use crate::clock::Timestamp;
use crate::mail::{Address, Fields, Kind, Origin, Outcome, Row};
use crate::store::Error;
use loader::Batch;
use serde_json::{Map, Value};
use std::ops::Range;

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
    keys: Box<dyn Keys + Send>,
}

/// One row's verdict.
#[derive(Debug)]
pub enum Verdict {
    /// It may get its message.
    Admitted(Row),
    /// It ends here.
    Refused(u64, Outcome),
    /// It came by before: the store knows what became of it.
    Known(u64),
}

impl Gate {
    /// A gate of these rules, that asks `keys` which were taken.
    pub fn new(rules: Rules, keys: Box<dyn Keys + Send>) -> Gate {
        Gate { rules, keys }
    }

    /// Judges these rows of `batch`, in order; rows that are `known` are not looked at. Keys of admitted rows are taken: rows
    /// that there is no room for must not be brought here.
    ///
    /// # Errors
    /// The store of keys fails.
    pub fn judge(
        &mut self,
        batch: &Batch,
        rows: Range<usize>,
        now: Timestamp,
        known: impl Fn(u64) -> bool,
    ) -> Result<Vec<Verdict>, Error> {
        let start = rows.start;
        let mut rejects = batch.rejects.iter().skip_while(|reject| reject.index < start).peekable();
        let mut candidates = Vec::with_capacity(rows.len());
        for index in rows {
            let ordinal = batch.first + index as u64;
            let reject = rejects.next_if(|reject| reject.index == index);
            candidates.push(match reject {
                _ if known(ordinal) => Candidate::Judged(Verdict::Known(ordinal)),
                Some(reject) => {
                    Candidate::Judged(refused(ordinal, now, Kind::Invalid, "malformed_row", &reject.to_string()))
                }
                None => self.row(ordinal, batch.row(index), now),
            });
        }
        let asked: Vec<_> = candidates.iter().filter_map(Candidate::key).collect();
        let mut claims = self.keys.claim(&asked, now)?.into_iter();
        let verdict = |candidate| match candidate {
            Candidate::Judged(verdict) => verdict,
            Candidate::Keyed(row, _) => self.claimed(row, claims.next().unwrap_or(Claim::New), now),
        };
        Ok(candidates.into_iter().map(verdict).collect())
    }

    fn row(&self, ordinal: u64, fields: Map<String, Value>, now: Timestamp) -> Candidate {
        let invalid = |reason, text: &str| Candidate::Judged(refused(ordinal, now, Kind::Invalid, reason, text));
        let column = &self.rules.recipient;
        let to = match fields.get(column).and_then(Value::as_str) {
            None => return invalid("no_address", &format!("column \"{column}\" has no value")),
            Some(text) => match Address::parse(text) {
                Ok(address) => address,
                Err(fault) => return invalid("bad_address", &format!("column \"{column}\": the address {fault}")),
            },
        };
        let key = match fields.get(&self.rules.key) {
            Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
            None | Some(Value::Null | Value::String(_)) => {
                return invalid("no_key", &format!("column \"{}\" has no value", self.rules.key));
            }
            Some(other) => other.to_string(),
        };
        let fields = Fields(fields);
        let row = Row { ordinal, to, fields, attempts: 0, first_attempt: None, doubted: false, origin: Origin::Input };
        Candidate::Keyed(row, key)
    }

    fn claimed(&self, row: Row, claim: Claim, now: Timestamp) -> Verdict {
        let (reason, what) = match claim {
            Claim::New => return Verdict::Admitted(row),
            Claim::Taken => ("same_key", "an earlier row has the same key"),
            Claim::Sent => ("sent_before", "another run of this campaign sent to the same key, or is about to"),
        };
        refused(row.ordinal, now, Kind::Duplicate, reason, &format!("column \"{}\": {what}", self.rules.key))
    }
}

/// A row on its way through the gate.
enum Candidate {
    Judged(Verdict),
    /// All is well but for its key, which must be asked about.
    Keyed(Row, String),
}

impl Candidate {
    fn key(&self) -> Option<(u64, &str)> {
        match self {
            Candidate::Judged(_) => None,
            Candidate::Keyed(row, key) => Some((row.ordinal, key)),
        }
    }
}

fn refused(ordinal: u64, now: Timestamp, kind: Kind, reason: &str, text: &str) -> Verdict {
    let mut outcome = Outcome::new(kind, now, 0, reason);
    text.clone_into(&mut outcome.text);
    Verdict::Refused(ordinal, outcome)
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
        let rules = Rules { recipient: "email".into(), key: "id".into() };
        let mut gate = Gate::new(rules, Box::new(Seen::default()));
        let found: Vec<_> = gate
            .judge(&batch, 0..batch.len(), Timestamp(0), |ordinal| ordinal == 2)
            .expect("judged")
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Admitted(row) => (row.ordinal, "admitted".to_owned()),
                Verdict::Known(ordinal) => (ordinal, "known".to_owned()),
                Verdict::Refused(ordinal, outcome) => (ordinal, format!("{} {}", outcome.kind, outcome.reason)),
            })
            .collect();
        let expected = [
            (1, "admitted"),
            (2, "known"),
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
