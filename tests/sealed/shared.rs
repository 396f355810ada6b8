//! Domains of one MX host with policies of their own.

use super::papers::Issuer;
use super::policies::Policies;
use super::receiver::{StartTls, listen};
use super::stage::{campaign, listed, machine};
use crate::support::process::until;
use crate::support::{Desk, Ran, Signed, World, free_port};
use std::net::SocketAddr;

/// Domains of `open`, and what their policies name: two mean the host, each in its way, and one another host.
const DOMAINS: [(&str, &str); 3] =
    [("one", "mx.shared.open"), ("two", "*.shared.open"), ("three", "mx.elsewhere.open")];
/// Rows of each.
const ROWS: usize = 40;

#[test]
fn a_policy_that_does_not_match_holds_up_its_own_domain_alone() {
    let (ca, desk) = (Issuer::new("Test CA"), Desk::new());
    let (https, smtp) = (SocketAddr::from(([127, 0, 0, 1], free_port())), free_port());
    let domains = DOMAINS.map(|(domain, _)| format!("{domain}.open"));
    let policies =
        Policies::start(https, &ca.papers(&domains.each_ref().map(|domain| format!("mta-sts.{domain}")), 2100));
    let mut zone = "mx.shared A 127.1.1.1\n".to_owned();
    for (domain, mx) in DOMAINS {
        zone.push_str(&format!("{domain} MX 10 mx.shared\n_mta-sts.{domain} TXT \"v=STSv1; id=1;\"\n"));
        policies.serve(&format!("{domain}.open"), "enforce", mx);
    }
    let world = World::start(&[("open", Signed::No, &zone)]);
    let papers = ca.papers(&["mx.shared.open".to_owned()], 2100);
    let seen = listen(SocketAddr::from(([127, 1, 1, 1], smtp)), StartTls::Offered, papers.server());
    ca.write(&desk.path("ca.pem"));
    desk.light_of(&format!("{}exclusive_confirm = \"8s\"\n", machine(&world, &domains, https, smtp)));

    // Turn by turn, so that rows of all domains wait together.
    let recipients = (0..ROWS).flat_map(|row| DOMAINS.map(|(domain, _)| format!("r{row}@{domain}.open")));
    let campaign = campaign(&desk, "turns", recipients, "tls = \"verified\"\nexclusive = true\nlifetime = \"60s\"");
    let run = desk.spawn(&["send", &campaign, "--json"]);
    until("one domain waits and the others have got theirs", || {
        let report = desk.sealpost(&["report", &campaign, "--json"]);
        report.code == 0 && {
            let report = report.json();
            let waits = serde_json::json!([{"reason": "sts_mismatch", "rows": ROWS}]);
            let found = report["deferred_reasons"].as_array().into_iter().flatten();
            let found: Vec<_> =
                found.map(|one| serde_json::json!({"reason": one["reason"], "rows": one["rows"]})).collect();
            report["delivered"] == 2 * ROWS && serde_json::Value::from(found) == waits
        }
    });
    let ran = Ran::from(run.wait_with_output().expect("it ends"));
    let counts = ran.json();
    assert_eq!((&counts["delivered"], &counts["dropped"]), (&(2 * ROWS).into(), &ROWS.into()), "{ran:?}");
    let listed = listed(&desk, &campaign);
    assert_eq!(listed.len(), ROWS);
    for (row, became) in listed {
        assert_eq!((row % 3, became["reason"].as_str()), (0, Some("sts_mismatch")), "{row}: {became}");
    }
    let sessions = seen.each();
    assert!(sessions.iter().all(|session| session.in_clear(&["MAIL FROM", "@three.open"]).is_empty()));
    assert!(sessions.iter().all(|session| session.in_tls(&["@three.open"]).is_empty()), "it was let in somewhere");
    let both = ["@one.open", "@two.open"];
    assert!(sessions.iter().any(|session| session.in_tls(&both) == both), "no session served two domains");
}
