//! Both ends of the socket, with an engine that only remembers what it was asked.

use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An engine with one run.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    slow: Option<Duration>,
}

fn run_view() -> RunView {
    RunView {
        campaign: "eob".into(),
        run: "00000000000000aa".into(),
        opened: 0,
        state: RunState::Paused,
        read: 12,
        ended: BTreeMap::from([(1, 7), (10, 2)]),
        deferred: 2,
        waiting: 1,
        rows: Some(20),
        read_all: false,
        found_in_doubt: 2,
        input_broke: Some("eob.csv.gz: ends in the middle".into()),
        seconds: 1.25,
        delivered_now: 5,
        latency: Some(crate::store::Latency { p50: 0.1, p90: 0.2, p99: 0.3 }),
        failed: Some(Refusal::usage("no")),
        recent: 2.5,
        cancelled_at: vec![Target::Provider("mx.example".into())],
        held: vec!["at mx.b.example: 60 of the last 100 answers".into()],
        canaries: vec!["mx.c.example: 3 of 20 answered".into()],
        braked: Some("60 of the last 100 rows were dropped".into()),
        phi_in_clear: true,
        tomorrow: 0,
    }
}

fn engine_view() -> EngineView {
    EngineView {
        pid: 7,
        since: 8,
        draining: true,
        conditions: vec![ConditionView { what: "disk_full".into(), since: 9, why: "/state: no room".into() }],
        paused: vec![Target::All, Target::Provider("mx.example".into()), Target::Source("a".into())],
        shaping: None,
        runs: vec![run_view()],
    }
}

fn submit() -> Submit {
    Submit {
        campaign: "/blasts/eob night.toml".into(),
        limit: Some(3),
        again: true,
        abandon: Some("00000000000000ab".into()),
        until_empty: true,
        deadline: Some(1_800_000_000_000),
    }
}

impl Fake {
    fn note(&self, what: impl std::fmt::Debug) {
        self.asked.lock().unwrap().push(format!("{what:?}"));
        std::thread::sleep(self.slow.unwrap_or_default());
    }
}

impl Commands for Fake {
    fn view(&self) -> EngineView {
        engine_view()
    }

    fn submit(&self, campaign: &Submit) -> Result<RunView, Refusal> {
        self.note(campaign);
        Ok(run_view())
    }

    fn pause(&self, target: &Target) -> Result<Option<String>, Refusal> {
        self.note(("pause", target));
        Ok(Some("no row went there yet".into()))
    }

    fn resume(&self, target: &Target) -> Result<(), Refusal> {
        self.note(("resume", target));
        Err(Refusal { what: "source a was not paused".into(), hint: Some("see status".into()), code: 75 })
    }

    fn cancel(&self, target: &Target) -> Result<u64, Refusal> {
        assert_ne!(*target, Target::All, "the fake breaks here");
        self.note(("cancel", target));
        Ok(41)
    }

    fn probe(&self, probe: &Probe) -> Result<Vec<crate::probe::Finding>, Refusal> {
        self.note(probe);
        Ok(Vec::new())
    }

    fn drain(&self) {
        self.note("drain");
    }
}

fn serve(state_dir: &Path, fake: Fake) -> (Socket, Arc<Fake>, Client) {
    let fake = Arc::new(fake);
    let socket = Socket::start(state_dir, fake.clone()).unwrap();
    let client = Client::connect(state_dir, || false).unwrap();
    (socket, fake, client)
}

