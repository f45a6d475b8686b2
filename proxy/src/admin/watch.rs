//! `/events`, `/stats` and `/metrics`: what happens, what happened, and what it adds up to.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use squall_model::scope::MCP_ROUTE;
use tokio::sync::broadcast::error::RecvError;

use super::Admin;
use super::call::{Call, get};
use crate::link::Traffic;
use crate::metrics::Reading;
use crate::observe::SecondView;

pub(super) fn calls() -> Vec<Call> {
    vec![
        get(
            "/events",
            events,
            "What happens, live: exchanges, injections, changed faults, seconds",
        )
        .gives_text("text/event-stream"),
        get("/stats", stats, "A figure for each of the last 120 seconds").gives::<Stats>(),
        get("/metrics", metrics, "For Prometheus, as OpenMetrics")
            .gives_text("application/openmetrics-text"),
    ]
}

/// What happened lately.
#[derive(Debug, Serialize, JsonSchema)]
struct Stats {
    /// The last two minutes, the oldest second first.
    seconds: Vec<SecondView>,
    /// Event streams that are open.
    open_streams: u64,
    /// HTTP connections that are open.
    open_connections: u64,
}

async fn events(State(admin): State<Admin>) -> impl IntoResponse {
    let stream: std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> =
        Box::pin(unfold(admin.observer.listen(), async |mut seen| {
            let event = match seen.recv().await {
                Ok(seen) => Event::default().event(seen.event).data(&*seen.data),
                Err(RecvError::Lagged(events)) => {
                    let data = json!({ "events": events }).to_string();
                    Event::default().event("skipped").data(data)
                }
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(event), seen))
        }));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(5)))
}

async fn stats(State(admin): State<Admin>) -> Json<Stats> {
    Json(Stats {
        seconds: admin.observer.seconds(),
        open_streams: admin.observer.open_streams.load(Ordering::Relaxed),
        open_connections: admin.observer.traffic.open.load(Ordering::Relaxed),
    })
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let load = |traffic: &Traffic| {
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        (of(&traffic.open), of(&traffic.up), of(&traffic.down))
    };
    let (open, up, down) = load(&admin.observer.traffic);
    let mut routes = vec![(MCP_ROUTE.to_owned(), open, up, down)];
    for route in admin.routes.all() {
        let (open, up, down) = load(&route.traffic);
        routes.push((route.name.to_string(), open, up, down));
    }
    let (answers, calls) = admin.observer.totals();
    let reading = Reading {
        answers,
        calls,
        faults: admin.board.snapshot().faults().len(),
        sessions: admin.ledger.sessions().len(),
        created: admin.ledger.created.load(Ordering::Relaxed),
        reinitialized: admin.ledger.reinitialized.load(Ordering::Relaxed),
        evicted: admin.ledger.evicted(),
        open_streams: admin.observer.open_streams.load(Ordering::Relaxed),
        routes,
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], admin.observer.metrics.text(reading)).into_response()
}
