//! What was offered to the embedded MX and what came of it, second by second, for whoever judges a sender's pace.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A course so far.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Course {
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// Each second since then.
    pub seconds: Vec<Second>,
    /// The most in any second, wherever it begins.
    pub most_a_second: Most,
    /// The most in any ten seconds.
    pub most_ten_seconds: Most,
    /// The most in any minute.
    pub most_a_minute: Most,
    /// The most connections at once.
    pub most_open: u32,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Second {
    /// Connections that came.
    pub connections: u32,
    /// Of them, those that were one too many.
    pub refused_connections: u32,
    /// Messages that were begun (MAIL).
    pub offered: u32,
    /// Of them, those that came too fast.
    pub refused_rate: u32,
    /// Recipients that were put off as unknown for now.
    pub deferred: u32,
    /// Recipients that were refused for good.
    pub bounced: u32,
    /// Messages that were taken.
    pub accepted: u32,
    /// The most connections that were open at once.
    pub open: u32,
}

/// The most in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Most {
    /// Messages that were begun.
    pub offered: usize,
    /// Messages that were taken.
    pub accepted: usize,
}

/// Something that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Opened,
    Closed,
    RefusedConnection,
    Offered,
    RefusedRate,
    Deferred,
    Bounced,
    Accepted,
}

/// Writes a course.
pub(super) struct Recorder {
    began: Instant,
    since_1970: Duration,
    open: u32,
    most_open: u32,
    seconds: Vec<Second>,
    offered: [Peak; 3],
    accepted: [Peak; 3],
}

/// The most events in any span of one length.
struct Peak {
    span: Duration,
    times: VecDeque<Duration>,
    most: usize,
}

impl Recorder {
    pub(super) fn new() -> Recorder {
        let peaks = || [1, 10, 60].map(|seconds| Peak::new(Duration::from_secs(seconds)));
        Recorder {
            began: Instant::now(),
            since_1970: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            open: 0,
            most_open: 0,
            seconds: Vec::new(),
            offered: peaks(),
            accepted: peaks(),
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        let now = self.began.elapsed();
        match event {
            Event::Opened => self.open += 1,
            Event::Closed => self.open -= 1,
            Event::Offered => self.offered.iter_mut().for_each(|peak| peak.note(now)),
            Event::Accepted => self.accepted.iter_mut().for_each(|peak| peak.note(now)),
            _ => {}
        }
        self.most_open = self.most_open.max(self.open);
        let open = self.open;
        let second = self.second(now);
        second.open = second.open.max(open);
        match event {
            Event::Opened => second.connections += 1,
            Event::Closed => {}
            Event::RefusedConnection => {
                second.connections += 1;
                second.refused_connections += 1;
            }
            Event::Offered => second.offered += 1,
            Event::RefusedRate => second.refused_rate += 1,
            Event::Deferred => second.deferred += 1,
            Event::Bounced => second.bounced += 1,
            Event::Accepted => second.accepted += 1,
        }
    }

    /// The course until now.
    pub(super) fn course(&mut self) -> Course {
        self.second(self.began.elapsed());
        let most = |at: usize| Most { offered: self.offered[at].most, accepted: self.accepted[at].most };
        Course {
            began: u64::try_from(self.since_1970.as_millis()).unwrap_or(u64::MAX),
            most_a_second: most(0),
            most_ten_seconds: most(1),
            most_a_minute: most(2),
            most_open: self.most_open,
            seconds: self.seconds.clone(),
        }
    }

    /// The second of this time; those before it in which nothing happened had as many connections as were left.
    fn second(&mut self, now: Duration) -> &mut Second {
        let at = usize::try_from(now.as_secs()).unwrap_or(usize::MAX);
        let quiet = Second { open: self.open, ..Second::default() };
        while self.seconds.len() <= at {
            self.seconds.push(quiet);
        }
        &mut self.seconds[at]
    }
}

impl Peak {
    fn new(span: Duration) -> Peak {
        Peak { span, times: VecDeque::new(), most: 0 }
    }

    fn note(&mut self, now: Duration) {
        self.times.push_back(now);
        while self.times.front().is_some_and(|first| *first + self.span <= now) {
            self.times.pop_front();
        }
        self.most = self.most.max(self.times.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn seconds_are_counted_by_themselves_and_spans_wherever_they_begin() {
        let mut recorder = Recorder::new();
        let wait = |millis| tokio::time::advance(Duration::from_millis(millis));
        let note = |recorder: &mut Recorder, events: &[Event]| events.iter().for_each(|event| recorder.note(*event));
        note(&mut recorder, &[Event::Opened, Event::Opened]);
        wait(900).await;
        note(&mut recorder, &[Event::Offered, Event::Accepted, Event::Offered, Event::RefusedRate, Event::Closed]);
        wait(600).await;
        note(&mut recorder, &[Event::Offered, Event::Accepted, Event::RefusedConnection]);
        wait(2000).await;
        note(&mut recorder, &[Event::Offered, Event::Bounced]);
        let course = recorder.course();
        let quiet = Second { open: 1, ..Second::default() };
        assert_eq!(
            course.seconds,
            [
                Second { connections: 2, offered: 2, refused_rate: 1, accepted: 1, open: 2, ..Second::default() },
                Second { connections: 1, refused_connections: 1, offered: 1, accepted: 1, ..quiet },
                quiet,
                Second { offered: 1, bounced: 1, ..quiet },
            ]
        );
        assert_eq!(course.most_a_second, Most { offered: 3, accepted: 2 });
        assert_eq!([course.most_ten_seconds, course.most_a_minute], [Most { offered: 4, accepted: 2 }; 2]);
        assert_eq!(course.most_open, 2);
        wait(1500).await;
        assert_eq!(recorder.course().seconds.len(), 6, "also where nothing came");
    }
}
