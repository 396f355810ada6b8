//! Rows that wait for their turn, and don't fit memory or came from it.

use super::batch::Batch;
use super::codec::{self, encode_backlog, number, open_row, split_backlog};
use super::db::past;
use super::{Error, Family, Store};
use crate::mail::{Origin, Row, RunId};
use crate::secret::DataKey;
use std::borrow::{Borrow, BorrowMut};
use std::sync::atomic::Ordering;

impl Store {
    /// Reserves `count` turns and gives the first. They only grow, over all engines that ever worked here.
    pub fn turns(&self, count: u64) -> u64 {
        self.turns.fetch_add(count, Ordering::SeqCst)
    }

    /// Puts rows of one provider at the end of its backlog, in one write, and tells them where they stand. A row that stood
    /// elsewhere in the backlog leaves that place.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn spill<R: BorrowMut<Row>>(
        &self,
        run: RunId,
        provider: u64,
        rows: &mut [R],
        key: &DataKey,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        let first = self.turns(rows.len() as u64);
        for (turn, row) in (first..).zip(rows.iter().map(Borrow::borrow)) {
            if let Origin::Backlog { provider, turn } = row.origin {
                batch.delete(Family::Backlog, codec::key(run, &[provider, turn]));
            }
            batch.put(Family::Backlog, codec::key(run, &[provider, turn]), encode_backlog(row, run, key));
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.write(&batch, false)?;
        for (turn, row) in (first..).zip(rows.iter_mut()) {
            row.borrow_mut().origin = Origin::Backlog { provider, turn };
        }
        Ok(())
    }

    /// Up to `most` rows of a provider's backlog behind `after_turn`, in their order. They stay there until they are settled.
    ///
    /// # Errors
    /// The store can't be read, or a row does not open.
    pub fn unspill(
        &self,
        run: RunId,
        provider: u64,
        after_turn: u64,
        most: usize,
        key: &DataKey,
    ) -> Result<Vec<Row>, Error> {
        let Some(turn) = after_turn.checked_add(1) else { return Ok(Vec::new()) };
        let end = past(&codec::key(run, &[provider]));
        self.waiting(run, &codec::key(run, &[provider, turn]), end, most, key)
    }

    /// Up to `most` rows of all backlogs of `run` behind that (provider, turn), by provider and turn; `None` is the first.
    ///
    /// # Errors
    /// The store can't be read, or a row does not open.
    pub fn backlog_from(
        &self,
        run: RunId,
        after: Option<(u64, u64)>,
        most: usize,
        key: &DataKey,
    ) -> Result<Vec<Row>, Error> {
        let mut start =
            after.map_or_else(|| codec::key(run, &[]), |(provider, turn)| codec::key(run, &[provider, turn]));
        // The next key in the order of octets.
        start.extend(after.map(|_| 0));
        self.waiting(run, &start, past(&run.octets()), most, key)
    }

    fn waiting(&self, run: RunId, start: &[u8], end: Vec<u8>, most: usize, key: &DataKey) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.scan_range(Family::Backlog, start, end, |place, value| {
            if rows.len() == most {
                return Ok(false);
            }
            rows.push(row(run, place, value, key)?);
            Ok(true)
        })?;
        Ok(rows)
    }
}

fn row(run: RunId, place: &[u8], value: &[u8], key: &DataKey) -> Result<Row, Error> {
    let damaged = |ordinal| Error::Damaged { family: "backlog", run, ordinal };
    let (ordinal, sealed) = split_backlog(value).ok_or_else(|| damaged(0))?;
    let (provider, turn) = number(place, 1).zip(number(place, 2)).ok_or_else(|| damaged(ordinal))?;
    open_row(sealed, "backlog", run, ordinal, Origin::Backlog { provider, turn }, key).ok_or_else(|| damaged(ordinal))
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Settings};
    use super::*;
    use crate::clock::Timestamp;
    use crate::mail::{Address, Fields, Kind, Outcome};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const RUN: RunId = RunId(7);

    fn a_row(ordinal: u64) -> Row {
        Row {
            ordinal,
            to: Address::parse("ann@b.example").expect("an address"),
            fields: Fields::default(),
            attempts: 0,
            first_attempt: None,
            doubted: false,
            origin: Origin::Input,
        }
    }

    fn place(row: &Row) -> (u64, u64) {
        match row.origin {
            Origin::Backlog { provider, turn } => (provider, turn),
            Origin::Input => panic!("row {} stands nowhere", row.ordinal),
        }
    }

    fn ordinals(rows: &[Row]) -> Vec<u64> {
        rows.iter().map(|row| row.ordinal).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// Rows spill in groups to three providers, some of them twice: each provider gives them back in the order of their
        /// last arrival, chunk by chunk, and recovery finds every row once.
        #[test]
        fn rows_come_back_in_order_of_arrival(
            groups in proptest::collection::vec((0_u64..3, 1_usize..6, any::<bool>()), 1..20), chunk in 1_usize..7
        ) {
            let folder = tempfile::tempdir().expect("folder");
            let key = DataKey::new(&[9; 32]);
            let mut store = Store::open(folder.path(), &Settings::default()).expect("a store");
            let mut model: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let (mut next, mut before) = (0, Vec::<Row>::new());
            for (provider, count, again) in groups {
                let mut rows: Vec<Row> = (next + 1..=next + count as u64).map(a_row).collect();
                next += count as u64;
                if again {
                    let moved = ordinals(&before);
                    model.values_mut().for_each(|rows| rows.retain(|ordinal| !moved.contains(ordinal)));
                    rows.append(&mut before);
                }
                store.spill(RUN, provider, &mut rows, &key).expect("spilt");
                model.entry(provider).or_default().extend(ordinals(&rows));
                before = rows;
            }
            drop(store);
            store = Store::open(folder.path(), &Settings::default()).expect("again");
            for (provider, expected) in &model {
                let (mut found, mut after) = (Vec::new(), 0);
                loop {
                    let rows = store.unspill(RUN, *provider, after, chunk, &key).expect("readable");
                    let Some(last) = rows.last() else { break };
                    after = place(last).1;
                    found.extend(ordinals(&rows));
                }
                prop_assert_eq!(&found, expected);
            }
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let rows = store.backlog_from(RUN, after, chunk, &key).expect("readable");
                let Some(last) = rows.last() else { break };
                after = Some(place(last));
                all.extend(ordinals(&rows));
            }
            prop_assert_eq!(all, model.into_values().flatten().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_settled_row_leaves_the_place_where_it_stood_last() {
        let folder = tempfile::tempdir().expect("folder");
        let key = DataKey::new(&[9; 32]);
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let mut rows = [a_row(1), a_row(2)];
        store.spill(RUN, 3, &mut rows, &key).expect("spilt");
        store.spill(RUN, 4, &mut rows[..1], &key).expect("moved");
        assert_eq!(ordinals(&store.unspill(RUN, 3, 0, 9, &key).expect("readable")), [2]);
        let outcome = Outcome::new(Kind::Delivered, Timestamp(1), 1, "");
        store.settle(RUN, &rows[0], &Change::Ended(&outcome), &key).expect("settled");
        assert!(store.unspill(RUN, 4, 0, 9, &key).expect("readable").is_empty());
        assert!(store.unspill(RunId(8), 3, 0, 9, &key).expect("readable").is_empty());
        assert!(matches!(
            store.unspill(RUN, 3, 0, 9, &DataKey::new(&[1; 32])),
            Err(Error::Damaged { family: "backlog", ordinal: 2, .. })
        ));
    }
}
