//! What Prometheus sees, in a registry of our own: two engines in one process share nothing.
//!
//! All series are listed in [`Metrics`]; every label is one of a closed set, given there. No address, key, claim or
//! Message-ID is ever a label. Providers are named by their rule in `shaping.toml`, else by their best MX host: the first [`Config::providers`] that reach
//! [`providers::NAMED_FROM`] attempts by name, the rest together as `other`, so that no series ever falls.

mod book;
mod providers;
mod signing;

pub use providers::{OTHER, Pace, Providers};
pub use signing::{Signing, Single};

use self::book::Book;
use self::providers::Paces;
use crate::condition::{Condition, Conditions};
use crate::mail::{Class, Kind};
use prometheus::core::Collector;
use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Every series, and the handles that the message path counts with.
pub struct Metrics {
    registry: Registry,
    /// `sealpost_rows_read_total`: rows of the input looked at.
    pub read: IntCounter,
    /// `sealpost_outcomes_total{outcome}`: rows that ended; `outcome` is a [`Kind`]'s word.
    outcomes: IntCounterVec,
    /// `sealpost_deferrals_total`: attempts that ended in a later one.
    pub deferrals: IntCounter,
    /// `sealpost_rows{queue}`: rows by where they are; see [`Queue`].
    rows: IntGaugeVec,
    /// `sealpost_stage_seconds{stage}`: see [`Stage`].
    stages: [Histogram; Stage::ALL.len()],
    /// `sealpost_replies_total{step, class}`: replies by the command they answer and their first digit (`2yz`…`5yz`).
    replies: IntCounterVec,
    /// `sealpost_refusals_total{class}`: attempts that a server refused, by a [`Class`]'s word.
    refusals: IntCounterVec,
    /// `sealpost_session_failures_total{reason}`: connections that came to no session, by the verdict's closed label.
    failures: IntCounterVec,
    /// `sealpost_connections{state}`: see [`Connection`].
    connections: IntGaugeVec,
    /// `sealpost_sessions_total{tls}`: sessions opened, by `TLSv1.3`, `TLSv1.2` or `none`.
    sessions: IntCounterVec,
    /// `sealpost_sent_bytes_total`: octets of SMTP written, inside TLS.
    pub sent: IntCounter,
    /// `sealpost_received_bytes_total`: octets of SMTP read, inside TLS.
    pub received: IntCounter,
    /// `sealpost_lookups_total{result}`: domains looked up: `found`, or a `NoRoute`'s label.
    lookups: IntCounterVec,
    /// `sealpost_condition{what}`: 1 while a trouble of the machine holds; `what` is a [`Condition`]'s word.
    conditions: IntGaugeVec,
    /// `sealpost_braked_runs`: runs that their brakes have stopped, and that wait for a person.
    pub braked: IntGauge,
    /// `sealpost_held_providers`: providers at which brakes hold rows of open runs.
    pub held_providers: IntGauge,
    /// `sealpost_run_seconds`: how long this engine has had a run open.
    seconds: prometheus::Gauge,
    /// `sealpost_attempts_total{provider, result}`.
    pub providers: Providers,
    /// `sealpost_signature…`: what signatures cost.
    pub signing: Signing,
    /// Time with a run open: until the last rest, and since when again.
    worked: Mutex<(Duration, Option<Instant>)>,
}

/// What is measured in seconds. The order is that of a row's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decoding a batch of the input.
    Load,
    /// Judging a batch at the gate.
    Gate,
    /// Finding a domain's MX hosts, where they were not known.
    Route,
    /// Templates and MIME of one message.
    Render,
    /// DKIM signatures of one message, without the time that it waited for others; of signatures made together, its share.
    Sign,
    /// Waiting for others to be signed with.
    Gather,
    /// From connect to a session that takes mail.
    Open,
    /// From MAIL FROM, or where that went ahead from the reply to the message before it, to the reply to the message.
    Send,
    /// Writing one row's new standing to the store.
    Settle,
    /// Writing one row's `started` mark to the store.
    Mark,
    /// A synced write to the store.
    Sync,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 11] = [
        Stage::Load,
        Stage::Gate,
        Stage::Route,
        Stage::Render,
        Stage::Sign,
        Stage::Gather,
        Stage::Open,
        Stage::Send,
        Stage::Settle,
        Stage::Mark,
        Stage::Sync,
    ];

    fn word(self) -> &'static str {
        match self {
            Stage::Load => "load",
            Stage::Gate => "gate",
            Stage::Route => "route",
            Stage::Render => "render",
            Stage::Sign => "sign",
            Stage::Gather => "gather",
            Stage::Open => "open",
            Stage::Send => "send",
            Stage::Settle => "settle",
            Stage::Mark => "mark",
            Stage::Sync => "sync",
        }
    }
}

/// Where rows are that have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Waiting for a look-up.
    Routing,
    /// Waiting for room on the wire.
    Backlog,
    /// Being rendered and signed.
    Rendering,
    /// Rendered, waiting for a session.
    Ready,
    /// On a wire.
    InFlight,
    /// Waiting for a time.
    Deferred,
}

