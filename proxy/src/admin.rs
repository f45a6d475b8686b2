//! The admin API: who may speak to it, and what there is to speak about.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder};

use crate::board::Board;
use crate::config::AdminConfig;
use crate::ledger::Ledger;
use crate::observe::Observer;
use crate::route::Routes;
use crate::upstream::Upstreams;

mod call;
mod faults;
mod guard;
mod page;
mod routes;
mod sessions;
mod toxiproxy;
mod upstreams;
mod watch;

use call::{Call, get};
pub use faults::FaultView;
use guard::Guard;
pub use routes::{ChangedRoute, NewRoute, RouteView};
pub use sessions::{HopsView, LedgerView, SessionState, SessionView, StreamsView};
pub(crate) use toxiproxy::Toxics;
pub use upstreams::UpstreamView;

/// The largest body that a call may have, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// How long a call may take, its body included.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// What the admin API speaks about.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) toxics: Arc<Toxics>,
    pub(crate) observer: Arc<Observer>,
}

/// Serves the admin API for as long as it is polled.
pub(crate) async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    config: AdminConfig,
    admin: Admin,
) -> io::Result<()> {
    let guard = Arc::new(Guard::new(address, config));
    axum::serve(listener, router(admin, guard)).await
}

/// Every call that there is, but for the files of the page.
fn calls() -> Vec<Call> {
    let own = vec![
        get("/healthz", async || Json(Health { status: "ok" }), "That it runs").gives::<Health>(),
        get("/readyz", ready, "Whether it can pass requests on to an upstream").gives::<Health>(),
        get("/openapi.json", async || Json(document()), "This document").gives::<Value>(),
    ];
    let rooms = [
        faults::calls(),
        sessions::calls(),
        watch::calls(),
        routes::calls(),
        upstreams::calls(),
        toxiproxy::calls(),
    ];
    own.into_iter().chain(rooms.into_iter().flatten()).collect()
}

/// The OpenAPI document of the admin API.
pub fn document() -> Value {
    call::document(&calls())
}

/// How it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
}

/// It is ready as long as there is nothing to pass on, or one upstream that was not found missing just
/// now.
async fn ready(State(admin): State<Admin>) -> Result<Json<Health>, Refusal> {
    if admin.upstreams.is_empty() || admin.upstreams.health().any(|(_, is_down)| !is_down) {
        return Ok(Json(Health { status: "ok" }));
    }
    let words = "no upstream can be reached: see GET /upstreams";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, words))
}

fn router(admin: Admin, guard: Arc<Guard>) -> Router {
    call::router(calls())
        .merge(page::routes())
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(guard, guard::check))
                .layer(HandleErrorLayer::new(async |_: BoxError| {
                    Refusal::new(StatusCode::REQUEST_TIMEOUT, "the call took more than 10 s")
                }))
                .timeout(CALL_DEADLINE),
        )
        .with_state(admin)
}

/// A call that was not done: `{"error": "…", "status": 404}`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: String,
}

/// The same, as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub(crate) struct RefusalView {
    /// Why it was not done, and what to do.
    error: String,
    /// The status, again.
    status: u16,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// The same, of the nth of several.
    fn at(self, number: usize) -> Self {
        Self { error: format!("number {number}: {}", self.error), ..self }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = RefusalView { error: self.error, status: self.status.as_u16() };
        (self.status, Json(body)).into_response()
    }
}
