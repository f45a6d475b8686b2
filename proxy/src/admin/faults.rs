//! `/faults`: the live faults, added, changed, renewed and removed.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use squall_model::fault::{EFFECT_NAMES, Fault, FaultId};
use squall_model::nearest::nearest;

use super::call::{Call, delete, get, patch, post, put};
use super::{Admin, Refusal};
use crate::board::{EditError, LiveFault};

type Answer<T> = Result<T, Refusal>;
type Id = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

pub(super) fn calls() -> Vec<Call> {
    vec![
        get("/faults", list, "The live faults, in the order in which they are asked")
            .gives::<Vec<FaultView>>(),
        post("/faults", add, "Adds a fault; without an id it is named for its effect")
            .takes::<NamelessFault>()
            .with_status(201)
            .gives::<FaultView>(),
        put("/faults", apply, "Puts a whole set in the place of all faults, or none of it")
            .takes::<Vec<Fault>>()
            .gives::<Vec<FaultView>>(),
        delete("/faults", clear, "Removes all faults, and frees what waits on them")
            .gives::<Vec<FaultView>>(),
        get("/faults/{id}", show, "One fault").gives::<FaultView>(),
        put("/faults/{id}", replace, "Puts another fault in its place; its counters go on")
            .takes::<NamelessFault>()
            .gives::<FaultView>(),
        patch("/faults/{id}", change, "Changes what a merge patch says of it")
            .takes_patch::<Value>()
            .gives::<FaultView>(),
        delete("/faults/{id}", remove, "Removes a fault, and frees what waits on it")
            .gives::<FaultView>(),
        post("/faults/{id}/lease", renew, "Starts its lease again, or one of another length")
            .takes::<Renewal>()
            .gives::<FaultView>(),
        get("/schema/fault", schema, "The JSON Schema of a fault").gives::<Value>(),
    ]
}

/// A fault whose id may be left out, as the document describes it.
struct NamelessFault;

impl JsonSchema for NamelessFault {
    fn schema_name() -> Cow<'static, str> {
        "NamelessFault".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Fault::json_schema(generator);
        let required = schema.get_mut("required").and_then(Value::as_array_mut);
        if let Some(required) = required {
            required.retain(|field| field != "id");
        }
        schema
    }
}

/// The JSON Schema of a fault.
async fn schema() -> Json<Value> {
    Json(squall_model::fault::schema().to_value())
}

/// A live fault as the API shows it: the fault, and what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LiveFault")]
pub struct FaultView {
    /// The fault, as it was added.
    #[serde(flatten)]
    pub fault: Fault,
    /// How often traffic fitted its scope.
    pub matches: u64,
    /// How often it fired.
    pub hits: u64,
    /// What is left of its lease.
    #[serde(default, with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub time_left: Option<Duration>,
}

impl From<&LiveFault> for FaultView {
    fn from(live: &LiveFault) -> Self {
        Self {
            fault: live.fault.clone(),
            matches: live.matches(),
            hits: live.hits(),
            time_left: live.time_left().map(|left| Duration::from_millis(left.as_millis() as u64)),
        }
    }
}

async fn list(State(admin): State<Admin>) -> Json<Vec<FaultView>> {
    let snapshot = admin.board.snapshot();
    Json(snapshot.faults().iter().map(|live| FaultView::from(&**live)).collect())
}

async fn add(State(admin): State<Admin>, body: Body) -> Answer<(StatusCode, Json<FaultView>)> {
    let fault = parse(body, |value| name(value, &admin))?;
    let live = admin.board.add(fault)?;
    tracing::info!(fault = %live.fault.id, effect = live.fault.effect.name(), "fault added");
    Ok((StatusCode::CREATED, Json(FaultView::from(&*live))))
}

/// Puts a whole set in the place of all faults, or none of it.
async fn apply(State(admin): State<Admin>, body: Body) -> Answer<Json<Vec<FaultView>>> {
    let values: Vec<Value> = serde_json::from_slice(&whole(body)?).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("this is no list of faults: {error}"))
    })?;
    let mut faults = Vec::new();
    for (number, value) in values.into_iter().enumerate() {
        let fault = read(value, |_| {}).map_err(|refusal| refusal.at(number + 1))?;
        faults.push(fault);
    }
    admin.board.apply(faults)?;
    let snapshot = admin.board.snapshot();
    tracing::info!(faults = snapshot.faults().len(), "faults applied");
    Ok(Json(snapshot.faults().iter().map(|live| FaultView::from(&**live)).collect()))
}

/// Changes what a JSON merge patch (RFC 7396) says. What waited on the fault is freed.
async fn change(State(admin): State<Admin>, id: Id, body: Body) -> Answer<Json<FaultView>> {
    let id = fault_id(id)?;
    let patch: Value = serde_json::from_slice(&whole(body)?).map_err(bad)?;
    let snapshot = admin.board.snapshot();
    let live = snapshot.faults().iter().find(|live| live.fault.id == id);
    let live = live.ok_or_else(|| EditError::Unknown(id.clone()))?;
    let mut value = serde_json::to_value(&live.fault).map_err(bad)?;
    merge(&mut value, patch);
    let fault = read(value, |_| {})?;
    if fault.id != id {
        let error = format!("the path names `{id}` and the body `{}`", fault.id);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error));
    }
    let live = admin.board.replace(fault)?;
    tracing::info!(fault = %id, enabled = live.fault.enabled, "fault changed");
    Ok(Json(FaultView::from(&*live)))
}

