//! What the proxy sees, for people who watch: live events, a figure for each second, and totals.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use squall_model::fault::FaultId;
use tokio::sync::broadcast;

use crate::classify::Exchange;
use crate::link::Traffic;
use crate::meter::{CLASSES, Calls, METHODS, Meter, Tally};
use crate::metrics::Metrics;
use crate::record::Hit;

/// How many events a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;
/// How many seconds are kept.
const SECONDS: usize = 120;
/// One thing that happened: its name, and its data as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) event: &'static str,
    pub(crate) data: Arc<str>,
}

/// Watches.
#[derive(Debug)]
pub(crate) struct Observer {
    events: broadcast::Sender<Seen>,
    /// One for each thread.
    meters: Mutex<Vec<Arc<Meter>>>,
    injections: AtomicU64,
    /// Bytes and injections, when the last second ended.
    before: Mutex<(u64, u64)>,
    past: Mutex<VecDeque<SecondView>>,
    pub(crate) open_streams: AtomicU64,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) metrics: Metrics,
}

/// One second, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Second")]
pub struct SecondView {
    /// When it ended: seconds since the Unix epoch.
    pub at: u64,
    /// Exchanges whose answer began.
    pub exchanges: u64,
    /// Those with a status of 400 or more, or without an answer.
    pub errors: u64,
    /// Acts of faults.
    pub injections: u64,
    /// The median time from a request to the head of its answer.
    pub p50_ms: f64,
    /// 95 % took no longer.
    pub p95_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
    /// Event streams that were open in the end.
    pub open_streams: u64,
    /// HTTP connections that were open in the end.
    pub open_connections: u64,
    /// Bytes that moved over HTTP connections, both ways.
    pub bytes: u64,
}

/// How an exchange ended, as far as its head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// The answer has begun.
    Answered(StatusCode),
    /// The connection ended instead.
    Aborted,
}

impl Observer {
    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            meters: Mutex::default(),
            injections: AtomicU64::new(0),
            before: Mutex::default(),
            past: Mutex::default(),
            open_streams: AtomicU64::new(0),
            traffic: Arc::default(),
            metrics: Metrics::new(),
        }
    }

    /// A meter for one more thread.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        let meter = Arc::new(Meter::new());
        self.meters.lock().push(meter.clone());
        meter
    }

    /// What all threads have counted since the proxy began.
    pub(crate) fn totals(&self) -> ([[u64; CLASSES.len()]; METHODS.len()], Calls) {
        let (mut answers, mut calls) = Default::default();
        for meter in self.meters.lock().iter() {
            meter.add_to(&mut answers, &mut calls);
        }
        (answers, calls)
    }

    /// Hears everything from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Seen> {
        self.events.subscribe()
    }

    /// The last two minutes, the oldest second first.
    pub(crate) fn seconds(&self) -> Vec<SecondView> {
        self.past.lock().iter().cloned().collect()
    }

    /// An exchange has ended, as far as its head; the thread's meter counts it.
    pub(crate) fn exchange(
        &self,
        meter: &Meter,
        exchange: &Exchange,
        took: Duration,
        ended: Ended,
        touched: &[FaultId],
    ) {
        meter.count(exchange, took, ended);
        exchange.trace(took, ended);
        if self.events.receiver_count() > 0 {
            self.tell("exchange", &line(exchange, took, ended, touched));
        }
    }

    /// A fault has acted.
    pub(crate) fn injection(&self, fault: &FaultId, effect: &'static str, hit: &Hit<'_>) {
        self.injections.fetch_add(1, Ordering::Relaxed);
        self.metrics.injection(fault, effect);
        if self.events.receiver_count() > 0 {
            let mut line = json!({ "at": unix_ms(), "fault": fault, "effect": effect });
            set(&mut line, "operation", hit.operation.map(|id| id.to_string()));
            set(&mut line, "session", hit.session);
            set(&mut line, "method", hit.method);
            self.tell("injection", &line);
        }
    }

    /// The set of faults has changed.
    pub(crate) fn board(&self) {
        self.tell("board", &json!({}));
    }

    /// Ends a second, for as long as it is polled.
    pub(crate) async fn keep_seconds(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let view = self.end_second();
            if let Ok(data) = serde_json::to_value(&view) {
                self.tell("second", &data);
            }
            let mut past = self.past.lock();
            if past.len() >= SECONDS {
                past.pop_front();
            }
            past.push_back(view);
        }
    }

    fn end_second(&self) -> SecondView {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (bytes, injections) =
            (load(&self.traffic.up) + load(&self.traffic.down), load(&self.injections));
        let before = std::mem::replace(&mut *self.before.lock(), (bytes, injections));
        let mut tally = Tally::new();
        for meter in self.meters.lock().iter() {
            meter.take(&mut tally);
        }
        let quantile = |q| tally.times.value_at_quantile(q) as f64 / 1000.0;
        SecondView {
            at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            exchanges: tally.exchanges,
            errors: tally.errors,
            injections: injections - before.1,
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            open_streams: load(&self.open_streams),
            open_connections: load(&self.traffic.open),
            bytes: bytes - before.0,
        }
    }

    fn tell(&self, event: &'static str, data: &Value) {
        // Without a listener there is nobody to tell.
        let _ = self.events.send(Seen { event, data: data.to_string().into() });
    }
}

fn unix_ms() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64() * 1000.0
}

fn set(line: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        line[key] = value.into();
    }
}

/// An exchange in one object. What is not known is left out.
fn line(exchange: &Exchange, took: Duration, ended: Ended, touched: &[FaultId]) -> Value {
    let message = exchange.messages.first();
    let mut line = json!({
        "at": unix_ms(),
        "http_method": exchange.method.as_str(),
        "path": exchange.uri.path(),
        "era": exchange.era,
        "duration_ms": took.as_secs_f64() * 1000.0,
        "faults": touched,
    });
    match ended {
        Ended::Answered(status) => line["status"] = status.as_u16().into(),
        Ended::Aborted => line["error"] = "aborted".into(),
    }
    set(&mut line, "method", message.and_then(|message| message.method.as_deref()));
    set(&mut line, "name", message.and_then(|message| message.name.as_deref()));
    set(&mut line, "session", exchange.session.as_deref());
    set(&mut line, "client", exchange.client.as_ref().map(|client| &*client.name));
    set(&mut line, "operation", exchange.operation.map(|id| id.to_string()));
    set(&mut line, "upstream", exchange.authority.as_deref());
    line
}
