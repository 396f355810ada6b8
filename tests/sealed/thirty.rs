//! A blast to sites of all kinds, a third of which can't do what is demanded.

use super::case::End;
use super::stage::{Stage, campaign, domain, listed};
use super::table::{VERIFIED, thirty};
use crate::support::Desk;
use std::collections::BTreeMap;

const ROWS: usize = 50_000;
const SECRETS: [&str; 4] = ["MAIL FROM", "RCPT TO", "kanari", "a letter of sorts"];

#[test]
fn what_cannot_be_sealed_is_dropped_listed_and_seen_by_nobody() {
    let stage = Stage::set(thirty());
    let sites = &stage.cases;
    assert_eq!(sites.len(), 30);
    let desk = Desk::new();
    stage.equip(&desk, "before");
    let changing = sites.iter().filter(|case| case.changes()).map(|case| format!("early@{}", domain(case)));
    let before = campaign(&desk, "before", changing, "");
    assert_eq!(desk.send(&before).1["delivered"], 1);
    stage.turn();

    let recipients = (0..ROWS).map(|row| format!("kanari{row}@{}", domain(sites[row % sites.len()])));
    let campaign = campaign(&desk, "blast", recipients, "tls = \"verified\"\nexclusive = true\nlifetime = \"10m\"");
    stage.equip(&desk, "probe");
    let forecast = desk.sealpost(&["check", &campaign, "--probe", "--json"]).json()["forecast"].clone();
    stage.equip(&desk, "blast");
    let (code, counts) = desk.send(&campaign);
    assert_eq!(code, 0, "{counts}");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let listed = listed(&desk, &campaign);
    for row in 0..ROWS {
        let (case, became) = (sites[row % sites.len()], listed.get(&(row + 1)));
        let (End::AtOnce(reason) | End::Confirmed(reason)) = case.ends[VERIFIED] else {
            assert_eq!(became, None, "row {row}, {}", case.peer);
            continue;
        };
        let became = became.unwrap_or_else(|| panic!("row {row} is not listed, {}", case.peer));
        let became = (became["outcome"].as_str(), became["reason"].as_str());
        assert_eq!(became, (Some("dropped"), Some(reason)), "row {row}, {}", case.peer);
        *reasons.entry(reason).or_default() += 1;
    }
    let dropped: usize = reasons.values().sum();
    assert_eq!((&counts["rows"], &counts["dropped"]), (&ROWS.into(), &dropped.into()), "{counts}");
    assert_eq!(counts["delivered"], ROWS - dropped, "{counts}");
    assert_eq!(reasons.len(), 8, "{reasons:?}");
    // Not within 1 %, but to the row.
    let foreseen = (&forecast["rows"], &forecast["dropped"], &forecast["able"]);
    assert_eq!(foreseen, (&counts["rows"], &counts["dropped"], &counts["delivered"]), "{forecast}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    let mut counted = report["reasons"].as_array().expect("a list").clone();
    counted.retain(|one| one["outcome"] != "delivered");
    assert_eq!(counted.len(), reasons.len(), "{report}");
    for one in counted {
        assert_eq!(one["rows"], reasons[one["reason"].as_str().expect("text")], "{one}");
    }
    for case in sites {
        let view = stage.seen(case).of("blast.acme-health.example");
        // Who is not named by the policy is not even asked.
        assert_eq!(view.sessions > 0, case.ends[VERIFIED] != End::Confirmed("sts_mismatch"), "{}", case.peer);
        assert_eq!(view.in_clear(&SECRETS), Vec::<&str>::new(), "{}", case.peer);
        let all = if case.ends[VERIFIED] == End::Tls { SECRETS.to_vec() } else { Vec::new() };
        assert_eq!(view.in_tls(&SECRETS), all, "{}", case.peer);
    }
}
