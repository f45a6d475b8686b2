//! The admin API: who may speak to it, and what there is to speak about.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder};

use crate::board::Board;
use crate::config::AdminConfig;
use crate::ledger::Ledger;
use crate::observe::Observer;
use crate::route::Routes;
use crate::upstream::Upstreams;

mod faults;
mod guard;
mod page;
mod routes;
mod sessions;
mod toxiproxy;
mod upstreams;
mod watch;

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

fn router(admin: Admin, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .merge(faults::routes())
        .merge(page::routes())
        .merge(routes::routes())
        .merge(sessions::routes())
        .merge(toxiproxy::routes())
        .merge(upstreams::routes())
        .merge(watch::routes())
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
        let body = json!({ "error": self.error, "status": self.status.as_u16() });
        (self.status, Json(body)).into_response()
    }
}