/// RFC 7396, section 2. Another effect takes the place of the old one whole.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            object.remove(&key);
            continue;
        }
        let place = object.entry(key.as_str()).or_insert(Value::Null);
        let is_other_effect = key == "effect"
            && value
                .as_object()
                .zip(place.as_object())
                .is_some_and(|(new, old)| new.keys().all(|name| !old.contains_key(name)));
        if is_other_effect {
            *place = value;
        } else {
            merge(place, value);
        }
    }
}

async fn clear(State(admin): State<Admin>) -> Json<Vec<FaultView>> {
    let removed = admin.board.clear();
    tracing::info!(faults = removed.len(), "faults cleared");
    Json(removed.iter().map(|live| FaultView::from(&**live)).collect())
}

async fn show(State(admin): State<Admin>, id: Id) -> Answer<Json<FaultView>> {
    let id = fault_id(id)?;
    let snapshot = admin.board.snapshot();
    let live = snapshot.faults().iter().find(|live| live.fault.id == id);
    live.map(|live| Json(FaultView::from(&**live))).ok_or_else(|| EditError::Unknown(id).into())
}

async fn replace(State(admin): State<Admin>, id: Id, body: Body) -> Answer<Json<FaultView>> {
    let id = fault_id(id)?;
    let fault = parse(body, |value| {
        value.entry("id").or_insert_with(|| Value::String(id.as_str().to_owned()));
    })?;
    if fault.id != id {
        let error = format!("the path names `{id}` and the body `{}`", fault.id);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error));
    }
    let live = admin.board.replace(fault)?;
    tracing::info!(fault = %live.fault.id, effect = live.fault.effect.name(), "fault changed");
    Ok(Json(FaultView::from(&*live)))
}

async fn remove(State(admin): State<Admin>, id: Id) -> Answer<Json<FaultView>> {
    let live = admin.board.remove(&fault_id(id)?)?;
    tracing::info!(fault = %live.fault.id, hits = live.hits(), "fault removed");
    Ok(Json(FaultView::from(&*live)))
}

/// The body of a renewal: `{}` for the fault's own lease, or another.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Renewal {
    #[serde(default, with = "humantime_serde::option")]
    #[schemars(with = "Option<String>")]
    lease: Option<Duration>,
}

async fn renew(State(admin): State<Admin>, id: Id, body: Body) -> Answer<Json<FaultView>> {
    let body = whole(body)?;
    let renewal: Renewal = if body.is_empty() {
        Renewal::default()
    } else {
        serde_json::from_slice(&body).map_err(bad_renewal)?
    };
    let live = admin.board.renew(&fault_id(id)?, renewal.lease)?;
    Ok(Json(FaultView::from(&*live)))
}

fn whole(body: Body) -> Answer<Bytes> {
    body.map_err(|error| {
        let words = format!("{}: 1 MiB at most was expected", error.body_text());
        Refusal::new(error.status(), words)
    })
}

/// Reads a fault, after its object was completed.
fn parse(body: Body, complete: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Answer<Fault> {
    read(serde_json::from_slice(&whole(body)?).map_err(bad)?, complete)
}

fn read(
    mut value: Value,
    complete: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Answer<Fault> {
    let Some(object) = value.as_object_mut() else {
        let error =
            "a fault is an object such as {\"effect\": {\"latency\": {\"delay\": \"200ms\"}}}";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error));
    };
    complete(object);
    if let Some(effect) = misspelt(object) {
        let meant = nearest(effect, EFFECT_NAMES.iter().copied());
        let meant = meant.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
        let names = EFFECT_NAMES.join(", ");
        let error = format!("unknown effect `{effect}`{meant} (there are: {names})");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error));
    }
    serde_json::from_value(value).map_err(bad)
}

/// The effect, if there is none of this name.
fn misspelt(fault: &serde_json::Map<String, Value>) -> Option<&str> {
    let effect = fault.get("effect").and_then(Value::as_object)?.keys().next()?;
    Some(effect.as_str()).filter(|name| !EFFECT_NAMES.contains(name))
}

/// A fault without an id is named for its effect: `latency-1`, or the next number that is free.
fn name(fault: &mut serde_json::Map<String, Value>, admin: &Admin) {
    if fault.contains_key("id") {
        return;
    }
    let effect = fault.get("effect").and_then(Value::as_object);
    let Some(effect) = effect.and_then(|effect| effect.keys().next().cloned()) else {
        return;
    };
    let snapshot = admin.board.snapshot();
    let is_free = |id: &String| snapshot.faults().iter().all(|live| live.fault.id.as_str() != id);
    let id = (1_u32..=u32::MAX).map(|number| format!("{effect}-{number}")).find(is_free);
    fault.insert("id".to_owned(), id.into());
}

fn fault_id(path: Id) -> Answer<FaultId> {
    let Path(text) =
        path.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    text.try_into().map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("{error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "it is an adapter for map_err")]
fn bad(error: serde_json::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("this is not a fault: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is an adapter for map_err")]
fn bad_renewal(error: serde_json::Error) -> Refusal {
    let words = format!("this is not a renewal such as {{\"lease\": \"30s\"}}: {error}");
    Refusal::new(StatusCode::BAD_REQUEST, words)
}

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        let status = match error {
            EditError::Unknown(_) => StatusCode::NOT_FOUND,
            EditError::Exists(_) | EditError::Full => StatusCode::CONFLICT,
            EditError::NoLease(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}
