//! TLS reports: what they say is what the servers' transcripts say, and who asked for them gets them.

use crate::support::process::until;
use crate::support::receivers::{cache, signal};
use crate::support::world::tlsa;
use crate::support::{Authority, Desk, Mx, Peer, Signed, Web, World, root};
use engine::clock::{Clock, Day, SystemClock, Timestamp};
use engine::store::{About, Settings, Store};
use engine::tlsrpt::Page;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const REPORTS: &str = "[tls.reports]
organization = \"Acme Health\"
contact = \"postmaster@acme-health.example\"
from = \"tls-reports@acme-health.example\"
";

/// Five hosts: one that is well, one without STARTTLS, one whose CA nobody trusts, one that TLSA records don't name, and one
/// that two domains share, of which one wants no reports.
struct Scene {
    desk: Desk,
    mail: Peer,
    /// The kernel takes its connections, and nobody ever says anything.
    _silent: TcpListener,
    web: Web,
    _policies: Web,
    _hosts: Vec<Mx>,
    _world: World,
}

impl Scene {
    fn start() -> Scene {
        let (desk, authority) = (Desk::new(), Authority::new());
        authority.write(&desk.path("web.pem"));
        let web = Web::start(&authority, "web.open", "");
        let policy = "version: STSv1\nmode: testing\nmx: mx5.open\nmax_age: 86400\n";
        let policies = Web::start(&authority, "mta-sts.testing.open", policy);
        let well = Mx::named(&desk, "mx1", "127.0.0.2:0", &[]);
        let port = well.port;
        let at = |name: &str, address: &str, args: &[&str]| Mx::named(&desk, name, &format!("{address}:{port}"), args);
        let others = [
            at("mx2", "127.0.0.3", &[]),
            at("mx4", "127.0.0.4", &["--no-starttls"]),
            at("mx5", "127.0.0.5", &[]),
            at("mx7", "127.0.0.7", &[]),
        ];
        let mail = Peer::start(|_, line| take(line));
        let silent = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let world = world(port, web.port);
        let scene = Scene {
            desk,
            mail,
            _silent: silent,
            web,
            _policies: policies,
            _hosts: [well].into_iter().chain(others).collect(),
            _world: world,
        };
        scene.configure(port, REPORTS);
        scene
    }

    fn configure(&self, port: u16, reports: &str) {
        let (dns, mail, policies) = (self._world.dns(), self.mail.port, self._policies.port);
        let silent = self._silent.local_addr().expect("bound").port();
        let more = format!(
            "[dns]\n{dns}[dns.static]\n\"desk.example\" = \"127.0.0.1:{mail}\"\n\
             \"silent.example\" = \"127.0.0.1:{silent}\"\n\
             \"mta-sts.testing.open\" = \"127.0.0.1:{policies}\"\n[smtp]\nport = {port}\n\
             [tls]\nroots = [\"mx1.pem\", \"mx2.pem\", \"mx7.pem\", \"web.pem\"]\n{reports}\
             [retry]\nfirst = \"1s\"\nlongest = \"1s\"\n"
        );
        self.desk.machine_of("", &more);
    }

    fn send(&self) {
        let domains = ["good.open", "plain.open", "testing.open", "quiet.open", "twin.open", "dane.example"];
        let recipients = domains.iter().flat_map(|domain| (0..4).map(move |row| format!("r{row}@{domain}")));
        let transport = "[transport]\ntls = \"required\"\nexclusive = false\nlifetime = \"2s\"\n";
        let campaign = self.desk.blast("blast", recipients, transport);
        let (_, counts) = self.desk.send(&campaign);
        assert_eq!((counts["delivered"].as_u64(), counts["expired"].as_u64()), (Some(16), Some(8)), "{counts}");
    }

    /// Lines of a host's transcript that are this.
    fn said(&self, host: &str, what: impl Fn(&str) -> bool) -> u64 {
        let text = std::fs::read_to_string(self.desk.path(&format!("{host}.transcript"))).expect("there");
        text.lines().filter(|line| what(line)).count() as u64
    }
}

