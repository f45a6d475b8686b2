//! `/events`, `/stats` and `/metrics`: what happens, what happened, and what it adds up to.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::json;
use squall_model::scope::MCP_ROUTE;
use tokio::sync::broadcast::error::RecvError;

use super::Admin;
use crate::link::Traffic;
use crate::metrics::Reading;
use crate::observe::SecondView;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/events", get(events))
        .route("/stats", get(stats))
        .route("/metrics", get(metrics))
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

async fn stats(State(admin): State<Admin>) -> Json<serde_json::Value> {
    let seconds: Vec<SecondView> = admin.observer.seconds();
    Json(json!({
        "seconds": seconds,
        "open_streams": admin.observer.open_streams.load(Ordering::Relaxed),
        "open_connections": admin.observer.traffic.open.load(Ordering::Relaxed),
    }))
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
