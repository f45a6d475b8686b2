//! Toxiproxy's API on the same routes and the same board, for the clients that people have: proxies are
//! TCP routes, toxics are faults.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Admin;
use super::call::{Call, delete, get, patch, post};
use crate::config::TcpRoute;
use crate::route::{Route, RouteEdit, RouteError};

mod toxic;

pub(crate) use toxic::Toxics;
use toxic::{ToxicEdit, ToxicError};

pub(super) fn calls() -> Vec<Call> {
    const PROXY: &str = "/proxies/{proxy}";
    const TOXICS: &str = "/proxies/{proxy}/toxics";
    const TOXIC: &str = "/proxies/{proxy}/toxics/{toxic}";
    vec![
        get("/version", version, "Toxiproxy: the version").gives::<Value>(),
        get("/proxies", list, "Toxiproxy: all proxies, by name").gives::<Map<String, Value>>(),
        post("/proxies", create, "Toxiproxy: makes a proxy, which is a TCP route")
            .takes::<ProxyBody>()
            .with_status(201)
            .gives::<Value>(),
        post("/populate", populate, "Toxiproxy: makes proxies that are not there yet")
            .takes::<Vec<ProxyBody>>()
            .with_status(201)
            .gives::<Value>(),
        post("/reset", reset, "Toxiproxy: enables all proxies and removes all toxics")
            .with_status(204),
        get(PROXY, show, "Toxiproxy: one proxy").gives::<Value>(),
        post(PROXY, update, "Toxiproxy: changes a proxy").takes::<ProxyBody>().gives::<Value>(),
        patch(PROXY, update, "Toxiproxy: changes a proxy").takes::<ProxyBody>().gives::<Value>(),
        delete(PROXY, delete_proxy, "Toxiproxy: removes a proxy").with_status(204),
        get(TOXICS, toxics, "Toxiproxy: the toxics of a proxy").gives::<Vec<Value>>(),
        post(TOXICS, add_toxic, "Toxiproxy: adds a toxic, which is a fault")
            .takes::<ToxicEdit>()
            .gives::<Value>(),
        get(TOXIC, show_toxic, "Toxiproxy: one toxic").gives::<Value>(),
        post(TOXIC, update_toxic, "Toxiproxy: changes a toxic")
            .takes::<ToxicEdit>()
            .gives::<Value>(),
        patch(TOXIC, update_toxic, "Toxiproxy: changes a toxic")
            .takes::<ToxicEdit>()
            .gives::<Value>(),
        delete(TOXIC, delete_toxic, "Toxiproxy: removes a toxic").with_status(204),
    ]
}

/// A call that was not done, in Toxiproxy's words.
#[derive(Debug)]
struct Failure(StatusCode, String);

type Answer = Result<Response, Failure>;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status, error) = self;
        (status, Json(json!({ "error": error, "status": status.as_u16() }))).into_response()
    }
}

