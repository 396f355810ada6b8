//! Whole runs over signed zones and unsigned ones.

use super::world;
use crate::support::hosts::Hosts;
use crate::support::process::until;
use crate::support::{Signed, World};

/// Domain, rows, and their fate: the host that takes them, or outcome and reason.
type Fate = (&'static str, u64, Result<&'static str, (&'static str, &'static str)>);

const FATES: [Fate; 7] = [
    ("plain.example", 20, Ok("mx1")),
    ("plain.three", 20, Ok("mx1")),
    ("plain.open", 20, Ok("mx1")),
    ("nx.example", 2, Err(("bounced", "no_such_domain"))),
    ("null.three", 3, Err(("bounced", "null_mx"))),
    ("plain.bare", 5, Err(("expired", "dnssec_bogus"))),
    ("nx.bare", 6, Err(("expired", "dnssec_bogus"))),
];

#[test]
fn bogus_domains_wait_and_hold_up_nobody() {
    let hosts = Hosts::start(&[]);
    let world = World::start(&["example", "three", "open", "bare"].map(|name| {
        let signed = match name {
            "example" => Signed::Nsec,
            "three" => Signed::Nsec3,
            "open" => Signed::No,
            _ => Signed::Stripped,
        };
        (name, signed, "plain MX 10 mx1.example.\nmx1 A 127.0.0.2\nnull MX 0 .\n")
    }));
    hosts.machine_by(&world.dns(), "");
    let rows = FATES.map(|(domain, rows, _)| (domain, usize::try_from(rows).expect("few")));
    let campaign = hosts.campaign(&rows, "[transport]\nlifetime = \"2s\"\n");
    let checked = hosts.desk.sealpost(&["check", &campaign]);
    assert!(checked.stdout.contains("dnssec     validated"), "{checked:?}");
    let ran = hosts.desk.sealpost(&["send", &campaign, "--json"]);
    assert!(!ran.stderr.contains("the engine waits"), "{ran:?}");
    let (taken, mut reasons) = (hosts.taken(), hosts.reasons(&campaign));
    reasons.retain(|(outcome, _), _| outcome != "delivered");
    let mut expected = std::collections::BTreeMap::new();
    for (domain, rows, fate) in FATES {
        match fate {
            Ok(host) => assert_eq!(taken[domain], [(host, usize::try_from(rows).expect("few"))].into(), "{domain}"),
            Err((outcome, reason)) => {
                assert!(!taken.contains_key(domain), "{domain}");
                *expected.entry((outcome.to_owned(), reason.to_owned())).or_default() += rows;
            }
        }
    }
    assert_eq!(reasons, expected, "{ran:?}");
    assert!(hosts.desk.sealpost(&["report", &campaign]).stdout.contains("hint: the domain's answers aren't signed"));
}

#[test]
fn resolvers_that_drop_signatures_are_named_and_cost_no_row_an_attempt() {
    let hosts = Hosts::start(&[]);
    let world = world();
    // The root last: below a signed one a zone without signatures is rightly bogus, and costs attempts.
    let all = [("three", Signed::Nsec3), ("example", Signed::Nsec), ("root", Signed::Nsec)];
    all.iter().for_each(|(zone, _)| world.serve(zone, Signed::Stripped));
    hosts.machine_by(&world.dns(), "");
    let campaign = hosts.campaign(&[("plain.example", 5), ("other.example", 5), ("plain.three", 5)], "");
    let checked = hosts.desk.sealpost(&["check", &campaign]);
    assert_eq!(checked.code, 2, "{checked:?}");
    assert!(checked.stderr.contains("the root's signatures don't get here"), "{checked:?}");
    let run = hosts.desk.spawn(&["send", &campaign, "--json"]);
    until("the engine waits", || hosts.desk.status()["conditions"].to_string().contains("no answer can be validated"));
    all.iter().for_each(|(zone, signed)| world.serve(zone, *signed));
    let ran = crate::support::Ran::from(run.wait_with_output().expect("it ends"));
    assert_eq!(ran.json()["delivered"], 15, "{ran:?}");
    let report = hosts.desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({"1": 15}), "{report}");
}

#[test]
fn the_ad_bit_is_only_believed_from_this_machine() {
    let hosts = Hosts::start(&[]);
    let campaign = hosts.campaign(&[("plain.example", 1)], "");
    let cases = [
        ("servers = [\"127.0.0.1:53\", \"192.0.2.1\"]\ndnssec = \"trust_ad\"", "on the way from 192.0.2.1:53"),
        ("dnssec = \"trust_ad\"", "needs [dns] servers"),
        ("dnssec = \"off\"\ntrust_anchors = \"root.key\"", "only read where we validate"),
        ("trust_anchors = \"gone.key\"", "gone.key: No such file"),
    ];
    for (dns, expected) in cases {
        hosts.machine_by(dns, "");
        let ran = hosts.desk.sealpost(&["send", &campaign]);
        assert_eq!(ran.code, 2, "{dns}: {ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("hint: "), "{dns}: {ran:?}");
    }
}