impl Queue {
    const ALL: [Queue; 6] =
        [Queue::Routing, Queue::Backlog, Queue::Rendering, Queue::Ready, Queue::InFlight, Queue::Deferred];

    fn word(self) -> &'static str {
        match self {
            Queue::Routing => "routing",
            Queue::Backlog => "backlog",
            Queue::Rendering => "rendering",
            Queue::Ready => "ready",
            Queue::InFlight => "in_flight",
            Queue::Deferred => "deferred",
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Connecting, greeting, TLS, login.
    Opening,
    /// Open, without a message.
    Idle,
    /// Open, with a message.
    Busy,
}

impl Connection {
    const ALL: [Connection; 3] = [Connection::Opening, Connection::Idle, Connection::Busy];

    fn word(self) -> &'static str {
        match self {
            Connection::Opening => "opening",
            Connection::Idle => "idle",
            Connection::Busy => "busy",
        }
    }
}

/// How finely providers are told apart.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How many have series of their own.
    pub providers: usize,
}

impl Metrics {
    /// All series, at zero.
    pub fn new(config: Config) -> Metrics {
        let registry = Registry::new();
        let book = Book(&registry);
        let stages = book.histograms("sealpost_stage_seconds", "Time spent, by stage of a row's way", "stage");
        let version = env!("CARGO_PKG_VERSION");
        book.gauges("sealpost_build_info", "Always 1, labelled with the version", &["version"])
            .with_label_values(&[version])
            .set(1);
        let seconds = prometheus::Gauge::new("sealpost_run_seconds", "Seconds in which this engine had a run open");
        let metrics = Metrics {
            read: book.counter("sealpost_rows_read_total", "Rows of the input looked at"),
            outcomes: book.counters("sealpost_outcomes_total", "Rows that ended, by outcome", &["outcome"]),
            deferrals: book.counter("sealpost_deferrals_total", "Attempts that ended in a later one"),
            rows: book.gauges("sealpost_rows", "Rows that have not ended, by where they are", &["queue"]),
            stages: Stage::ALL.map(|stage| stages.with_label_values(&[stage.word()])),
            replies: book.counters("sealpost_replies_total", "SMTP replies, by command and class", &["step", "class"]),
            refusals: book.counters("sealpost_refusals_total", "Attempts that a server refused, by class", &["class"]),
            failures: book.counters(
                "sealpost_session_failures_total",
                "Connections that came to no session, by reason",
                &["reason"],
            ),
            connections: book.gauges("sealpost_connections", "Connections, by what they are doing", &["state"]),
            sessions: book.counters("sealpost_sessions_total", "SMTP sessions opened, by version of TLS", &["tls"]),
            sent: book.counter("sealpost_sent_bytes_total", "Octets of SMTP written, inside TLS"),
            received: book.counter("sealpost_received_bytes_total", "Octets of SMTP read, inside TLS"),
            lookups: book.counters("sealpost_lookups_total", "Domains looked up, by result", &["result"]),
            conditions: book.gauges(
                "sealpost_condition",
                "1 while a trouble of the machine holds the engine up, by what it is",
                &["what"],
            ),
            braked: book.gauge("sealpost_braked_runs", "Runs stopped by their brakes until a person resumes them"),
            held_providers: book.gauge("sealpost_held_providers", "Providers at which brakes hold rows of open runs"),
            seconds: book.add(seconds.expect("a good name")),
            providers: Providers::new(
                book.counters("sealpost_attempts_total", "Attempts, by provider and result", &["provider", "result"]),
                Paces::new(&book),
                config.providers,
            ),
            signing: Signing::new(&book),
            registry,
            worked: Mutex::default(),
        };
        metrics.at_zero();
        #[cfg(target_os = "linux")]
        metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("no two series of one name");
        metrics
    }

    /// A row ended as `kind`.
    pub fn ended(&self, kind: Kind) {
        self.outcomes.with_label_values(&[kind.word()]).inc();
    }

    /// How many rows are in `queue`, to be moved up and down.
    pub fn rows(&self, queue: Queue) -> IntGauge {
        self.rows.with_label_values(&[queue.word()])
    }

    /// How many connections are in `state`, to be moved up and down.
    pub fn connections(&self, state: Connection) -> IntGauge {
        self.connections.with_label_values(&[state.word()])
    }

    /// `stage` took so long.
    pub fn took(&self, stage: Stage, time: Duration) {
        self.stage(stage).observe(time.as_secs_f64());
    }

