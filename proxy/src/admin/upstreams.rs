//! `/upstreams`: the replicas, whether each is passed over, and whether it drains.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, get, patch};
use super::{Admin, Refusal};
use crate::upstream::Upstream;

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/upstreams", list, "The replicas behind the proxy").gives::<Vec<UpstreamView>>(),
        patch("/upstreams/{number}", change, "Lets a replica get nothing new, or takes that back")
            .takes::<Change>()
            .gives::<UpstreamView>(),
    ]
}

/// A replica as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Upstream")]
pub struct UpstreamView {
    /// Its number, from 1, in the order in which they were given.
    pub number: usize,
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// Whether it could not be reached just now, so that requests go elsewhere first.
    pub passed_over: bool,
    /// Whether it gets nothing new: its own sessions go on.
    pub draining: bool,
}

impl UpstreamView {
    fn of(index: usize, upstream: &Upstream, passed_over: bool) -> Self {
        Self {
            number: index + 1,
            address: upstream.address.to_string(),
            passed_over,
            draining: upstream.is_draining(),
        }
    }
}

fn all(admin: &Admin) -> Vec<UpstreamView> {
    let view = |(index, (upstream, passed_over)): (usize, (&Upstream, bool))| {
        UpstreamView::of(index, upstream, passed_over)
    };
    admin.upstreams.health().enumerate().map(view).collect()
}

async fn list(State(admin): State<Admin>) -> Json<Vec<UpstreamView>> {
    Json(all(&admin))
}

/// What may be changed: `{"draining": true}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamChange")]
struct Change {
    draining: bool,
}

async fn change(
    State(admin): State<Admin>,
    Path(number): Path<String>,
    body: Bytes,
) -> Result<Json<UpstreamView>, Refusal> {
    let Change { draining } = serde_json::from_slice(&body).map_err(|error| {
        let words = format!("this is no change such as {{\"draining\": true}}: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, words)
    })?;
    let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let changed = index.and_then(|index| admin.upstreams.drain(index, draining).map(|_| index));
    let view = changed.and_then(|index| all(&admin).into_iter().nth(index));
    view.map(Json).ok_or_else(|| {
        let words = format!("there is no upstream `{number}`: see GET /upstreams");
        Refusal::new(StatusCode::NOT_FOUND, words)
    })
}
