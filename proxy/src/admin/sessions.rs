//! `/sessions`: what the ledger knows.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_model::fault::FaultId;
use tokio::time::Instant;

use super::call::{Call, get};
use super::{Admin, Refusal};
use crate::ledger::{Entry, Life, WayBack};

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/sessions", list, "The session ledger").queried::<Wanted>().gives::<LedgerView>(),
        get("/sessions/{id}", show, "One session").gives::<SessionView>(),
    ]
}

/// The ledger as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Ledger")]
pub struct LedgerView {
    /// The sessions, those that were used last first.
    pub sessions: Vec<SessionView>,
    /// How many are known.
    pub known: usize,
    /// How many had to make room since the proxy began.
    pub evicted: u64,
}

/// A session as the API shows it. Times are milliseconds before now, or from one step to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct SessionView {
    /// `Mcp-Session-Id`.
    pub id: String,
    /// What has become of it.
    pub state: SessionState,
    /// The upstream it lives on: `http://HOST:PORT`; none once it is gone.
    pub upstream: Option<String>,
    /// Name of the client, from `initialize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Version of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// How long it is known.
    pub age_ms: f64,
    /// How long ago it was used.
    pub idle_ms: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// Those that were answered with an error of HTTP.
    pub errors: u64,
    /// How long ago a request went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_ms: Option<f64>,
    /// The fault that expired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_by: Option<FaultId>,
    /// How long ago its client got the first 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_found_ms: Option<f64>,
    /// The session that its client started instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// How long each hop of the way back took.
    #[serde(default, skip_serializing_if = "HopsView::is_empty")]
    pub way_back: HopsView,
    /// Its GET streams.
    pub streams: StreamsView,
}

/// What has become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// It is alive, as far as the wire tells.
    Open,
    /// Its client has ended it.
    Deleted,
    /// A fault has ended it, as far as clients can tell.
    Expired,
    /// The server answered 404.
    Gone,
}

/// How long each hop of the way back took, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "WayBack")]
pub struct HopsView {
    /// From the last success to the first 404.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_not_found_ms: Option<f64>,
    /// From there to the new `initialize`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_initialize_ms: Option<f64>,
    /// From there to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_answer_ms: Option<f64>,
    /// From there to `notifications/initialized` having been taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_initialized_ms: Option<f64>,
    /// From there to the first success of the new session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_success_ms: Option<f64>,
    /// From the first 404 to the first success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<f64>,
}

impl HopsView {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(life: &Life) -> Self {
        let WayBack { initialize, answered, initialized, first_success } = life.way_back;
        let hop = |from: Option<Instant>, to: Option<Instant>| {
            Some(ms(to?.saturating_duration_since(from?)))
        };
        Self {
            to_not_found_ms: hop(life.last_success, life.not_found),
            to_initialize_ms: hop(life.not_found, initialize),
            to_answer_ms: hop(initialize, answered),
            to_initialized_ms: hop(answered, initialized),
            to_success_ms: hop(initialized.or(answered), first_success),
            total_ms: hop(life.not_found, first_success),
        }
    }
}

/// The GET streams of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Streams")]
pub struct StreamsView {
    /// All that were opened.
    pub opened: u64,
    /// Those that are open.
    pub open: u64,
    /// Those that ended before their client left.
    pub cut: u64,
    /// Those that began with `Last-Event-ID`.
    pub resumed: u64,
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// How many are wanted: those that were used last.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// How many.
    limit: Option<usize>,
}

async fn list(
    State(admin): State<Admin>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<LedgerView>, Refusal> {
    let Query(Wanted { limit }) =
        wanted.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let mut entries = admin.ledger.sessions();
    let known = entries.len();
    entries.sort_by_cached_key(|entry| std::cmp::Reverse(entry.life().last_used));
    entries.truncate(limit.unwrap_or(known));
    let sessions = entries.iter().map(|entry| view(&admin, entry)).collect();
    Ok(Json(LedgerView { sessions, known, evicted: admin.ledger.evicted() }))
}

async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Json<SessionView>, Refusal> {
    let entry = admin.ledger.get(&id).ok_or_else(|| {
        let id: String = id.chars().take(80).collect();
        Refusal::new(StatusCode::NOT_FOUND, format!("there is no session `{id}`"))
    })?;
    Ok(Json(view(&admin, &entry)))
}

fn view(admin: &Admin, entry: &Entry) -> SessionView {
    let life = entry.life();
    let upstream = life.home.and_then(|home| admin.upstreams.get(home));
    let state = match () {
        () if life.is_deleted => SessionState::Deleted,
        () if life.expired_by.is_some() => SessionState::Expired,
        () if life.is_gone() => SessionState::Gone,
        () => SessionState::Open,
    };
    SessionView {
        id: entry.id.to_string(),
        state,
        upstream: upstream.map(|upstream| upstream.address.to_string()),
        client: life.client.as_ref().map(|client| client.name.to_string()),
        client_version: life.client.as_ref().map(|client| client.version.to_string()),
        age_ms: ms(life.created.elapsed()),
        idle_ms: ms(life.last_used.elapsed()),
        requests: life.requests,
        errors: life.errors,
        last_success_ms: life.last_success.map(|success| ms(success.elapsed())),
        expired_by: life.expired_by.clone(),
        not_found_ms: life.not_found.map(|moment| ms(moment.elapsed())),
        successor: life.successor.as_deref().map(str::to_owned),
        way_back: HopsView::of(&life),
        streams: StreamsView {
            opened: life.streams.opened,
            open: life.streams.open,
            cut: life.streams.cut,
            resumed: life.streams.resumed,
        },
    }
}
