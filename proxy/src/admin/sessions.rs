//! `/sessions`: which replica each session lives on.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use squall_model::fault::FaultId;

use super::Admin;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/sessions", get(list))
}

/// A session as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// `Mcp-Session-Id`.
    pub id: String,
    /// The upstream it lives on: `http://HOST:PORT`.
    pub upstream: Option<String>,
    /// The fault that expired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_by: Option<FaultId>,
}

async fn list(State(admin): State<Admin>) -> Json<Vec<SessionView>> {
    let sessions = admin.ledger.sessions().into_iter();
    let view = |(id, session): (std::sync::Arc<str>, crate::ledger::Session)| {
        let upstream = session.home.and_then(|home| admin.upstreams.get(home));
        SessionView {
            id: id.to_string(),
            upstream: upstream.map(|upstream| upstream.address.to_string()),
            expired_by: session.expired_by,
        }
    };
    Json(sessions.map(view).collect())
}