    /// Does `work` and measures it as `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        self.took(stage, since.elapsed());
        done
    }

    /// A reply of `code` came to the command `step`.
    pub fn replied(&self, step: &str, code: u16) {
        let class = match code / 100 {
            2 => "2yz",
            3 => "3yz",
            4 => "4yz",
            _ => "5yz",
        };
        self.replies.with_label_values(&[step, class]).inc();
    }

    /// A server refused a message for this.
    pub fn refused(&self, class: Class) {
        self.refusals.with_label_values(&[class.word()]).inc();
    }

    /// A connection came to no session for this reason, a closed label.
    pub fn no_session(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// A session was opened over this version of TLS.
    pub fn session(&self, tls: &str) {
        self.sessions.with_label_values(&[tls]).inc();
    }

    /// A domain was looked up with this result, a closed label.
    pub fn looked_up(&self, result: &str) {
        self.lookups.with_label_values(&[result]).inc();
    }

    /// The time below which the share `q` of what was measured as `stage` lies, in seconds, as Prometheus'
    /// `histogram_quantile` reads it off the same bounds; `None` if nothing was.
    pub fn quantile(&self, stage: Stage, q: f64) -> Option<f64> {
        let metric = self.stage(stage).collect().into_iter().next()?.get_metric().first()?.get_histogram().clone();
        let rank = q * f64_of(metric.get_sample_count());
        let (mut below, mut lower) = (0, 0.0);
        for bucket in metric.get_bucket() {
            let (count, upper) = (bucket.cumulative_count(), bucket.upper_bound());
            if count > 0 && f64_of(count) >= rank {
                return Some(lower + (upper - lower) * (rank - f64_of(below)) / f64_of(count - below).max(1.0));
            }
            (below, lower) = (count, upper);
        }
        (metric.get_sample_count() > 0).then_some(lower)
    }

    /// A run is open.
    pub fn begins(&self) {
        self.worked.lock().expect("no holder panics").1.get_or_insert_with(Instant::now);
    }

    /// No run is open any more: what is shown from now on is of the time until now.
    pub fn rests(&self) {
        let mut worked = self.worked.lock().expect("no holder panics");
        let last = worked.1.take().map_or(Duration::ZERO, |since| since.elapsed());
        worked.0 += last;
    }

    fn worked(&self) -> Duration {
        let worked = self.worked.lock().expect("no holder panics");
        worked.0 + worked.1.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Shows which troubles hold.
    pub fn conditions(&self, conditions: &Conditions) {
        for condition in Condition::ALL {
            let holds = conditions.holds(condition);
            self.conditions.with_label_values(&[condition.word()]).set(holds.into());
        }
    }

    /// All series in Prometheus' text format.
    pub fn exposition(&self) -> String {
        self.seconds.set(self.worked().as_secs_f64());
        let mut text = Vec::new();
        // Writing to a vector does not fail, and every family has a series.
        TextEncoder::new().encode(&self.registry.gather(), &mut text).ok();
        String::from_utf8(text).unwrap_or_default()
    }

    fn stage(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }

    /// Series that are there from the start, so that a rate over the first minute is one.
    fn at_zero(&self) {
        Kind::ALL.iter().for_each(|kind| drop(self.outcomes.with_label_values(&[kind.word()])));
        Class::ALL.iter().for_each(|class| drop(self.refusals.with_label_values(&[class.word()])));
        Queue::ALL.iter().for_each(|queue| drop(self.rows(*queue)));
        Connection::ALL.iter().for_each(|state| drop(self.connections(*state)));
        self.conditions(&Conditions::default());
    }
}

fn f64_of(count: u64) -> f64 {
    // Exact to 2⁵³.
    #[allow(clippy::cast_precision_loss)]
    let exact = count as f64;
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_in_one_process_share_nothing() {
        let [one, other] = [0, 1].map(|_| Metrics::new(Config { providers: 1 }));
        one.ended(Kind::Delivered);
        assert!(one.exposition().contains("sealpost_outcomes_total{outcome=\"delivered\"} 1\n"));
        assert!(other.exposition().contains("sealpost_outcomes_total{outcome=\"delivered\"} 0\n"));
        assert!(one.exposition().contains("process_resident_memory_bytes"));
    }

    #[test]
    fn every_condition_has_a_series() {
        let (metrics, conditions) = (Metrics::new(Config { providers: 1 }), Conditions::default());
        for condition in Condition::ALL {
            let series = |value| format!("sealpost_condition{{what=\"{}\"}} {value}\n", condition.word());
            assert!(metrics.exposition().contains(&series(0)));
            conditions.set(condition, "a test", crate::clock::Timestamp(1));
            metrics.conditions(&conditions);
            assert!(metrics.exposition().contains(&series(1)));
        }
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_around_it() {
        let metrics = Metrics::new(Config { providers: 1 });
        assert_eq!(metrics.quantile(Stage::Send, 0.99), None);
        (1..=1000).for_each(|millis| metrics.took(Stage::Send, Duration::from_millis(millis)));
        for (q, expected) in [(0.5, 0.5), (0.99, 0.99)] {
            let found = metrics.quantile(Stage::Send, q).expect("measured");
            assert!((found / expected - 1.0_f64).abs() < 0.2, "{q}: {found}");
        }
        metrics.took(Stage::Send, Duration::from_secs(10_000));
        assert!(metrics.quantile(Stage::Send, 1.0).expect("measured") >= 680.0, "past the last bound: the last bound");
    }
}
