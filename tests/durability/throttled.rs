//! A file in which most rows go to one slow site: the others don't wait for it, and memory does not grow with it.

use super::{adds_up, count};
use crate::support::process::{peak_memory, size_of, until};
use crate::support::{Desk, Lasting};
use std::time::{Duration, Instant};

const ROWS: u64 = 20_000;
const SLOW: u64 = 12_000;

/// Six rows in ten go to the slow site, the others to four quick ones.
fn recipient(row: u64) -> String {
    if row % 10 < 6 { format!("r{row}@slow.example") } else { format!("r{row}@quick{}.example", row % 4) }
}

/// One connection to each site: a reply of the slow one takes 200 ms, so it gets five messages a second.
fn machine(desk: &Desk, slow: &Lasting, quick: &Lasting) {
    let mut routes =
        format!("\"slow.example\" = {{ host = \"mx.slow.example\", address = \"127.0.0.1:{}\" }}\n", slow.port);
    for site in 0..4 {
        let host = format!("quick{site}.example");
        routes += &format!("\"{host}\" = {{ host = \"mx.{host}\", address = \"127.0.0.1:{}\" }}\n", quick.port);
    }
    desk.light_of(&format!(
        "[dns.static]\n{routes}[tls]\nroots = [\"slow.pem\", \"quick.pem\"]\n\
         [limits]\nconnections_per_provider = 1\nrows_in_memory = 1000\n"
    ));
}

#[test]
fn most_rows_for_a_slow_site_hold_up_nobody_else() {
    let desk = Desk::new();
    let slow = Lasting::named(&desk, "slow", &["--latency", "200ms"]);
    let quick = Lasting::named(&desk, "quick", &[]);
    machine(&desk, &slow, &quick);
    let campaign = desk.blast("throttled", (1..=ROWS).map(recipient), "");
    // A kilobyte a row, so that what is kept of eleven thousand would show.
    let wide = |row| format!("{},{}\n", recipient(row), "Ann ".repeat(256));
    let csv: String = std::iter::once("email,first_name\n".to_owned()).chain((1..=ROWS).map(wide)).collect();
    desk.write("throttled.csv", csv.as_bytes());

    let (since, mut journal) = (Instant::now(), quick.journal(&desk));
    let sender = desk.start(&["send", &campaign]);
    until("the quick sites' last message", || journal.count() as u64 == ROWS - SLOW);
    let took = since.elapsed();
    let (run, reached, memory) = (desk.run_of("throttled"), slow.accepted(&desk).len(), peak_memory(sender.id()));
    let size = size_of(&desk.path("state"));
    println!("8,000 quick rows in {took:.1?} with {reached} slow ones; {memory} MB of memory, {size} octets of state");
    assert!(took < Duration::from_secs(50) && reached < 500, "the quick sites waited for the slow one");
    assert_eq!(adds_up(&run), count(&run, "rows"));
    assert!(memory < 200, "{memory} MB");

    let name = run["run"].as_str().expect("its name");
    let cancelled = desk.sealpost(&["cancel", "--run", name]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let ran = sender.end();
    let (run, taken) = (desk.run_of("throttled"), slow.accepted(&desk));
    let left = size_of(&desk.path("state"));
    println!("cancelled: {left} octets of state; {run}");
    assert_eq!((adds_up(&run), &run["state"]), (ROWS, &"cancelled".into()), "{ran:?}");
    assert_eq!((count(&run, "delivered"), count(&run, "waiting")), (ROWS - SLOW + taken.len() as u64, 0), "{run}");
    assert!(size > 8 << 20, "nothing was spilled: {size} octets");
    // Outcomes and keys of 20,000 rows stay.
    assert!(left < 8 << 20, "the store is not small again: {left} octets");

    let order: Vec<u64> = taken.recipients.iter().map(|recipient| crate::support::lasting::row(recipient)).collect();
    // But for neighbours: two threads render.
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let apart = |(at, row): (usize, &u64)| sorted.partition_point(|other| other < row).abs_diff(at);
    let displaced = order.iter().enumerate().map(apart).max().unwrap_or(0);
    assert!(displaced <= 2, "a site's rows are sent in the file's order: {order:?}");
}
