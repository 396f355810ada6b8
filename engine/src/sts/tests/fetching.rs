//! What a policy host may answer, and what it may not.

use super::*;

#[tokio::test]
async fn what_the_policy_host_may_answer() {
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{ENFORCE}\r\n0\r\n\r\n", ENFORCE.len());
    let largest = format!("{ENFORCE}x: {}", "x".repeat((64 << 10) - ENFORCE.len() - 3));
    let cases = [
        ("parameters", response("200 OK", "content-type: Text/Plain ; charset=utf-8\r\n", ENFORCE)),
        ("the largest", ok(&largest)),
        ("chunks", [chunked.as_slice(), chunk.as_bytes()].concat()),
        ("another word for OK", response("200 Fine", "Content-Type: text/plain\r\n", ENFORCE)),
        ("caching", response("200 OK", "Content-Type: text/plain\r\nCache-Control: no-store\r\nAge: 999\r\n", ENFORCE)),
    ];
    for (name, answer) in cases {
        let world = World::of(Act::Say(answer)).await;
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "{name}");
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Kept)), "{name}");
    }
}

#[tokio::test]
async fn what_it_may_not_answer() {
    let text = "Content-Type: text/plain\r\n";
    let endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("8001\r\n{}\r\n", "x".repeat(0x8001)).repeat(2);
    let cases = [
        (Fault::Status(301), response("301 Moved", "Location: https://mta-sts.b.example/x\r\n", "")),
        (Fault::Status(302), response("302 Found", &format!("{text}Location: /.well-known/mta-sts.txt\r\n"), ENFORCE)),
        (Fault::Status(404), response("404 Not Found", text, ENFORCE)),
        (Fault::Status(500), response("500 Oh", text, ENFORCE)),
        (Fault::Status(203), response("203 Changed on the way", text, ENFORCE)),
        (Fault::MediaType, response("200 OK", "Content-Type: text/html\r\n", ENFORCE)),
        (Fault::MediaType, response("200 OK", "Content-Type: text/plainer\r\n", ENFORCE)),
        (Fault::MediaType, response("200 OK", "", ENFORCE)),
        (Fault::TooLarge, ok(&format!("{ENFORCE}x: {}", "x".repeat(64 << 10)))),
        (Fault::TooLarge, [endless.as_slice(), chunk.as_bytes()].concat()),
        (Fault::Broken, response("200 OK", &format!("{text}X: {}\r\n", "x".repeat(20_000)), ENFORCE)),
        (Fault::Broken, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 900\r\n\r\nversion".to_vec()),
        (Fault::Broken, b"220 mx.b.example ESMTP\r\n".to_vec()),
        (Fault::Broken, Vec::new()),
        (Fault::Invalid(PolicyFault::Version), ok("")),
        (Fault::Invalid(PolicyFault::Mode), ok(&ENFORCE.replace("enforce", "strict"))),
    ];
    for (fault, answer) in cases {
        let world = World::of(Act::Say(answer)).await;
        assert_eq!(world.ask().await, unknown(fault));
        assert_eq!((world.ask().await, world.host.asked()), (unknown(fault), 1), "{fault:?} is remembered");
        assert_eq!(world.kept(), None);
        assert!(!world.ask().await.is_current());
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_prove_the_policy_host() {
    let own = || vec!["mta-sts.b.example".to_owned()];
    let cases = [
        ("another name", Identity::Of(vec!["b.example".into(), "www.b.example".into()])),
        ("a wildcard of two labels", Identity::Of(vec!["*.example".into()])),
        ("expired", Identity::Expired(own())),
        ("unknown issuer", Identity::Stranger(own())),
    ];
    for (name, identity) in cases {
        let world = World::with(identity, Act::Say(ok(ENFORCE))).await;
        assert_eq!(world.ask().await, unknown(Fault::Certificate), "{name}");
        assert_eq!((world.host.asked(), world.kept()), (0, None), "{name}");
    }
    let world = World::of(Act::Plain).await;
    assert_eq!(world.ask().await, unknown(Fault::Handshake));
}

/// Time passes by itself once the host has fallen silent.
#[tokio::test]
async fn a_policy_host_that_is_slow() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 66\r\n\r\nversion: STSv1".to_vec();
    let world = World::of(Act::Stall(head)).await;
    assert_eq!((world.ask().await, world.host.asked()), (unknown(Fault::TimedOut), 1));
}

#[tokio::test]
async fn a_policy_host_that_does_no_handshake() {
    let world = World::of(Act::Mute).await;
    assert_eq!(world.ask().await, unknown(Fault::TimedOut));
}

#[tokio::test]
async fn a_policy_host_that_is_not_there() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    for (at, fault) in [
        (Ok(vec![closed]), Fault::Unreachable),
        (Err(NoAddress::None), Fault::NoAddress),
        (Err(NoAddress::Denied), Fault::NoAddress),
        (Err(NoAddress::Failed), Fault::NoAddress),
    ] {
        world.locate(at);
        assert_eq!(world.ask().await, unknown(fault));
        world.pass(FIVE_MINUTES);
    }
    world.locate(Ok(vec![closed, world.host.address]));
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "another address is tried");
}
