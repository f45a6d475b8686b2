//! `/upstreams`: the replicas, and whether each is passed over.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Admin;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/upstreams", get(list))
}

/// A replica as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// `http://HOST:PORT`.
    pub address: String,
    /// Whether it could not be reached just now, so that requests go elsewhere first.
    pub passed_over: bool,
}

async fn list(State(admin): State<Admin>) -> Json<Vec<UpstreamView>> {
    let view = |(upstream, passed_over): (&crate::upstream::Upstream, bool)| UpstreamView {
        address: upstream.address.to_string(),
        passed_over,
    };
    Json(admin.upstreams.health().map(view).collect())
}