#[test]
fn every_call_arrives_and_is_answered() {
    let state = tempfile::tempdir().unwrap();
    let (_socket, fake, client) = serve(state.path(), Fake::default());
    assert_eq!(client.view().unwrap(), engine_view());
    assert_eq!(client.run("00000000000000aa").unwrap(), run_view());
    assert_eq!(client.submit(&submit()).unwrap(), run_view());
    assert_eq!(client.pause(&Target::All).unwrap().as_deref(), Some("no row went there yet"));
    assert_eq!(client.cancel(&Target::Run("00000000000000aa".into())).unwrap(), 41);
    let probe = Probe { id: 7, floor: crate::mail::Level::Verified, domains: vec!["a.example".into()] };
    assert_eq!(client.probe(&probe).unwrap(), []);
    client.drain().unwrap();
    let asked = fake.asked.lock().unwrap().clone();
    let run = Target::Run("00000000000000aa".into());
    let expected = [
        format!("{:?}", submit()),
        format!("{:?}", ("pause", Target::All)),
        format!("{:?}", ("cancel", run)),
        format!("{probe:?}"),
        format!("{:?}", "drain"),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_refusal_arrives_whole() {
    let state = tempfile::tempdir().unwrap();
    let (_socket, _fake, client) = serve(state.path(), Fake::default());
    let Err(Error::Refused(refusal)) = client.resume(&Target::Source("a".into())) else { panic!("it is refused") };
    assert_eq!(
        (&*refusal.what, refusal.hint.as_deref(), refusal.code),
        ("source a was not paused", Some("see status"), 75)
    );
    for name in ["00000000000000ab", "../view", "a/b", "x y", ""] {
        let Err(Error::Refused(refusal)) = client.run(name) else { panic!("there is no run {name}") };
        assert_eq!(refusal.what, format!("the engine knows no run {name}"));
    }
}

#[test]
fn a_command_that_panics_is_answered_and_the_engine_still_there() {
    let state = tempfile::tempdir().unwrap();
    let (_socket, _fake, client) = serve(state.path(), Fake::default());
    let Err(Error::Refused(refusal)) = client.cancel(&Target::All) else { panic!("it panics") };
    assert_eq!(refusal.code, 70);
    client.view().unwrap();
}

#[test]
fn nonsense_and_floods_are_refused() {
    use std::io::{Read, Write};
    let state = tempfile::tempdir().unwrap();
    let (_socket, fake, client) = serve(state.path(), Fake::default());
    let long = "x".repeat(1 << 20);
    for (body, status) in [("{\"everything\":1}", "400"), ("", "400"), (&*long, "413")] {
        let mut stream = UnixStream::connect(state.path().join("socket")).unwrap();
        let head =
            format!("POST /pause HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // The answer may come, and the connection close, before all is written.
        stream.write_all(body.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert!(fake.asked.lock().unwrap().is_empty());
    client.view().unwrap();
}

#[test]
fn the_socket_is_its_owner_s_alone_and_gone_afterwards() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("socket");
    let (socket, _fake, client) = serve(state.path(), Fake::default());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    drop(socket);
    assert!(!path.exists());
    assert!(client.view().unwrap_err().is_gone());
    assert!(matches!(Client::connect(state.path(), || false), Err(Error::NoEngine(_))));
}

#[test]
fn a_dead_engine_s_socket_is_in_nobody_s_way() {
    let state = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(state.path().join("socket")).unwrap());
    assert!(matches!(Client::connect(state.path(), || false), Err(Error::NoEngine(_))));
    let (_socket, _fake, client) = serve(state.path(), Fake::default());
    client.view().unwrap();
}

#[test]
fn a_state_directory_may_be_deep() {
    let state = tempfile::tempdir().unwrap();
    let deep = state.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let (socket, _fake, client) = serve(&deep, Fake::default());
    client.view().unwrap();
    assert_eq!(std::fs::metadata(deep.join("socket")).unwrap().permissions().mode() & 0o7777, 0o600);
    drop(socket);
    assert!(!deep.join("socket").exists());
}

#[test]
fn an_engine_that_still_opens_its_store_is_waited_for() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_owned();
    let engine = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let socket = Socket::start(&folder, Arc::new(Fake::default())).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(socket);
    });
    Client::connect(state.path(), || true).unwrap().view().unwrap();
    engine.join().unwrap();
}

#[test]
fn engine_gone_in_the_middle_of_a_request() {
    let state = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(state.path().join("socket")).unwrap();
    let engine = std::thread::spawn(move || {
        // The first is `connect`'s; the second is closed without an answer.
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
    });
    let client = Client::connect(state.path(), || true).unwrap();
    assert!(matches!(client.submit(&submit()), Err(Error::Gone(_))));
    engine.join().unwrap();
}

#[test]
fn a_stopped_engine_does_not_hang_the_command() {
    let state = tempfile::tempdir().unwrap();
    // The kernel takes connections for it; it takes none.
    let _stopped = UnixListener::bind(state.path().join("socket")).unwrap();
    let mut client = Client::connect(state.path(), || true).unwrap();
    client.answer = Duration::from_millis(100);
    assert!(matches!(client.view(), Err(Error::Silent(_))));
}

#[test]
fn what_is_at_work_is_answered_when_the_engine_ends_and_long_work_does_not_hold_it() {
    for (slow, answered) in [(300, true), (3000, false)] {
        let state = tempfile::tempdir().unwrap();
        let slow = Some(Duration::from_millis(slow));
        let (socket, fake, client) = serve(state.path(), Fake { slow, ..Fake::default() });
        let asking = std::thread::spawn(move || client.submit(&submit()));
        while fake.asked.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        let since = Instant::now();
        drop(socket);
        assert!(since.elapsed() < Duration::from_secs(2));
        let answer = asking.join().unwrap();
        assert_eq!(answer.is_ok(), answered, "{answer:?}");
        assert!(answered || answer.unwrap_err().is_gone());
    }
}