impl From<RouteError> for Failure {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Unknown(_) => Self(StatusCode::NOT_FOUND, "proxy not found".to_owned()),
            RouteError::Exists(_) => Self(StatusCode::CONFLICT, "proxy already exists".to_owned()),
            RouteError::Full => Self(StatusCode::CONFLICT, error.to_string()),
            RouteError::Bad(_) => {
                Self(StatusCode::BAD_REQUEST, format!("bad request body: {error}"))
            }
            RouteError::Listen { .. } => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<ToxicError> for Failure {
    fn from(error: ToxicError) -> Self {
        let status = match error {
            ToxicError::Unknown => StatusCode::NOT_FOUND,
            ToxicError::Exists => StatusCode::CONFLICT,
            ToxicError::BadStream | ToxicError::BadType | ToxicError::BadBody(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        Self(status, error.to_string())
    }
}

/// A body is read whatever its content type: toxiproxy-java sends JSON as a form.
fn read<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure(StatusCode::BAD_REQUEST, format!("bad request body: {error}")))
}

async fn version() -> Response {
    let body = json!({ "version": concat!("squall-", env!("CARGO_PKG_VERSION")) }).to_string();
    ([(CONTENT_TYPE, "application/json;charset=utf-8")], body).into_response()
}

fn view(admin: &Admin, route: &Route) -> Value {
    json!({
        "name": *route.name,
        "listen": route.listen.to_string(),
        "upstream": route.upstream,
        "enabled": route.enabled,
        "toxics": admin.toxics.of(&route.name, &admin.board),
    })
}

async fn list(State(admin): State<Admin>) -> Json<Map<String, Value>> {
    let routes = admin.routes.all();
    Json(routes.iter().map(|route| (route.name.to_string(), view(&admin, route))).collect())
}

/// A proxy as clients send it. What they send beyond is ignored: the Go client sends its toxics.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ToxiproxyProxy")]
struct ProxyBody {
    name: String,
    listen: String,
    upstream: String,
    enabled: Option<bool>,
}

impl ProxyBody {
    fn route(&self, place: &str) -> Result<TcpRoute, Failure> {
        let missing = |field: &str| {
            let error = format!("missing required field: {field}{place}");
            Failure(StatusCode::BAD_REQUEST, error)
        };
        if self.name.is_empty() {
            return Err(missing("name"));
        }
        if self.upstream.is_empty() {
            return Err(missing("upstream"));
        }
        let listen = if self.listen.is_empty() { "localhost:0" } else { &self.listen };
        let enabled = self.enabled.unwrap_or(true);
        Ok(TcpRoute::new(&self.name, listen, &self.upstream, enabled).map_err(RouteError::from)?)
    }
}

async fn create(State(admin): State<Admin>, body: Bytes) -> Answer {
    let proxy: ProxyBody = read(&body)?;
    let route = admin.routes.add(&proxy.route("")?)?;
    Ok((StatusCode::CREATED, Json(view(&admin, &route))).into_response())
}

async fn populate(State(admin): State<Admin>, body: Bytes) -> Answer {
    let proxies: Vec<ProxyBody> = read(&body)?;
    let mut wanted = Vec::new();
    for (number, proxy) in proxies.iter().enumerate() {
        wanted.push(proxy.route(&format!(" at proxy {}", number + 1))?);
    }
    let mut made = Vec::new();
    for route in wanted {
        made.push(view(&admin, &*admin.populate(&route)?));
    }
    Ok((StatusCode::CREATED, Json(json!({ "proxies": made }))).into_response())
}

impl Admin {
    /// Makes a route, unless there is one that listens and leads to the same; another of its name gives
    /// way, with its toxics.
    fn populate(&self, route: &TcpRoute) -> Result<Arc<Route>, RouteError> {
        if let Ok(old) = self.routes.get(route.name()) {
            if old.listen.to_string() == route.listen() && old.upstream == route.upstream() {
                return Ok(old);
            }
            self.routes.remove(route.name())?;
            self.toxics.forget(route.name(), &self.board);
        }
        self.routes.add(route)
    }
}

async fn reset(State(admin): State<Admin>) -> Answer {
    for route in admin.routes.all() {
        admin.toxics.forget(&route.name, &admin.board);
        let edit = RouteEdit { enabled: Some(true), ..RouteEdit::default() };
        admin.routes.change(&route.name, &edit)?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn show(State(admin): State<Admin>, Path(proxy): Path<String>) -> Answer {
    let route = admin.routes.get(&proxy)?;
    Ok(Json(view(&admin, &route)).into_response())
}

async fn update(State(admin): State<Admin>, Path(proxy): Path<String>, body: Bytes) -> Answer {
    admin.routes.get(&proxy)?;
    let ProxyBody { listen, upstream, enabled, .. } = read(&body)?;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let edit = RouteEdit { listen: given(listen), upstream: given(upstream), enabled };
    let route = admin.routes.change(&proxy, &edit)?;
    Ok(Json(view(&admin, &route)).into_response())
}

async fn delete_proxy(State(admin): State<Admin>, Path(proxy): Path<String>) -> Answer {
    admin.routes.remove(&proxy)?;
    admin.toxics.forget(&proxy, &admin.board);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn toxics(State(admin): State<Admin>, Path(proxy): Path<String>) -> Answer {
    admin.routes.get(&proxy)?;
    Ok(Json(admin.toxics.of(&proxy, &admin.board)).into_response())
}

async fn add_toxic(State(admin): State<Admin>, Path(proxy): Path<String>, body: Bytes) -> Answer {
    admin.routes.get(&proxy)?;
    let edit: ToxicEdit = read(&body)?;
    Ok(Json(admin.toxics.add(&proxy, edit, &admin.board)?).into_response())
}

async fn show_toxic(
    State(admin): State<Admin>,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Answer {
    admin.routes.get(&proxy)?;
    Ok(Json(admin.toxics.get(&proxy, &toxic, &admin.board)?).into_response())
}

async fn update_toxic(
    State(admin): State<Admin>,
    Path((proxy, toxic)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    admin.routes.get(&proxy)?;
    let edit: ToxicEdit = read(&body)?;
    Ok(Json(admin.toxics.change(&proxy, &toxic, edit, &admin.board)?).into_response())
}

async fn delete_toxic(
    State(admin): State<Admin>,
    Path((proxy, toxic)): Path<(String, String)>,
) -> Answer {
    admin.routes.get(&proxy)?;
    admin.toxics.remove(&proxy, &toxic, &admin.board)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
