//! Who gets in, and how often: the limits of a site, held against each client's address.
//!
//! Time is what the caller says it is, since the gate was made; so the arithmetic is the same under a test's clock.

use super::limits::{Allowed, Limits, Schedule, Step, Window};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The limits at work. Shared by all sessions, and by who changes them.
pub(super) struct Gate {
    began: Instant,
    book: Mutex<Book>,
}

/// A session's place among those of its client, until it is dropped.
pub(super) struct Seat {
    gate: Arc<Gate>,
    client: IpAddr,
}

#[derive(Default)]
struct Book {
    schedule: Schedule,
    /// When the schedule began.
    since: Duration,
    clients: HashMap<IpAddr, Client>,
}

#[derive(Default)]
struct Client {
    open: usize,
    /// What its messages are counted by; another one where the rate is another.
    meter: Option<Meter>,
}

/// Counts what a client sends at one rate.
pub(crate) struct Meter {
    allowed: Allowed,
    /// Of a bucket: when it is full again. Of whole spans: when this one ends.
    until: Duration,
    /// Of whole spans: how many came in this one.
    count: u32,
}

impl Gate {
    pub(super) fn new(schedule: Schedule) -> Gate {
        let book = Book { schedule, ..Book::default() };
        Gate { began: Instant::now(), book: Mutex::new(book) }
    }

    /// Other limits from now on.
    pub(super) fn change(&self, schedule: Schedule) {
        let mut book = self.book.lock().expect("no holder panics");
        book.schedule = schedule;
        book.since = self.began.elapsed();
    }

    /// Lets a connection in, if there is room for one more.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Seat> {
        let entered = self.book.lock().expect("no holder panics").enter(client, self.began.elapsed());
        entered.then(|| Seat { gate: self.clone(), client })
    }
}

impl Seat {
    /// What is said to a message at this step, if it is one too many.
    pub(super) fn refuses(&self, step: Step) -> Option<String> {
        let gate = &self.gate;
        gate.book.lock().expect("no holder panics").refuses(self.client, step, gate.began.elapsed())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut book = self.gate.book.lock().expect("no holder panics");
        if let Some(client) = book.clients.get_mut(&self.client) {
            client.open -= 1;
        }
    }
}

impl Book {
    fn enter(&mut self, client: IpAddr, now: Duration) -> bool {
        let most = self.limits(now).and_then(|limits| limits.most_connections);
        let client = self.clients.entry(client).or_default();
        let enters = most.is_none_or(|most| client.open < most);
        client.open += usize::from(enters);
        enters
    }

    fn refuses(&mut self, client: IpAddr, step: Step, now: Duration) -> Option<String> {
        let limits = self.limits(now).filter(|limits| limits.refuse_at == step)?;
        let (allowed, reply) = (limits.allowed()?, format!("{}\r\n", limits.reply));
        let client = self.clients.entry(client).or_default();
        let meter = match client.meter.take() {
            Some(meter) if meter.allowed == allowed => meter,
            _ => Meter::new(allowed),
        };
        (!client.meter.insert(meter).takes(now)).then_some(reply)
    }

    fn limits(&self, now: Duration) -> Option<&Limits> {
        self.schedule.at(now.saturating_sub(self.since))
    }
}

impl Meter {
    /// One to which nobody came yet.
    pub(crate) fn new(allowed: Allowed) -> Meter {
        Meter { allowed, until: Duration::ZERO, count: 0 }
    }

    /// Whether one more message is taken at `now`.
    pub(crate) fn takes(&mut self, now: Duration) -> bool {
        match self.allowed.window {
            Window::Bucket => self.drop_in(now),
            Window::Fixed => self.count_in(now),
        }
    }

    /// GCRA: what came in is a time at which the bucket will be full again, and that may not be further away than a burst.
    fn drop_in(&mut self, now: Duration) -> bool {
        let Allowed { rate, burst, .. } = self.allowed;
        let interval = rate.per / rate.count;
        let slack = interval * (burst - 1);
        let takes = self.until <= now + slack;
        if takes {
            self.until = self.until.max(now) + interval;
        }
        takes
    }

