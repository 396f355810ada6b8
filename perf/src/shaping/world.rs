//! One sender and one receiver, on time that is made up: what happens next is taken from a heap of what will.
//!
//! A session is a connection on which one message follows the other, each a round trip (pipelined, as the engine does it). There are
//! always rows to send, so what limits the pace is the sender's choice, its sessions, or the receiver.

use super::luck::Luck;
use super::receiver::Receiver;
use super::senders::Sender;
use super::server::{Answer, Row, Server};
use engine::clock::Timestamp;
use engine::throttle::Learned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What happened in each second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// Attempts: messages begun and sessions refused.
    pub offered: u32,
    pub accepted: u32,
    pub refused: u32,
    /// Messages that the receiver would have taken in all.
    pub capacity: f64,
}

/// A play of `receiver` and `sender`.
pub struct World<'a> {
    receiver: &'a Receiver,
    sender: &'a mut dyn Sender,
    server: Server<'a>,
    luck: Luck,
    /// Microseconds.
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events_so_far: u64,
    sessions: Vec<Session>,
    idle: Vec<usize>,
    opening: usize,
    busy: usize,
    /// Rows that were told to come again, and when.
    deferred: BinaryHeap<Reverse<(u64, u64)>>,
    seconds: Vec<Second>,
    wakes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    is_taken: bool,
    carried: u32,
    row: Option<Row>,
}

const FREE: Session = Session { is_taken: false, carried: 0, row: None };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Syn(usize),
    Greeting(usize, bool),
    Mail(usize),
    Answered(usize, Said),
}

/// An [`Answer`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Fine,
    Later,
    TooFast,
}

/// When a greylisted row comes again, in seconds; the engine's first back-off.
const COMES_AGAIN: u64 = 300;
/// Where time begins, so that a time is not mistaken for a span.
pub const EPOCH: u64 = 1_700_000_000_000;

/// Plays the whole of it.
pub fn play(receiver: &Receiver, sender: &mut dyn Sender, seed: u64) -> (Vec<Second>, Option<Learned>) {
    let end = receiver.minutes * 60;
    let mut world = World {
        receiver,
        sender,
        server: Server::new(receiver),
        luck: Luck::new(seed),
        now: 0,
        events: BinaryHeap::new(),
        events_so_far: 0,
        sessions: Vec::new(),
        idle: Vec::new(),
        opening: 0,
        busy: 0,
        deferred: BinaryHeap::new(),
        seconds: vec![Second::default(); usize::try_from(end).unwrap_or(0) + 1],
        wakes: u64::MAX,
    };
    world.advance();
    while let Some(Reverse((at, _, event))) = world.events.pop()
        && at < end * 1_000_000
    {
        world.now = at;
        world.happens(event);
        world.advance();
    }
    let learned = world.sender.learned(Timestamp(EPOCH + end * 1000));
    world.capacities();
    world.seconds.pop();
    (world.seconds, learned)
}

