//! Registers series.

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Names are constants, so that registering them can only fail for a mistake of ours, which the first test meets.
pub(super) struct Book<'a>(pub(super) &'a Registry);

impl Book<'_> {
    pub(super) fn add<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect("no two series of one name");
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help).expect("a good name"))
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> Counter {
        self.add(Counter::new(name, help).expect("a good name"))
    }

    pub(super) fn seconds_by(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.add(CounterVec::new(Opts::new(name, help), labels).expect("a good name"))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help).expect("a good name"))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels).expect("a good name"))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels).expect("a good name"))
    }

    pub(super) fn measures(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels).expect("a good name"))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, label: &str) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(bounds());
        self.add(HistogramVec::new(options, &[label]).expect("a good name"))
    }
}

/// Bounds of the histograms, in seconds: 10 µs to 16 minutes, six to a decade, so that a quantile read off between two of
/// them is wrong by a quarter at most.
fn bounds() -> Vec<f64> {
    let decade = |power: i32| [1.0, 1.5, 2.2, 3.3, 4.7, 6.8].map(|step: f64| format!("{step}e{power}"));
    let bounds = (-5..3).flat_map(decade).map(|text| text.parse().expect("a number"));
    bounds.collect()
}
