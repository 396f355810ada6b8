//! What brings rows to a simulated engine: the reader, and the retry thread.

use super::case::{GLANCE, OneRun};
use super::plan::Blast;
use super::world::World;
use crate::mail::{Address, Fields, Origin, Row};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// The reader's part: rows of the input, in batches.
pub(super) async fn read(world: Arc<World>, run: Rc<OneRun>, number: usize, blast: Blast, rows: mpsc::Sender<Row>) {
    for (ordinal, domain) in (1..).zip(&blast.rows) {
        if run.halt.get() {
            return;
        }
        let to = format!("r{number}x{ordinal}@{}", world.plan.domains[*domain].name);
        let row = Row {
            ordinal,
            to: Address::parse(&to).expect("an address"),
            fields: Fields::default(),
            attempts: 0,
            first_attempt: None,
            doubted: false,
            origin: Origin::Input,
        };
        run.shared.settle.refuse(&[], ordinal);
        run.shared.settle.take_in_hand();
        pass_on(&run, row, &rows).await;
    }
    run.read_all.set(true);
}

/// The retry thread's part.
pub(super) async fn retry(run: Rc<OneRun>, rows: mpsc::Sender<Row>) {
    while !run.halt.get() {
        let due = if run.shared.hold.is_paused() { Vec::new() } else { run.shared.settle.take_due(8) };
        let idle = due.is_empty();
        run.due.set(run.due.get() + due.len() as u64);
        for row in due {
            pass_on(&run, row, &rows).await;
        }
        if idle {
            sleep(GLANCE).await;
        }
    }
}

async fn pass_on(run: &OneRun, row: Row, rows: &mpsc::Sender<Row>) {
    if rows.send(row).await.is_err() {
        run.shared.settle.let_go();
    }
}
