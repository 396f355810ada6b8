//! What TLS must be, by the server's transcript.

use crate::support::{Authority, Desk, Mx, Peer, receivers};

const SHORT: &str = "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";

fn transcript(desk: &Desk) -> String {
    std::fs::read_to_string(desk.path("transcript")).unwrap_or_default()
}

#[test]
fn required_without_starttls_sends_not_one_mail_from() {
    for (exclusive, ended) in [("true", "dropped"), ("false", "expired")] {
        let desk = Desk::new();
        let mx = Mx::start(&desk, &["--no-starttls"]);
        desk.machine(mx.port, SHORT);
        let transport = format!("[transport]\ntls = \"required\"\nexclusive = {exclusive}\nlifetime = \"2s\"\n");
        let campaign = desk.small(20, &transport);
        let (code, counts) = desk.send(&campaign);
        assert_eq!((code, counts[ended].as_u64()), (0, Some(20)), "{counts}");
        let report = desk.sealpost(&["report", &campaign, "--json"]).json();
        assert_eq!(report["reasons"][0]["reason"], "no_starttls", "{report}");
        let said = transcript(&desk);
        assert!(said.contains("EHLO out.acme-health.example"), "{said}");
        assert!(!said.contains("MAIL") && !said.contains("RCPT") && !said.contains("DATA"), "{said}");
        assert_eq!(mx.totals()["accepted"], 0);
    }
}

#[test]
fn verified_against_an_unknown_ca_sends_not_one_mail_from() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(mx.port, SHORT);
    let campaign = desk.small(20, "[transport]\nlifetime = \"2s\"\n");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["expired"].as_u64()), (0, Some(20)), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["reasons"][0]["reason"], "unknown_issuer", "{report}");
    let said = transcript(&desk);
    assert!(said.contains("STARTTLS") && said.contains("TLS FAILED"), "{said}");
    assert!(!said.contains("MAIL") && !said.contains("RCPT"), "{said}");
    assert_eq!(mx.totals()["encrypted"], 0, "the client broke the handshake off");
}

#[test]
fn verified_against_another_name_sends_not_one_mail_from() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, SHORT);
    let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
    // The sandbox makes a certificate for whatever name is asked for in SNI; an address is never asked for, and is not in
    // a certificate made for another.
    let other = text.replace(
        &format!("\"127.0.0.1:{}\"", mx.port),
        &format!("{{ host = \"127.0.0.2\", address = \"127.0.0.1:{}\" }}", mx.port),
    );
    desk.write("sealpost.toml", other.as_bytes());
    let campaign = desk.small(3, "[transport]\nlifetime = \"1s\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!(counts["expired"], 3, "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["reasons"][0]["reason"], "name_mismatch", "{report}");
    assert!(!transcript(&desk).contains("MAIL"));
}

#[test]
fn required_takes_any_certificate_and_verified_a_named_route() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    Authority::new().write(&desk.path("other.pem"));
    desk.machine(mx.port, "");
    let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
    desk.write("sealpost.toml", text.replace("ca.pem", "other.pem").as_bytes());
    let campaign = desk.small(3, "[transport]\ntls = \"required\"\n");
    assert_eq!(desk.send(&campaign).1["delivered"], 3);
    let named = text.replace(
        &format!("\"127.0.0.1:{}\"", mx.port),
        &format!("{{ host = \"mx.mail.example\", address = \"127.0.0.1:{}\" }}", mx.port),
    );
    desk.write("sealpost.toml", named.as_bytes());
    let campaign = desk.small_of(4..=7, "");
    assert_eq!(desk.send(&campaign).1["delivered"], 4);
    let said = transcript(&desk);
    let (in_clear, _) = said.split_once("TLS\n").expect("TLS came up");
    assert!(!in_clear.contains("MAIL"), "{said}");
    // The sandbox offers DSN: a bounce must not carry the letter back.
    assert_eq!(said.matches(" RET=HDRS ENVID=").count(), said.matches("MAIL FROM").count(), "{said}");
    assert_eq!(said.matches(" NOTIFY=FAILURE").count(), said.matches("RCPT TO").count(), "{said}");
}

#[test]
fn what_is_said_in_clear_after_starttls_ends_the_session() {
    let peer = Peer::start(|_, line| {
        line.greet(&["STARTTLS"]);
        line.hear();
        line.say("220 go ahead\r\n250 injected\r\n");
        line.hear();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(peer.port, SHORT);
    let campaign = desk.small(2, "[transport]\nlifetime = \"1s\"\n");
    assert_eq!(desk.send(&campaign).1["expired"], 2);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["reasons"][0]["reason"], "starttls_injection", "{report}");
    assert!(!peer.heard("MAIL"));
}

#[test]
fn opportunistic_uses_tls_where_it_works_and_clear_text_where_it_does_not() {
    let broken = Peer::start(|number, line| {
        line.greet(&["STARTTLS", "PIPELINING"]);
        if number == 0 {
            line.hear();
            line.say("220 go ahead\r\n");
            line.say("this is no TLS\r\n");
            return;
        }
        line.take_everything();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(broken.port, SHORT);
    let transport = "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n";
    let campaign = desk.small(3, transport);
    assert_eq!(desk.send(&campaign).1["delivered"], 3, "{:?}", broken.said());
    assert!(broken.heard("MAIL FROM"));

    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, SHORT);
    let campaign = desk.small_of(4..=7, transport);
    assert_eq!(desk.send(&campaign).1["delivered"], 4);
    assert!(mx.totals()["encrypted"].as_u64() >= Some(1));
    assert_eq!(receivers::ledger(&desk).len(), 4);
}
