//! Metrics for Prometheus.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use squall_model::fault::FaultId;

use crate::meter::{CLASSES, Calls, METHODS};

/// How many faults are told apart; the rest is `other`.
const MOST: usize = 200;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    http_method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Act {
    fault: String,
    effect: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Way {
    route: String,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    route: String,
}

/// All metrics. What is a state, and not a count, is read when they are asked for.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    exchanges: Family<Answer, Counter>,
    durations: Arc<Durations>,
    injections: Family<Act, Counter>,
    acts: Mutex<HashSet<Act>>,
    faults: Gauge,
    sessions: Gauge,
    sessions_created: Gauge,
    sessions_reinitialized: Gauge,
    sessions_evicted: Gauge,
    open_streams: Gauge,
    connections: Family<Of, Gauge>,
    bytes: Family<Way, Counter<u64, AtomicU64>>,
}

/// What is read when metrics are asked for.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) faults: usize,
    pub(crate) sessions: usize,
    pub(crate) created: u64,
    pub(crate) reinitialized: u64,
    pub(crate) evicted: u64,
    pub(crate) open_streams: u64,
    /// Exchanges by HTTP method and class of status.
    pub(crate) answers: [[u64; CLASSES.len()]; METHODS.len()],
    pub(crate) calls: Calls,
    /// Each route with its open connections and the bytes that moved up and down.
    pub(crate) routes: Vec<(String, u64, u64, u64)>,
}

/// Durations, as threads have counted them.
#[derive(Debug, Default)]
struct Durations(Mutex<Calls>);

impl Collector for Durations {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let (name, help) = ("squall_exchange_duration_seconds", "To the head of the answer");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (method, name, spread) in self.0.lock().all() {
            let labels = [("method", method), ("name", name)];
            let mut one = metric.encode_family(&labels)?;
            let (sum, buckets) = (spread.seconds, spread.buckets());
            one.encode_histogram::<NoLabelSet>(sum, spread.count, &buckets, None)?;
        }
        Ok(())
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            exchanges: Family::default(),
            durations: Arc::default(),
            injections: Family::default(),
            acts: Mutex::default(),
            faults: Gauge::default(),
            sessions: Gauge::default(),
            sessions_created: Gauge::default(),
            sessions_reinitialized: Gauge::default(),
            sessions_evicted: Gauge::default(),
            open_streams: Gauge::default(),
            connections: Family::default(),
            bytes: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("squall_exchanges", "Exchanges whose answer began", self.exchanges.clone());
        r.register_collector(Box::new(self.durations.clone()));
        r.register("squall_injections", "Acts of faults", self.injections.clone());
        r.register("squall_faults", "Live faults", self.faults.clone());
        r.register("squall_sessions_known", "Sessions in the ledger", self.sessions.clone());
        let created = "Sessions that were started";
        r.register("squall_sessions_created", created, self.sessions_created.clone());
        let again = "Sessions that came instead of one that was lost";
        r.register("squall_sessions_reinitialized", again, self.sessions_reinitialized.clone());
        let evicted = "Sessions that made room in the ledger";
        r.register("squall_sessions_evicted", evicted, self.sessions_evicted.clone());
        r.register("squall_open_streams", "Event streams", self.open_streams.clone());
        r.register("squall_open_connections", "Connections", self.connections.clone());
        let bytes = "Bytes, counted as they move";
        r.register("squall_bytes", bytes, self.bytes.clone());
        self
    }

    pub(crate) fn injection(&self, fault: &FaultId, effect: &str) {
        let act = Act { fault: fault.to_string(), effect: effect.to_owned() };
        let act = if is_one_of(&self.acts, &act) {
            act
        } else {
            Act { fault: "other".to_owned(), effect: act.effect }
        };
        self.injections.get_or_create(&act).inc();
    }

    /// All of them, in the text format of `OpenMetrics` 1.0.
    pub(crate) fn text(&self, reading: Reading) -> String {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.faults, reading.faults as u64);
        set(&self.sessions, reading.sessions as u64);
        set(&self.sessions_created, reading.created);
        set(&self.sessions_reinitialized, reading.reinitialized);
        set(&self.sessions_evicted, reading.evicted);
        set(&self.open_streams, reading.open_streams);
        for (http_method, counts) in METHODS.into_iter().zip(reading.answers) {
            for (status, total) in CLASSES.into_iter().zip(counts).filter(|(_, total)| *total > 0) {
                raise(&self.exchanges.get_or_create(&Answer { http_method, status }), total);
            }
        }
        *self.durations.0.lock() = reading.calls;
        for (route, open, up, down) in &reading.routes {
            set(&self.connections.get_or_create(&Of { route: route.clone() }), *open);
            for (direction, total) in [("up", up), ("down", down)] {
                let way = Way { route: route.clone(), direction };
                raise(&self.bytes.get_or_create(&way), *total);
            }
        }
        let mut text = String::new();
        let _ = encode(&mut text, &self.registry); // a String takes everything
        text
    }
}

/// Lets a counter say this total.
fn raise(counter: &Counter<u64, AtomicU64>, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Whether it is known, or may be from now on.
fn is_one_of<T: Clone + Eq + std::hash::Hash>(known: &Mutex<HashSet<T>>, new: &T) -> bool {
    let mut known = known.lock();
    known.contains(new) || known.len() < MOST && known.insert(new.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_whatever_names_faults_have() {
        let metrics = Metrics::new();
        for number in 0..1000 {
            let id: FaultId = format!("f-{number}").parse().expect("an id");
            metrics.injection(&id, "drop");
        }
        let text = metrics.text(Reading::default());
        let lines = text.lines().filter(|line| line.starts_with("squall_injections_total")).count();
        assert_eq!(lines, MOST + 1);
        assert!(
            text.contains(r#"squall_injections_total{fault="other",effect="drop"} 800"#),
            "{text}"
        );
    }
}
