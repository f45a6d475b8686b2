//! What the server counts and measures, for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::bus::Bus;
use crate::server::Server;
use crate::stats::resident_memory;
use crate::store::{Health, Mode, OnStoreFailure};
use crate::tools::Tool;

/// Seconds: from a tenth of a millisecond to ten seconds.
const BUCKETS: [f64; 14] =
    [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The methods that are told apart; a client may name any others.
const METHODS: [&str; 15] = [
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "server/discover",
    "subscriptions/listen",
];

/// How long things take.
pub(crate) struct Metrics {
    /// One for each of the methods, and one for all others.
    requests: Histograms,
    /// One for each tool.
    calls: Histograms,
    notifications: Histogram,
}

type Label = [(&'static str, &'static str); 1];

/// Histograms that differ in one label, found by their number and not by its value.
struct Histograms {
    family: Family<Label, Histogram>,
    each: Vec<Histogram>,
}

impl Histograms {
    fn new(label: &'static str, values: impl IntoIterator<Item = &'static str>) -> Self {
        let family = Family::<Label, Histogram>::new_with_constructor(histogram);
        let each = values.into_iter().map(|value| family.get_or_create(&[(label, value)]).clone());
        let each = each.collect();
        Self { family, each }
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: Histograms::new("method", METHODS.into_iter().chain(["other"])),
            calls: Histograms::new("tool", Tool::ALL.into_iter().map(Tool::name)),
            notifications: histogram(),
        }
    }

    /// A request was answered, or its answer's stream begun.
    pub(crate) fn answered(&self, method: &str, took: Duration) {
        let index = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len());
        self.requests.each[index].observe(took.as_secs_f64());
    }

    /// A call ended.
    pub(crate) fn called(&self, tool: Tool, took: Duration) {
        self.calls.each[tool as usize].observe(took.as_secs_f64());
    }

    /// A notification was delivered to the streams of this replica.
    pub(crate) fn notified(&self, took: Duration) {
        self.notifications.observe(took.as_secs_f64());
    }

    /// All of it, in the text format of `OpenMetrics`.
    pub(crate) async fn text(&self, server: &Server) -> String {
        let active = server.store.count().await.ok();
        let registry = self.registry(server, active);
        let mut out = String::new();
        match encode(&mut out, &registry) {
            Ok(()) => out,
            Err(error) => format!("# not encoded: {error}\n"),
        }
    }

    fn registry(&self, server: &Server, active: Option<usize>) -> Registry {
        let mut registry = Registry::with_prefix("squall_server");
        let stats = &server.stats;
        for (name, help, counter) in [
            ("http_requests", "HTTP requests of every path", &stats.requests),
            ("errors", "Answers that were an error of HTTP, JSON-RPC or a tool", &stats.errors),
            ("sessions_created", "Sessions that began here", &stats.sessions_created),
            ("sessions_closed", "Sessions that ended here", &stats.sessions_closed),
            ("resource_reads", "Resources that were read", &stats.resource_reads),
            ("prompts", "Prompts that were filled in", &stats.prompts),
            ("notifications_sent", "Notifications that were published", &stats.notifications_sent),
            (
                "notifications_lost",
                "Notifications that Redis did not take",
                &stats.notifications_failed,
            ),
        ] {
            registry.register(name, help, ConstCounter::new(counter.value()));
        }
        let lost = ConstCounter::new(server.journal.lost());
        registry.register("journal_lost", "Records that the journal's file did not take", lost);
        let calls = Family::<Label, Counter>::default();
        for tool in Tool::ALL {
            calls.get_or_create(&[("tool", tool.name())]).inc_by(stats.calls_of(tool).value());
        }
        registry.register("tool_calls", "Tool calls", calls);
        for (name, help, histograms) in [
            ("tool_call_duration", "How long tool calls took", &self.calls),
            (
                "request_duration",
                "How long requests took until they were answered, or their answer's stream began",
                &self.requests,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histograms.family.clone());
        }
        registry.register_with_unit(
            "notification_latency",
            "How long notifications took until this replica's streams had them",
            Unit::Seconds,
            self.notifications.clone(),
        );
        self.gauges(server, active, &mut registry);
        registry
    }

    fn gauges(&self, server: &Server, active: Option<usize>, registry: &mut Registry) {
        let store = server.store.health();
        store_mode(store, registry);
        let connections = match &server.bus {
            Bus::Local(_) => 0,
            Bus::Redis(bus) => u64::from(store.up) + u64::from(bus.hears()),
        };
        let mut gauge = |name: &str, help: &str, value: u64| {
            registry.register(
                name,
                help,
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)),
            );
        };
        if let Some(active) = active {
            gauge("sessions_active", "Sessions that are alive, of all replicas", active as u64);
        }
        gauge("streams_open", "Streams that are open", server.streams.count() as u64);
        gauge("store_up", "Whether the session store answers", u64::from(store.up));
        gauge("redis_connections", "Connections to Redis", connections);
        if let Some(bytes) = resident_memory() {
            gauge("memory_resident_bytes", "Resident memory", bytes);
        }
    }
}

/// What the session store is, and what becomes of requests just now: a set of states of which one is 1.
fn store_mode(store: Health, registry: &mut Registry) {
    let on_failure = store.on_failure.map_or("none", OnStoreFailure::name);
    let info = Info::new([("kind", store.kind), ("on_failure", on_failure)]);
    registry.register("store", "What the session store is, and what --on-store-failure says", info);
    let modes = Family::<Label, Gauge>::default();
    for mode in Mode::ALL {
        modes.get_or_create(&[("mode", mode.name())]).set(i64::from(mode == store.mode()));
    }
    let help = "What becomes of requests: the store is up, or it is down and they are refused, or known \
                sessions go on";
    registry.register("store_mode", help, modes);
}
