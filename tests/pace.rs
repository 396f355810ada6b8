//! Pace: sites that refuse what is too much, met by the real binary. The judge is what the site counted; how fast it went
//! is `perf`'s to say.

use crate::support::process::until;
use crate::support::receivers::signal;
use crate::support::{Course, Desk, Mx};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A desk whose campaigns go to one site, which allows so much.
fn desk(limits: &[&str]) -> (Desk, Mx) {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &[&["--course"], limits].concat());
    desk.light(mx.port, "");
    (desk, mx)
}

fn people(first: u64, rows: u64) -> impl Iterator<Item = String> {
    (first..first + rows).map(|row| format!("r{row}@mail.example"))
}

/// Sends a campaign of so many rows to its end: each is delivered at its first attempt, whatever the site refused to all.
fn all_at_once(desk: &Desk, name: &str, first: u64, rows: u64) {
    let campaign = desk.blast(name, people(first, rows), "");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, &counts["delivered"]), (0, &rows.into()), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(
        report["delivered_by_attempts"],
        json!({"1": rows}),
        "a refusal to all of us cost rows attempts: {report}"
    );
}

/// The seconds in which a pace has been found: from ten after the first message on, the last one left out.
fn steady(course: &Course) -> std::ops::Range<usize> {
    let seconds = course.first("offered") + 10..course.last("offered");
    assert!(seconds.len() >= 10, "too short to judge: {}", course.shown());
    seconds
}

/// What a site saw that met its limit, and from when on it was steady: then hardly anything was refused, and nothing came twice.
fn hardly_refused(mx: Mx) -> (Course, std::ops::Range<usize>) {
    let totals = mx.totals();
    let course = Course::of(&totals);
    let steady = steady(&course);
    let share = course.share_refused(steady.clone());
    println!(
        "{:.2} % refused in {} seconds, {} refused in all",
        share * 100.0,
        steady.len(),
        course.refused(0..course.len())
    );
    assert!(course.refused(0..course.len()) > 0, "it never met the limit: {}", course.shown());
    assert!(share < 0.02, "{share}: {}", course.shown());
    assert_eq!(totals["twice"], 0);
    (course, steady)
}

#[test]
fn a_site_that_takes_five_connections_is_given_five() {
    // A hundred messages a second, where each takes 50 ms.
    let (desk, mx) = desk(&["--most-connections", "5", "--latency", "50ms"]);
    all_at_once(&desk, "five", 1, 3000);
    let (course, steady) = hardly_refused(mx);
    assert!(
        course.sum("open", steady.clone()) >= 4 * steady.len() as u64,
        "it could have had five: {}",
        course.shown()
    );
}

#[test]
fn a_site_that_takes_twenty_a_second_is_given_twenty() {
    let (desk, mx) = desk(&["--rate", "20/s"]);
    all_at_once(&desk, "twenty", 1, 800);
    let explained = desk.sealpost(&["shaping", "explain", "mail.example", "--json"]).json();
    let learned = explained["learned"].as_object().and_then(|sources| sources.values().next()).expect("something");
    assert!(learned["ceiling"].as_f64().is_some_and(|ceiling| ceiling < 60.0), "{explained}");
    let explained = desk.sealpost(&["shaping", "explain", "mail.example"]).stdout;
    assert!(explained.contains("  learned   from ") && explained.contains(" messages a second"), "{explained}");
    let (course, steady) = hardly_refused(mx);
    // A pace once halved must come back: whatever the machine, twenty a second are easy.
    assert!(
        course.sum("accepted", steady.clone()) >= 15 * steady.len() as u64,
        "it stays too slow: {}",
        course.shown()
    );
}

/// Wherever a site says it, and also by hanging up.
#[test]
fn a_refusal_for_going_too_fast_costs_no_row_an_attempt() {
    for reply in [
        &["--refuse-at", "rcpt", "--reply", "450 4.7.0 too many messages, slow down"][..],
        &["--refuse-at", "message", "--reply", "452 4.7.1 rate limited"],
        &["--reply", "421 4.7.28 an unusual rate of mail from your address, rate limited"],
        &["--refuse-at", "message", "--reply", "421 4.7.0 [TSS04] rate limited"],
    ] {
        let (desk, mx) = desk(&[&["--rate", "40/s"], reply].concat());
        all_at_once(&desk, "fast", 1, 300);
        let totals = mx.totals();
        assert!(totals["refused_rate"].as_u64() > Some(0), "{reply:?} was never said: {totals}");
        assert_eq!((&totals["accepted"], &totals["twice"]), (&300.into(), &0.into()), "{reply:?}");
    }
}

