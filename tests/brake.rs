//! A run stops before it drops more than it should.

use crate::support::process::until;
use crate::support::receivers::{get, signal};
use crate::support::{Authority, Debian, Desk, Mx, Ran, free_port};

/// A campaign of 200 rows for a provider that is well, and 200 for one whose certificate has expired.
struct Half {
    desk: Desk,
    good: Mx,
    bad: Option<Debian>,
    bad_port: u16,
    campaign: String,
    /// More for `sealpost.toml`.
    more: String,
}

impl Half {
    fn start(transport: &str, more: &str) -> Half {
        let desk = Desk::new();
        let good = Mx::named(&desk, "good", "127.0.0.1:0", &[]);
        let authority = Authority::new();
        authority.write(&desk.path("bad.pem"));
        let pair = authority.leaf_until("127.0.0.1", 2020, &desk.path(""));
        let bad = Debian::smarthost(&pair, &[]);
        let bad_port = bad.port;
        let recipients = (0..400).map(|row| format!("r{row}@{}.example", if row % 2 == 0 { "good" } else { "bad" }));
        let campaign = desk.blast("half", recipients, &format!("[transport]\n{transport}"));
        let half = Half { desk, good, bad: Some(bad), bad_port, campaign, more: more.into() };
        half.machine("bad.pem");
        half
    }

    fn machine(&self, root: &str) {
        let Half { good, bad_port, more, .. } = self;
        self.desk.light_of(&format!(
            "[dns.static]\n\"good.example\" = \"127.0.0.1:{}\"\n\"bad.example\" = \"127.0.0.1:{}\"\n[tls]\n\
             roots = [\"good.pem\", \"{root}\"]\nexclusive_confirm = \"1s\"\n[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n{more}",
            good.port, bad_port
        ));
    }

    fn resume(&self) -> Ran {
        let run = self.desk.run_of("half")["run"].as_str().expect("a name").to_owned();
        self.desk.sealpost(&["resume", "--run", &run])
    }
}

#[test]
fn an_expired_certificate_at_half_the_rows_costs_fifty_of_them() {
    let mut half = Half::start("", "");
    let ran = half.desk.sealpost(&["send", &half.campaign, "--json"]);
    let counts = ran.json();
    assert_eq!((ran.code, counts["dropped"].as_u64()), (4, Some(50)), "{ran:?}");
    let why = counts["braked"].as_str().expect("said");
    assert!(why.contains("50 for certificate_expired at 127.0.0.1") && why.ends_with("drop_brake (10 %)"), "{why}");
    assert!(ran.stderr.contains("half is stopped by its brake: 50 of the last"), "{ran:?}");
    let run = half.desk.run_of("half");
    assert_eq!((&run["state"], &run["braked"]), (&"braked".into(), &why.into()), "{run}");
    let status = half.desk.sealpost(&["status"]).stdout;
    assert!(status.contains(&format!("`sealpost resume --run {}`", run["run"].as_str().expect("text"))), "{status}");
    let report = half.desk.sealpost(&["report", &half.campaign]).stdout;
    assert!(report.contains("stopped by its brake: 50 of the last"), "{report}");
    // Nobody but a person lets it go on.
    let again = half.desk.sealpost(&["send", &half.campaign, "--json"]);
    assert_eq!((again.code, &again.json()["dropped"]), (4, &50.into()), "{again:?}");

    // The provider renews its certificate.
    drop(half.bad.take());
    let renewed = Mx::named(&half.desk, "renewed", &format!("127.0.0.1:{}", half.bad_port), &[]);
    half.machine("renewed.pem");
    assert_eq!(half.resume().code, 0);
    let (code, counts) = half.desk.send(&half.campaign);
    assert_eq!((code, &counts["delivered"], &counts["dropped"]), (0, &350.into(), &50.into()), "{counts}");
    assert_eq!(renewed.totals()["accepted"], 150);
}

#[test]
fn who_resumes_a_braked_run_confirms_what_stopped_it() {
    let port = free_port();
    let half = Half::start("", &format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    let serve = half.desk.start(&["serve"]);
    until("the engine", || half.desk.status()["engine"] == "running");
    let ran = half.desk.sealpost(&["send", &half.campaign, "--json"]);
    assert_eq!((ran.code, &ran.json()["dropped"]), (4, &50.into()), "{ran:?}");
    assert!(get(port, "/metrics").contains("sealpost_braked_runs 1\n"));
    let resumed = half.resume();
    assert_eq!(resumed.code, 0, "{resumed:?}");
    until("the end", || half.desk.run_of("half")["state"] == "finished");
    let run = half.desk.run_of("half");
    assert_eq!((&run["delivered"], &run["dropped"], &run["braked"]), (&200.into(), &200.into(), &().into()), "{run}");
    assert!(get(port, "/metrics").contains("sealpost_braked_runs 0\n"));
    signal(serve.id(), "TERM");
}

#[test]
fn a_braked_run_can_be_cancelled_while_an_engine_is_at_work() {
    let half = Half::start("", "");
    let serve = half.desk.start(&["serve"]);
    until("the engine", || half.desk.status()["engine"] == "running");
    assert_eq!(half.desk.send(&half.campaign).0, 4);
    let run = half.desk.run_of("half");
    let left = run["deferred"].as_u64().expect("a count") + run["waiting"].as_u64().expect("a count");
    let ran = half.desk.sealpost(&["cancel", "--run", run["run"].as_str().expect("a name"), "--json"]);
    assert_eq!((ran.code, ran.json()["rows"].as_u64()), (0, Some(left)), "{ran:?}");
    let run = half.desk.run_of("half");
    assert_eq!((&run["state"], &run["cancelled"]), (&"cancelled".into(), &left.into()), "{run}");
    signal(serve.id(), "TERM");
}

/// Nightly runs, restarts and crashes must not each have fifty rows for nothing.
#[test]
fn the_next_engine_goes_on_where_the_brake_was() {
    let half = Half::start("", "");
    let ran = half.desk.sealpost(&["send", &half.campaign, "--limit", "100", "--json"]);
    let counts = ran.json();
    assert_eq!((ran.code, &counts["delivered"], &counts["dropped"]), (3, &50.into(), &50.into()), "{ran:?}");
    let ran = half.desk.sealpost(&["send", &half.campaign, "--json"]);
    assert_eq!((ran.code, &ran.json()["dropped"]), (4, &50.into()), "{ran:?}");
    let why = ran.json()["braked"].as_str().expect("said").to_owned();
    assert!(
        why.contains("50 for certificate_expired earlier); one more for certificate_expired at 127.0.0.1"),
        "{why}"
    );
}

#[test]
fn without_a_brake_it_goes_to_the_end() {
    let half = Half::start("drop_brake = \"off\"\n", "");
    let (code, counts) = half.desk.send(&half.campaign);
    assert_eq!((code, &counts["delivered"], &counts["dropped"]), (0, &200.into(), &200.into()), "{counts}");
}
