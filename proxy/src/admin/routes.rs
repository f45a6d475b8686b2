//! `/routes`: the TCP routes, made, changed and removed.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::{Call, delete, get, patch, post};
use super::{Admin, Refusal};
use crate::config::TcpRoute;
use crate::route::{Route, RouteEdit, RouteError};

type Answer<T> = Result<T, Refusal>;

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/routes", list, "The TCP routes, by name").gives::<Vec<RouteView>>(),
        post("/routes", add, "Makes a TCP route")
            .takes::<NewRoute>()
            .with_status(201)
            .gives::<RouteView>(),
        get("/routes/{name}", show, "One TCP route").gives::<RouteView>(),
        patch("/routes/{name}", change, "Changes a TCP route; what it carries ends")
            .takes::<ChangedRoute>()
            .gives::<RouteView>(),
        delete("/routes/{name}", remove, "Removes a TCP route, and ends what it carries")
            .gives::<RouteView>(),
    ]
}

/// A TCP route as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Route")]
pub struct RouteView {
    /// Its name, which faults match as `route`.
    pub name: String,
    /// Where clients connect.
    pub listen: String,
    /// `HOST:PORT` behind it.
    pub upstream: String,
    /// Whether it listens.
    pub enabled: bool,
    /// Connections that are open.
    pub open: u64,
    /// Bytes that clients have sent, counted as they move.
    pub bytes_up: u64,
    /// Bytes that clients got.
    pub bytes_down: u64,
}

impl From<&Route> for RouteView {
    fn from(route: &Route) -> Self {
        let traffic = &route.traffic;
        Self {
            name: route.name.to_string(),
            listen: route.listen.to_string(),
            upstream: route.upstream.clone(),
            enabled: route.enabled,
            open: traffic.open.load(Ordering::Relaxed),
            bytes_up: traffic.up.load(Ordering::Relaxed),
            bytes_down: traffic.down.load(Ordering::Relaxed),
        }
    }
}

/// A route to be made: `{"name": "redis", "listen": "127.0.0.1:6380", "upstream": "127.0.0.1:6379"}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    /// Its name.
    pub name: String,
    /// Where clients connect; port 0 takes a free one.
    pub listen: String,
    /// `HOST:PORT` behind it.
    pub upstream: String,
    /// Whether it listens from the start.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// What is to be changed about a route.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangedRoute {
    /// Where clients connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `HOST:PORT` behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

async fn list(State(admin): State<Admin>) -> Json<Vec<RouteView>> {
    Json(admin.routes.all().iter().map(|route| RouteView::from(&**route)).collect())
}

async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer<Json<RouteView>> {
    Ok(Json(RouteView::from(&*admin.routes.get(&name)?)))
}

async fn add(State(admin): State<Admin>, body: Bytes) -> Answer<(StatusCode, Json<RouteView>)> {
    let NewRoute { name, listen, upstream, enabled } = read(&body)?;
    let route = TcpRoute::new(&name, &listen, &upstream, enabled).map_err(RouteError::from)?;
    let route = admin.routes.add(&route)?;
    Ok((StatusCode::CREATED, Json(RouteView::from(&*route))))
}

async fn change(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Json<RouteView>> {
    let ChangedRoute { listen, upstream, enabled } = read(&body)?;
    let route = admin.routes.change(&name, &RouteEdit { listen, upstream, enabled })?;
    Ok(Json(RouteView::from(&*route)))
}

async fn remove(State(admin): State<Admin>, Path(name): Path<String>) -> Answer<Json<RouteView>> {
    Ok(Json(RouteView::from(&*admin.routes.remove(&name)?)))
}

fn read<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("this is no route: {error}"))
    })
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        let status = match error {
            RouteError::Unknown(_) => StatusCode::NOT_FOUND,
            RouteError::Exists(_) | RouteError::Full => StatusCode::CONFLICT,
            RouteError::Bad(_) => StatusCode::BAD_REQUEST,
            RouteError::Listen { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