#[test]
fn a_second_run_knows_the_pace_of_the_first() {
    let desk = Desk::new();
    let few = Mx::named(&desk, "few", "127.0.0.1:0", &["--course", "--most-connections", "2", "--latency", "100ms"]);
    let slow = Mx::named(&desk, "slow", "127.0.0.1:0", &["--course", "--rate", "20/s"]);
    let route = |name: &str, mx: &Mx| {
        format!("\"{name}.example\" = {{ host = \"mx.{name}.example\", address = \"127.0.0.1:{}\" }}\n", mx.port)
    };
    let routes = route("few", &few) + &route("slow", &slow);
    desk.light_of(&format!("[dns.static]\n{routes}[tls]\nroots = [\"few.pem\", \"slow.pem\"]\n"));
    let mut ends = Vec::new();
    for name in ["first", "second"] {
        let to = |row: u64| format!("{name}{row}@{}.example", if row.is_multiple_of(2) { "few" } else { "slow" });
        let campaign = desk.blast(name, (0..800).map(to), "");
        let (code, counts) = desk.send(&campaign);
        assert_eq!((code, &counts["delivered"]), (0, &800.into()), "{counts}");
        ends.push(SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_millis());
        std::thread::sleep(Duration::from_secs(1));
    }
    // What either refused of the first run, and of the second.
    let (mut first, mut second, mut shown) = (0, 0, String::new());
    for mx in [few, slow] {
        let totals = mx.totals();
        let (course, began) = (Course::of(&totals), totals["course"]["began"].as_u64().expect("a time"));
        let border = usize::try_from((ends[0] - u128::from(began)) / 1000 + 1).expect("small");
        first += course.refused(0..border);
        second += course.refused(border..course.len());
        shown += &course.shown();
    }
    println!("{first} refused in the first run, {second} in the second");
    assert!(first > 0 && second * 10 < first, "{first} and then {second}: {shown}");
}

/// Rules for all hosts under one name: `mx1.big.example` and so on are one provider.
fn ruled(rules: &str) -> (Desk, Mx) {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &["--course"]);
    let route = |site: usize| {
        format!("\"d{site}.example\" = {{ host = \"mx{site}.big.example\", address = \"127.0.0.1:{}\" }}\n", mx.port)
    };
    let routes: String = (0..8).map(route).collect();
    desk.write("shaping.toml", rules.as_bytes());
    desk.light_of(&format!("[shaping]\nfile = \"shaping.toml\"\n[dns.static]\n{routes}[tls]\nroots = [\"mx.pem\"]\n"));
    (desk, mx)
}

#[test]
fn a_configured_rate_holds_at_the_socket_however_many_sites_and_campaigns_share_it() {
    let (desk, mx) = ruled("[[provider]]\nname = \"big\"\nmx = [\"big.example\"]\nconnections = 10\nrate = \"20/s\"\n");
    let engine = desk.start(&["serve"]);
    until("an engine", || desk.status()["engine"] == "running");
    let rows = 300;
    let senders = [0, 1].map(|campaign| {
        let to = |row| format!("r{}@d{}.example", campaign * 10_000 + row, row % 8);
        let campaign = desk.blast(&format!("c{campaign}"), (0..rows).map(to), "");
        desk.start(&["send", &campaign, "--json"])
    });
    for sender in senders {
        let ran = sender.end();
        assert_eq!((ran.code, &ran.json()["delivered"]), (0, &rows.into()), "{ran:?}");
    }
    signal(engine.id(), "TERM");
    engine.end();
    let course = Course::of(&mx.totals());
    let (second, ten) = (course.most("most_a_second", "offered"), course.most("most_ten_seconds", "offered"));
    println!("{second} in the busiest second, {ten} in the busiest ten");
    // A burst is what comes in a second: our own is a message, but a machine at work hands over late and all at once.
    assert!(second <= 20 + 20, "{second} in one second: {}", course.shown());
    assert!(ten <= 10 * 20 + 20, "{ten} in ten seconds: {}", course.shown());
    let span = course.last("offered") - course.first("offered");
    assert!(span <= 2 * (2 * rows as usize / 20), "it takes much longer than the rate does: {}", course.shown());
}

/// What `sealpost sandbox` is told by a file, it is told anew when the file is replaced.
#[test]
fn a_sites_limits_change_under_way() {
    let desk = Desk::new();
    let limit = |text: &str| {
        desk.write("limits.new", text.as_bytes());
        std::fs::rename(desk.path("limits.new"), desk.path("limits.toml")).expect("renamed");
    };
    limit("[[limits]]\nrate = \"1/day\"\n");
    let mx = Mx::start(&desk, &["--limits", "limits.toml", "--course"]);
    let stream = TcpStream::connect(("127.0.0.1", mx.port)).expect("it listens");
    let mut replies = BufReader::new(stream.try_clone().expect("a second handle")).lines().map_while(Result::ok);
    assert_eq!(replies.next().expect("a greeting"), "220 sandbox.invalid ESMTP");
    let mut mail = || {
        (&stream).write_all(b"MAIL FROM:<a@a.example>\r\n").expect("it reads");
        replies.next().expect("a reply")
    };
    assert_eq!([mail(), mail()], ["250 2.1.0 ok", "451 4.7.1 rate limited, try again later"]);
    limit("[[limits]]\nrate = \"a few\"\n");
    std::thread::sleep(Duration::from_millis(300));
    assert!(mail().starts_with("451"), "what can't be read changes nothing");
    limit("[[limits]]\nrate = \"1/day\"\nreply = \"450 4.7.1 later\"\n");
    until("the other reply", || mail() == "450 4.7.1 later");
    limit("[[limits]]\n");
    until("no limit", || mail().starts_with("250"));
    let totals: Value = mx.totals();
    assert!(totals["refused_rate"].as_u64() > Some(2), "{totals}");
}
