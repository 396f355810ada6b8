//! A real Prometheus sees what the report says.

use crate::support::receivers::{get, promtool_check};
use crate::support::{Desk, Mx, Prometheus, free_port};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// A desk whose engine serves its metrics on the returned port.
fn desk(mx: &[&str], more: &str) -> (Desk, Mx, u16) {
    let desk = Desk::new();
    let mx = Mx::start(&desk, mx);
    let port = free_port();
    desk.machine(mx.port, &format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n{more}"));
    (desk, mx, port)
}

/// The exposition once it holds `text`.
fn exposition_with(port: u16, text: &str) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < end, "no exposition with {text}");
        std::thread::sleep(Duration::from_millis(50));
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let body = get(port, "/metrics");
            if body.contains(text) {
                return body;
            }
        }
    }
}

#[test]
fn the_exposition_is_good_and_says_nothing_of_a_row() {
    let (desk, _mx, port) =
        desk(&["--latency", "20ms", "--bounce", "10", "--defer", "10"], "providers = 2\nlinger = \"20s\"\n");
    let mut csv = "id,email,first_name\n".to_owned();
    for row in 0..300 {
        csv.push_str(&format!("CANARY{row},canary{row}@canary{}.example,CANARY\n", row % 7));
    }
    let campaign = desk.small(1, "");
    desk.write("small.csv", csv.as_bytes());
    let run = desk.spawn(&["send", &campaign, "--json"]);
    let text = exposition_with(port, "sealpost_replies_total{class=\"5yz\",step=\"RCPT\"}");
    let (good, words) = promtool_check(&text);
    assert!(good && words.trim().is_empty(), "{words}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
    for series in [
        "sealpost_rows_read_total 300",
        "sealpost_sessions_total{tls=\"TLSv1.3\"}",
        "sealpost_stage_seconds_bucket{stage=\"sign\",le=",
        "sealpost_connections{state=\"busy\"}",
        "sealpost_rows{queue=\"in_flight\"}",
        "sealpost_sent_bytes_total",
        "sealpost_stage_seconds_count{stage=\"mark\"}",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }
    crate::support::receivers::signal(run.id(), "TERM");
    assert_eq!(run.wait_with_output().expect("it ends").status.code(), Some(3));
}

#[test]
fn a_taken_port_and_a_public_one_stop_a_run_before_it_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let campaign = desk.small(3, "");
    let address = taken.local_addr().expect("bound").to_string();
    for (listen, words) in
        [(address.as_str(), "in use"), ("0.0.0.0:9464", "is not on loopback"), ("here", "no address")]
    {
        desk.machine(mx.port, &format!("[metrics]\nlisten = \"{listen}\"\n"));
        let ran = desk.sealpost(&["send", &campaign]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(words) && ran.stderr.contains("hint: "), "{ran:?}");
    }
    assert_eq!(mx.totals()["accepted"], 0);
}

/// Whether two numbers differ by one in a hundred at most.
fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 0.01 * one.abs().max(other.abs())
}

#[test]
fn prometheus_and_the_report_agree() {
    let (desk, _mx, port) =
        desk(&["--latency", "20ms", "--bounce", "5"], "linger = \"30s\"\n[limits]\nconnections_per_provider = 5\n");
    let prometheus = Prometheus::start(&format!("127.0.0.1:{port}"));
    let campaign = desk.small(2000, "[brakes]\nunknown = 0.5\n");
    let mut run = desk.spawn(&["send", &campaign, "--json"]);
    let mut line = String::new();
    BufReader::new(run.stdout.take().expect("piped")).read_line(&mut line).expect("its last line");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    prometheus.scraped();
    let outcomes = prometheus.query("sealpost_outcomes_total", "outcome");
    let rate =
        prometheus.one("max(sealpost_outcomes_total{outcome=\"delivered\"} / on() group_left() sealpost_run_seconds)");
    let recent = prometheus.one("max_over_time(rate(sealpost_outcomes_total{outcome=\"delivered\"}[4s])[30s:500ms])");
    let quantile =
        |q: f64| prometheus.one(&format!("histogram_quantile({q}, sealpost_stage_seconds_bucket{{stage=\"send\"}})"));
    let (p50, p99) = (quantile(0.5), quantile(0.99));
    println!(
        "report: {said}\nPrometheus: {outcomes:?}, {rate:.1}/s over the run, {recent:.1}/s at best, p50 {p50:.4} s, p99 {p99:.4} s"
    );
    for (outcome, count) in &outcomes {
        assert_eq!(said[outcome].as_f64(), Some(*count), "{outcome}");
    }
    assert_eq!(outcomes["delivered"] + outcomes["bounced"], 2000.0);
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(close(rate, number(&said["messages_per_second"])), "{rate}: {said}");
    assert!(
        close(p50, number(&said["send_seconds"]["p50"])) && close(p99, number(&said["send_seconds"]["p99"])),
        "{said}"
    );
    // A rate of four seconds is what those four seconds were; the run's is their mean.
    assert!(recent > 0.5 * rate && recent < 3.0 * rate, "{recent} and {rate}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["send_seconds"], said["send_seconds"], "the report keeps it");
    crate::support::receivers::signal(run.id(), "TERM");
    run.wait().expect("it ends");
}

/// Every message has one signature of each kind, however RSA's are made; and whether they are made together is what `--version`
/// says and the configuration wants.
#[test]
fn what_signatures_cost_is_counted() {
    for (together, wanted) in [("auto", true), ("off", false)] {
        let more = format!("linger = \"20s\"\n[signing]\ntogether = \"{together}\"\n");
        let (desk, mx, port) = desk(&["--latency", "2ms"], &more);
        let able = desk.sealpost(&["--version"]).stdout.contains("eight at a time");
        let campaign = desk.small(400, "");
        let run = desk.spawn(&["send", &campaign, "--json", "--log", "info"]);
        let text = exposition_with(port, "sealpost_outcomes_total{outcome=\"delivered\"} 400\n");
        let figure = |series: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.expect(series).parse::<f64>().expect("a number")
        };
        let made = |algorithm: &str, backend: &str, what: &str| {
            figure(&format!("sealpost_signature{what}_total{{algorithm=\"{algorithm}\",backend=\"{backend}\"}}"))
        };
        let (alone, eight) = (made("rsa", "aws_lc", "s"), made("rsa", "crypto_mb", "s"));
        assert_eq!((alone + eight, made("ed25519", "aws_lc", "s")), (400.0, 400.0), "{together}");
        assert_eq!(eight > 0.0, able && wanted, "{together}: {eight} together");
        let cpu = [("rsa", "aws_lc", alone), ("rsa", "crypto_mb", eight), ("ed25519", "aws_lc", 400.0)];
        for (algorithm, backend, count) in cpu {
            assert_eq!(made(algorithm, backend, "_cpu_seconds") > 0.0, count > 0.0, "{algorithm} {backend}");
        }
        assert_eq!(figure("sealpost_signature_verify_cpu_seconds_total") > 0.0, eight > 0.0);
        assert_eq!(figure("sealpost_signature_faults_total"), 0.0);
        crate::support::receivers::signal(run.id(), "TERM");
        let log = String::from_utf8(run.wait_with_output().expect("it ends").stderr).expect("text");
        let said = if able && wanted { "made eight at a time" } else { "made one at a time" };
        assert!(log.contains(&format!("RSA-2048 signatures are {said}")), "{log}");
        assert_eq!(mx.totals()["accepted"], 400);
    }
}
