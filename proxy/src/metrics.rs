//! Metrics for Prometheus.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use squall_model::fault::FaultId;

use crate::classify::Exchange;
use crate::observe::Ended;

/// How many pairs of method and tool are told apart, and how many faults; the rest is `other`.
const MOST: usize = 200;
/// Labels longer than this are `other`, too, in bytes.
const LONGEST: usize = 128;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    method: String,
    name: String,
}

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
    durations: Family<Call, Histogram, fn() -> Histogram>,
    known: Mutex<HashSet<Call>>,
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
    /// Each route with its open connections and the bytes that moved up and down.
    pub(crate) routes: Vec<(String, u64, u64, u64)>,
}

fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16)) // 0.5 ms to 16 s
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            exchanges: Family::default(),
            durations: Family::new_with_constructor(durations),
            known: Mutex::default(),
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
        r.register(
            "squall_exchange_duration_seconds",
            "From a request to the head of its answer",
            self.durations.clone(),
        );
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

    pub(crate) fn exchange(&self, exchange: &Exchange, took: Duration, ended: Ended) {
        let http_method = match exchange.method.as_str() {
            "POST" => "POST",
            "GET" => "GET",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let status = match ended {
            Ended::Aborted => "aborted",
            Ended::Answered(status) => match status.as_u16() / 100 {
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            },
        };
        self.exchanges.get_or_create(&Answer { http_method, status }).inc();
        let call = self.call(exchange);
        self.durations.get_or_create(&call).observe(took.as_secs_f64());
    }

    /// Method and name, as long as there are not too many of them: they are what clients like.
    fn call(&self, exchange: &Exchange) -> Call {
        let message = exchange.messages.first();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let method = text(message.and_then(|message| message.method.as_deref()));
        let name = text(message.and_then(|message| message.name.as_deref()));
        let call = Call { method, name };
        let is_short = call.method.len().max(call.name.len()) <= LONGEST;
        if is_short && is_one_of(&self.known, &call) {
            return call;
        }
        Call { method: "other".to_owned(), name: String::new() }
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
    pub(crate) fn text(&self, reading: &Reading) -> String {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.faults, reading.faults as u64);
        set(&self.sessions, reading.sessions as u64);
        set(&self.sessions_created, reading.created);
        set(&self.sessions_reinitialized, reading.reinitialized);
        set(&self.sessions_evicted, reading.evicted);
        set(&self.open_streams, reading.open_streams);
        for (route, open, up, down) in &reading.routes {
            set(&self.connections.get_or_create(&Of { route: route.clone() }), *open);
            for (direction, total) in [("up", up), ("down", down)] {
                let way = Way { route: route.clone(), direction };
                let counter = self.bytes.get_or_create(&way);
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
        let mut text = String::new();
        let _ = encode(&mut text, &self.registry); // a String takes everything
        text
    }
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
        let text = metrics.text(&Reading::default());
        let lines = text.lines().filter(|line| line.starts_with("squall_injections_total")).count();
        assert_eq!(lines, MOST + 1);
        assert!(
            text.contains(r#"squall_injections_total{fault="other",effect="drop"} 800"#),
            "{text}"
        );
    }
}