/// Zones `open` (unsigned) and `example` (signed).
fn world(port: u16, web: u16) -> World {
    let by_mail = "TXT \"v=TLSRPTv1; rua=mailto:reports@desk.example\"";
    let silent = "TXT \"v=TLSRPTv1; rua=mailto:reports@silent.example\"";
    let open = format!(
        "mx1 A 127.0.0.2\nmx4 A 127.0.0.4\nmx5 A 127.0.0.5\nmx7 A 127.0.0.7\nweb A 127.0.0.1\n\
         good MX 10 mx1\nplain MX 10 mx4\ntesting MX 10 mx5\nquiet MX 10 mx7\ntwin MX 10 mx7\n\
         _mta-sts.testing TXT \"v=STSv1; id=1\"\n\
         _smtp._tls.good {by_mail}\n_smtp._tls.plain {by_mail}\n_smtp._tls.twin {by_mail}\n\
         _smtp._tls.aside {silent}\n_smtp._tls.beside {silent}\n\
         _smtp._tls.testing TXT \"v=TLSRPTv1; rua=https://web.open:{web}/tls?a=b\"\n"
    );
    let records = tlsa("mx2", port, [3, 1, 1], &[7; 32]);
    let example = format!("mx2 A 127.0.0.3\ndane MX 10 mx2\n_smtp._tls.dane {by_mail}\n{records}");
    World::start(&[("open", Signed::No, &open), ("example", Signed::Nsec, &example)])
}

/// Takes mail in clear text, whose lines are kept.
fn take(line: &mut crate::support::peer::Line) {
    line.greet(&[]);
    loop {
        match line.hear().get(..4).unwrap_or_default() {
            "DATA" => {
                line.say("354 go on\r\n");
                while line.hear() != "." {}
                line.say("250 2.0.0 taken\r\n");
            }
            "QUIT" => return line.say("221 bye\r\n"),
            "" => return,
            _ => line.say("250 2.0.0 fine\r\n"),
        }
    }
}

