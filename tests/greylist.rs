//! A receiver that defers everything once.

use crate::support::{Desk, Mx, receivers::ledger, root};

const RETRY: &str = "[retry]\nfirst = \"1s\"\nlongest = \"2s\"\n";

#[test]
fn every_row_is_delivered_on_a_later_attempt() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--defer", "100"]);
    desk.machine(mx.port, RETRY);
    let campaign = desk.campaign("grey", &root().join("tests/data/eob/eob.parquet"), "", "");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64(), counts["deferred"].as_u64()), (0, Some(1267), Some(0)), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({"2": 1267}), "{report}");
    let totals = mx.totals();
    assert_eq!(
        (totals["accepted"].as_u64(), totals["twice"].as_u64(), totals["deferred"].as_u64()),
        (Some(1267), Some(0), Some(1267))
    );
    assert_eq!(ledger(&desk).len(), 1267);
}

#[test]
fn a_second_send_of_a_finished_run_sends_nothing() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--bounce", "20"]);
    desk.machine(mx.port, "");
    let campaign = desk.small(50, "");
    let (code, first) = desk.send(&campaign);
    assert_eq!(code, 0, "{first}");
    assert_eq!(first["delivered"].as_u64().unwrap() + first["bounced"].as_u64().unwrap(), 50);
    assert!(first["bounced"].as_u64() > Some(0));
    let again = desk.sealpost(&["send", &campaign, "--json"]);
    assert!(again.stderr.contains("was sent with this very input before"), "{again:?}");
    for count in ["rows", "delivered", "bounced", "waiting", "deferred", "in_doubt"] {
        assert_eq!(again.json()[count], first[count], "{count}");
    }
    let accepted = mx.totals()["accepted"].clone();
    assert_eq!(accepted, first["delivered"]);
    assert_eq!(desk.sealpost(&["send", &campaign, "--tolerate", "1"]).code, 1, "20 % undelivered is more than 1 %");
}