impl World<'_> {
    fn happens(&mut self, event: Event) {
        match event {
            Event::Wake => self.wakes = u64::MAX,
            Event::Syn(session) => {
                let lets_in = self.server.connect(self.seconds());
                let half = self.takes(self.receiver.connect_ms / 2.0);
                self.after(half, Event::Greeting(session, lets_in));
            }
            Event::Greeting(session, true) => {
                self.opening -= 1;
                self.idle.push(session);
            }
            Event::Greeting(session, false) => {
                self.opening -= 1;
                self.sessions[session] = FREE;
                self.count(|second| (second.offered, second.refused) = (second.offered + 1, second.refused + 1));
                let left = self.open() + self.opening;
                self.sender.refused(left, self.time());
            }
            Event::Mail(session) => self.mail(session),
            Event::Answered(session, said) => self.answered(session, said),
        }
    }

    fn mail(&mut self, session: usize) {
        let now = self.seconds();
        let mut row = self.sessions[session].row.take().unwrap_or(Row { seen: None, is_unknown: false });
        let answer = self.server.mail(&mut row, now);
        self.sessions[session].row = Some(row);
        let said = match answer {
            Answer::Accepted | Answer::Unknown => Said::Fine,
            Answer::Greylisted => Said::Later,
            Answer::TooFast => Said::TooFast,
        };
        let half = self.takes(self.receiver.latency_ms / 2.0);
        self.after(half, Event::Answered(session, said));
    }

    fn answered(&mut self, session: usize, said: Said) {
        let (time, busy) = (self.time(), self.busy);
        let row = self.sessions[session].row.take();
        match said {
            Said::TooFast => {
                self.count(|second| second.refused += 1);
                let open = self.open();
                self.sender.too_fast(busy, open, time);
            }
            Said::Later => {
                let seen = row.and_then(|row| row.seen).unwrap_or_default();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of day")]
                self.deferred.push(Reverse((self.now + COMES_AGAIN * 1_000_000, (seen * 1e6) as u64)));
                self.sender.answered(busy, time);
            }
            Said::Fine => {
                self.count(|second| second.accepted += 1);
                self.sender.answered(busy, time);
            }
        }
        self.busy -= 1;
        let worn = self.sessions[session].carried >= self.receiver.messages_per_connection;
        if worn || (said == Said::TooFast && self.receiver.hangs_up) || self.open() > self.sender.sessions(time) {
            self.sessions[session] = FREE;
            self.server.close(self.seconds());
        } else {
            self.idle.push(session);
        }
    }

    /// Opens sessions and begins messages, as far as the sender wants to.
    fn advance(&mut self) {
        let time = self.time();
        while self.open() + self.opening < self.sender.sessions(time).min(self.receiver.connections) {
            match self.sender.connect(time) {
                Ok(()) => self.connect(),
                Err(next) => {
                    self.wake(next);
                    break;
                }
            }
        }
        while let Some(session) = self.idle.last().copied() {
            match self.sender.take(time) {
                Ok(()) => self.begin(session),
                Err(next) => return self.wake(next),
            }
        }
    }

    fn connect(&mut self) {
        let free = self.sessions.iter().position(|session| !session.is_taken);
        let session = free.unwrap_or_else(|| {
            self.sessions.push(FREE);
            self.sessions.len() - 1
        });
        self.sessions[session].is_taken = true;
        self.opening += 1;
        let half = self.takes(self.receiver.connect_ms / 2.0);
        self.after(half, Event::Syn(session));
    }

    fn begin(&mut self, session: usize) {
        self.idle.pop();
        self.busy += 1;
        let again = self.deferred.peek().is_some_and(|Reverse((due, _))| *due <= self.now);
        #[expect(clippy::cast_precision_loss, reason = "a time of day")]
        let seen = if again { self.deferred.pop().map(|Reverse((_, seen))| seen as f64 / 1e6) } else { None };
        let is_unknown = !again && self.luck.share() < self.receiver.unknown;
        let slot = &mut self.sessions[session];
        (slot.row, slot.carried) = (Some(Row { seen, is_unknown }), slot.carried + 1);
        self.count(|second| second.offered += 1);
        let half = self.takes(self.receiver.latency_ms / 2.0);
        self.after(half, Event::Mail(session));
    }

    fn open(&self) -> usize {
        self.idle.len() + self.busy
    }

    fn wake(&mut self, next: Timestamp) {
        let at = next.0.saturating_sub(EPOCH).saturating_mul(1000).max(self.now + 1);
        if at < self.wakes {
            self.wakes = at;
            self.push(at, Event::Wake);
        }
    }

    fn after(&mut self, micros: u64, event: Event) {
        self.push(self.now + micros, event);
    }

    fn push(&mut self, at: u64, event: Event) {
        self.events_so_far += 1;
        self.events.push(Reverse((at, self.events_so_far, event)));
    }

    /// About so many milliseconds, in microseconds.
    fn takes(&mut self, millis: f64) -> u64 {
        let luck = (self.luck.share() * 2.0 - 1.0) * self.receiver.jitter;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency")]
        let micros = (millis * (1.0 + luck) * 1000.0).max(1.0) as u64;
        micros
    }

    fn time(&self) -> Timestamp {
        Timestamp(EPOCH + self.now / 1000)
    }

    #[expect(clippy::cast_precision_loss, reason = "a time of day")]
    fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    fn count(&mut self, what: impl FnOnce(&mut Second)) {
        let capacity = self.receiver.capacity() * self.receiver.factor(self.seconds());
        let standing = self.server.standing(self.seconds());
        let at = usize::try_from(self.now / 1_000_000).unwrap_or(0);
        let Some(second) = self.seconds.get_mut(at) else { return };
        second.capacity = capacity * standing;
        what(second);
    }

    /// Of seconds in which nothing happened.
    fn capacities(&mut self) {
        let mut last = self.receiver.capacity();
        for (at, second) in self.seconds.iter_mut().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a time of day")]
            let factor = self.receiver.factor(at as f64);
            if self.receiver.reputation.is_none() {
                second.capacity = self.receiver.capacity() * factor;
            } else if second.offered + second.accepted + second.refused == 0 {
                second.capacity = last;
            }
            last = second.capacity;
        }
    }
}