/// What parsedmarc makes of a file.
fn parsed(kind: &str, path: &Path) -> Value {
    let python = cache().join("venv-tlsrpt/bin/python");
    let script = root().join("tests/support/tlsrpt.py");
    let ran = Command::new(python).arg(script).arg(kind).arg(path).output().expect("tests/support/install.sh was run");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// Whether dkimpy finds both signatures of a mail good.
fn is_signed(desk: &Desk, mail: &Path) -> bool {
    let script = "import dkim, json, sys\nraw, dns = open(sys.argv[1], 'rb').read(), json.load(open(sys.argv[2]))\n\
                  ask = lambda name, **_: dns[name.decode().rstrip('.')].encode()\n\
                  sys.exit(not all(dkim.DKIM(raw).verify(at, ask) for at in (0, 1)))";
    let python = cache().join("venv/bin/python");
    Command::new(python).args(["-c", script]).arg(mail).arg(desk.dns()).status().expect("it runs").success()
}

/// Mails that the peer was sent, each in a file.
fn mails(scene: &Scene) -> Vec<std::path::PathBuf> {
    let said = scene.mail.said();
    let mut mails = Vec::new();
    for rest in said.split(|line| line == "DATA").skip(1) {
        let mail = rest.split(|line| line == ".").next().expect("it ends").join("\r\n") + "\r\n";
        let path = scene.desk.path(&format!("{}.eml", mails.len()));
        std::fs::write(&path, mail.replace("\r\n..", "\r\n.")).expect("written");
        mails.push(path);
    }
    mails
}

/// Policy type, successes and failures of a report with one policy, and the first failure's type and reason.
fn counts(report: &Value) -> (String, u64, u64, String, String) {
    let policies = report["policies"].as_array().expect("a list");
    assert_eq!(policies.len(), 1, "{report}");
    let (policy, failure) = (&policies[0], &policies[0]["failure_details"][0]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let count = |name: &str| policy[name].as_u64().expect("a count");
    let details = policy["failure_details"].as_array().expect("a list").iter();
    let sum: u64 = details.map(|detail| detail["failed_session_count"].as_u64().expect("a count")).sum();
    assert_eq!(sum, count("failed_session_count"), "{report}");
    let (successes, failures) = (count("successful_session_count"), count("failed_session_count"));
    (
        text(&policy["policy_type"]),
        successes,
        failures,
        text(&failure["result_type"]),
        text(&failure["failure_reason_code"]),
    )
}

/// What the servers saw, as a report of each domain must say it.
fn expected(scene: &Scene, domain: &str) -> (String, u64, u64, String, String) {
    let (sessions, encrypted) = (|line: &str| line.starts_with("FROM "), |line: &str| line == "TLS");
    let (policy, successes, failures, result, reason) = match domain {
        "good.open" => ("no-policy-found", scene.said("mx1", encrypted), 0, "", ""),
        "plain.open" => ("no-policy-found", 0, scene.said("mx4", sessions), "starttls-not-supported", "no_starttls"),
        // They were used, and what the policy would have said of them was only looked at. Its CA has the name of those that are
        // trusted, and another key.
        "testing.open" => ("sts", 0, scene.said("mx5", encrypted), "certificate-not-trusted", "certificate_invalid"),
        "dane.example" => ("tlsa", 0, scene.said("mx2", sessions), "tlsa-invalid", "tlsa_mismatch"),
        other => panic!("{other} wants no report"),
    };
    assert!(successes + failures > 0, "{domain} was never met");
    (policy.into(), successes, failures, result.into(), reason.into())
}

/// Whether the report of a domain says what the servers saw. Sessions that two domains shared count for each whose messages they
/// carried.
fn check(scene: &Scene, domain: &str, report: &Value) {
    if domain != "twin.open" {
        return assert_eq!(counts(report), expected(scene, domain), "{domain}: {report}");
    }
    let (policy, successes, failures, ..) = counts(report);
    let all = scene.said("mx7", |line| line == "TLS");
    assert!(policy == "no-policy-found" && (1..=all).contains(&successes) && failures == 0, "{all}: {report}");
}

#[test]
fn reports_say_what_the_servers_saw_and_reach_who_asked() {
    let scene = Scene::start();
    scene.send();
    let desk = &scene.desk;
    let today = Day::of(SystemClock.now()).to_string();
    assert_eq!(
        desk.sealpost(&["tls", "report", "--dry-run", "--json"]).json()["reports"],
        serde_json::json!([]),
        "not over"
    );

    let shown = desk.sealpost(&["tls", "report", "--dry-run", "--day", &today, "--json"]).json();
    let mut seen = Vec::new();
    for one in shown["reports"].as_array().expect("a list") {
        let domain = one["domain"].as_str().expect("text");
        desk.write("report.json", one["report"].to_string().as_bytes());
        let report = parsed("json", &desk.path("report.json"));
        check(&scene, domain, &report);
        assert_eq!(report["organization_name"], "Acme Health");
        assert_eq!(report["begin_date"], format!("{today}T00:00:00Z"));
        seen.push((domain.to_owned(), one["to"].as_str().expect("text").to_owned()));
    }
    let mailed = |domain: &str| (domain.to_owned(), "mailto:reports@desk.example".to_owned());
    let posted = ("testing.open".to_owned(), format!("https://web.open:{}/tls?a=b", scene.web.port));
    assert_eq!(seen, [mailed("dane.example"), mailed("good.open"), mailed("plain.open"), posted, mailed("twin.open")]);
    assert!(scene.mail.said().is_empty() && !scene.web.path("posted").exists(), "a dry run sends nothing");

    let ran = desk.sealpost(&["tls", "report", "--day", &today]);
    assert_eq!((ran.code, ran.stdout.matches(": taken").count()), (0, 5), "{ran:?}");
    let report = parsed("gzip", &scene.web.path("posted"));
    assert_eq!(counts(&report), expected(&scene, "testing.open"));
    let read = |name: &str| std::fs::read_to_string(scene.web.path(name)).expect("there");
    assert_eq!((read("type").as_str(), read("path").as_str()), ("application/tlsrpt+gzip", "/tls?a=b"));
    let mails = mails(&scene);
    for (mail, domain) in mails.iter().zip(["dane.example", "good.open", "plain.open", "twin.open"]) {
        let text = std::fs::read_to_string(mail).expect("there");
        for field in [
            &format!("TLS-Report-Domain: {domain}"),
            "TLS-Report-Submitter: acme-health.example",
            "TLS-Required: No",
            "From: <tls-reports@acme-health.example>",
        ] {
            assert!(text.contains(&format!("{field}\r\n")), "{field}: {text}");
        }
        assert!(text.contains("multipart/report") && text.contains("report-type=\"tlsrpt\""), "{text}");
        check(&scene, domain, &parsed("mail", mail));
        assert!(is_signed(desk, mail), "{text}");
    }
    assert_eq!(mails.len(), 4);
    // No address of a row, and nothing of its fields.
    let said = scene.mail.said().join("\n") + shown.to_string().as_str();
    assert!(!said.contains("r0@") && !said.contains("Ann1"), "{said}");
}

#[test]
fn a_report_that_is_refused_says_so() {
    let scene = Scene::start();
    scene.send();
    let today = Day::of(SystemClock.now()).to_string();
    std::fs::write(scene.web.path("status"), "503").expect("written");
    let ran = scene.desk.sealpost(&["tls", "report", "--day", &today, "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let refusals: Vec<_> =
        ran.json()["reports"].as_array().expect("a list").iter().map(|one| one["refusal"].clone()).collect();
    assert_eq!(refusals, [Value::Null, Value::Null, Value::Null, "http 503".into(), Value::Null]);
}

#[test]
fn without_the_table_nothing_is_counted_and_the_command_says_why() {
    let scene = Scene::start();
    scene.configure(scene._hosts[0].port, "");
    scene.send();
    let ran = scene.desk.sealpost(&["tls", "report", "--dry-run"]);
    assert!(ran.code == 2 && ran.stderr.contains("[tls.reports] is missing"), "{ran:?}");
    scene.configure(scene._hosts[0].port, REPORTS);
    let today = Day::of(SystemClock.now()).to_string();
    let shown = scene.desk.sealpost(&["tls", "report", "--dry-run", "--day", &today, "--json"]).json();
    assert_eq!(shown["reports"], serde_json::json!([]));
}

/// What was counted today is moved to a day that has long been over.
fn age(scene: &Scene, day: &str) {
    let store = Store::open(&scene.desk.path("state"), &Settings::default()).expect("nobody is at work");
    for page in Page::all(&store).expect("readable") {
        let value = store.shown(About::Report, &format!("{} {}", page.day, page.domain)).expect("readable");
        store.put_shown(About::Report, &format!("{day} {}", page.domain), &value.expect("there")).expect("written");
        page.forget(&store).expect("written");
    }
}

/// The page of another domain with the same counts.
fn copy(scene: &Scene, page: &str, to: &str) {
    let store = Store::open(&scene.desk.path("state"), &Settings::default()).expect("nobody is at work");
    let value = store.shown(About::Report, page).expect("readable").expect("there");
    store.put_shown(About::Report, to, &value).expect("written");
}

fn forget(scene: &Scene, page: &str) {
    let store = Store::open(&scene.desk.path("state"), &Settings::default()).expect("nobody is at work");
    store.forget_shown(About::Report, page).expect("written");
}

/// Domains whose reports wait in the store.
fn waiting(scene: &Scene) -> Vec<String> {
    let store = Store::open(&scene.desk.path("state"), &Settings::default()).expect("nobody is at work");
    Page::all(&store).expect("readable").into_iter().map(|page| page.domain).collect()
}

#[test]
fn an_engine_sends_what_is_due_and_keeps_what_was_not_taken() {
    let scene = Scene::start();
    scene.send();
    let day = Day::of(Timestamp(SystemClock.now().0 - 3 * 24 * 3600 * 1000)).to_string();
    age(&scene, &day);
    // The first of all, and whoever is to get them never answers.
    let silent = ["aside", "beside"].map(|domain| format!("{day} {domain}.open"));
    silent.iter().for_each(|page| copy(&scene, &format!("{day} good.open"), page));
    std::fs::write(scene.web.path("status"), "503").expect("written");
    let engine = scene.desk.start(&["serve"]);
    until("the reports", || mails(&scene).len() == 4 && scene.web.path("posted").exists());
    // The last one's bookkeeping comes after it.
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(engine.id(), "TERM");
    assert_eq!(engine.end().code, 0);
    let left = ["aside.open", "beside.open", "testing.open"];
    assert_eq!(waiting(&scene), left, "and nothing of quiet.open, which wants no reports");
    silent.iter().for_each(|page| forget(&scene, page));
    std::fs::remove_file(scene.web.path("status")).expect("there");
    std::fs::remove_file(scene.web.path("posted")).expect("there");
    let ran = scene.desk.sealpost(&["tls", "report"]);
    assert_eq!((ran.code, ran.stdout.matches(": taken").count()), (0, 1), "{ran:?}");
    assert_eq!(counts(&parsed("gzip", &scene.web.path("posted"))), expected(&scene, "testing.open"));
    assert_eq!(waiting(&scene), [""; 0]);
}