    fn count_in(&mut self, now: Duration) -> bool {
        let rate = self.allowed.rate;
        if now >= self.until {
            let spans = u32::try_from(now.as_nanos() / rate.per.as_nanos()).unwrap_or(u32::MAX - 1);
            (self.until, self.count) = (rate.per * (spans + 1), 0);
        }
        let takes = self.count < rate.count;
        self.count += u32::from(takes);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn book(text: &str) -> Book {
        Book { schedule: Schedule::parse(text).expect("good"), ..Book::default() }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Of messages at these milliseconds, those that are taken.
    fn taken(book: &mut Book, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        times.into_iter().filter(|at| book.refuses(ONE, Step::Mail, ms(*at)).is_none()).collect()
    }

    #[test]
    fn a_bucket_takes_its_burst_and_then_one_an_interval() {
        let mut book = book("[[limits]]\nrate = \"10/s\"\nburst = 3\n");
        assert_eq!(taken(&mut book, [0, 0, 0, 0, 50, 99, 100, 101, 199, 200]), [0, 0, 0, 100, 200]);
        // After a rest it is full, and no fuller.
        assert_eq!(taken(&mut book, [9000; 5]), [9000; 3]);
    }

    #[test]
    fn a_fixed_window_takes_all_at_its_border() {
        let mut book = book("[[limits]]\nrate = \"3/s\"\nwindow = \"fixed\"\n");
        let times = [900, 950, 960, 999, 1000, 1001, 1002, 1003, 1999, 2000];
        assert_eq!(taken(&mut book, times), [900, 950, 960, 1000, 1001, 1002, 2000]);
    }

    #[test]
    fn every_client_has_a_count_of_its_own() {
        let mut book = book("[[limits]]\nmost_connections = 2\nrate = \"1/s\"\n");
        assert_eq!([ONE, ONE, ONE, OTHER].map(|client| book.enter(client, ms(0))), [true, true, false, true]);
        assert!(book.refuses(ONE, Step::Mail, ms(0)).is_none() && book.refuses(OTHER, Step::Mail, ms(0)).is_none());
        assert_eq!(
            book.refuses(ONE, Step::Mail, ms(1)).as_deref(),
            Some("451 4.7.1 rate limited, try again later\r\n")
        );
        assert!(book.refuses(ONE, Step::Rcpt, ms(1)).is_none(), "one step refuses");
    }

    #[test]
    fn limits_change_when_it_is_their_time_and_a_count_goes_on_where_they_do_not() {
        let mut book = book(
            "[[limits]]\nrate = \"2/s\"\n[[limits]]\nfrom = \"5s\"\nrate = \"2/s\"\nrefuse_at = \"mail\"\nreply = \"450 4.7.0 slow\"\n\
             [[limits]]\nfrom = \"10s\"\nmost_connections = 1\nrate = \"1/min\"\nburst = 2\n",
        );
        assert_eq!(taken(&mut book, [0, 0, 0, 4999, 4999, 5000, 5499]), [0, 0, 4999, 4999, 5499]);
        assert_eq!(taken(&mut book, [10_000, 10_000, 10_000, 69_999, 70_000]), [10_000, 10_000, 70_000]);
        assert!(book.enter(ONE, ms(0)) && book.enter(ONE, ms(0)), "nobody is thrown out");
        assert!(!book.enter(ONE, ms(10_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_are_changed_begin_anew_and_seats_are_given_back() {
        let few = || Schedule::parse("[[limits]]\nmost_connections = 1\n[[limits]]\nfrom = \"5s\"\n").expect("good");
        let gate = Arc::new(Gate::new(few()));
        let seat = gate.enter(ONE).expect("room");
        assert!(gate.enter(ONE).is_none());
        tokio::time::advance(ms(5000)).await;
        assert!(gate.enter(ONE).is_some(), "there is no limit any longer");
        gate.change(few());
        assert!(gate.enter(ONE).is_none());
        drop(seat);
        let seat = gate.enter(ONE).expect("room again");
        assert!(seat.refuses(Step::Mail).is_none() && gate.enter(ONE).is_none());
    }
}
