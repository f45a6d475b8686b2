//! The endpoint in the stateless era, 2026-07-28 (basic/transports/streamable-http): every request says for
//! itself what it speaks and what its client can do, and is answered by whichever replica it meets.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Envelope, Kind, Message};
use squall_model::mcp::era::{Era, STATELESS};

use super::accept::Accepts;
use super::mirror;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::session_era::{check_id, one};
use crate::client::{Capabilities, Level};
use crate::listeners::Filter;
use crate::methods::{self, Asker, Begun, Outcome, StatelessResult, Success, ToolCall, clip};
use crate::outbox::Outbox;
use crate::resources;
use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::store::MOST_SUBSCRIPTIONS;
use crate::streams::EventStream;
use crate::tools::Caller;

const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Bytes of the id of a subscription, which every message on its stream repeats.
const LONGEST_ID: usize = 1024;
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    client: Option<&'a RawValue>,
    #[serde(default, rename = "io.modelcontextprotocol/logLevel")]
    level: Option<Level>,
}

#[derive(Deserialize)]
struct ListenParams {
    notifications: Filter,
}

/// Whether the header says this era.
pub(super) fn is_meant_by(headers: &HeaderMap) -> bool {
    mirror::version(headers).is_some_and(|version| Era::of(version) == Era::Stateless)
}

/// Whether a body, or else its headers, say this era (basic/versioning, backward compatibility).
pub(super) fn is_spoken(headers: &HeaderMap, envelope: &Envelope<'_>) -> bool {
    let says_so = |message: &Message<'_>| {
        message.meta_version.is_some() || message.method.as_deref() == Some("server/discover")
    };
    is_meant_by(headers) || matches!(envelope, Envelope::Single(message) if says_so(message))
}

/// POST: one request, or one notification.
pub(super) async fn post(
    server: &Arc<Server>,
    headers: &HeaderMap,
    envelope: &Envelope<'_>,
) -> Result<Reply, Refusal> {
    let Envelope::Single(message) = envelope else {
        return Err(Refusal::NotOneMessage);
    };
    match message.kind {
        Kind::Response | Kind::Error => return Err(Refusal::NotOneMessage),
        Kind::Notification => return Ok(reply::empty(StatusCode::ACCEPTED)),
        Kind::Request => {}
    }
    let accepts = Accepts::read(headers).ok_or(Refusal::NotAcceptable)?;
    check_id(message)?;
    let asker = read_meta(headers, message)?;
    mirror::check(headers, message)?;
    if message.method.as_deref() == Some("subscriptions/listen") {
        return listen(server, message);
    }
    match methods::begin(server, asker, message) {
        Ok(Begun::Call(call)) if streams(accepts, asker, &call) => {
            Ok(stream(server, asker, message, call))
        }
        begun => match finish(server, asker, begun).await {
            Ok(success) => Ok(one(accepts, write(server, message.id, &Ok(success)))),
            Err(error) => {
                let refusal = refusal(error);
                if refusal.is_ok() {
                    server.stats.errors.increase(); // others are counted by their status
                }
                Err(refusal)
            }
        },
    }
}

/// Who asks, as the request itself says.
fn read_meta(headers: &HeaderMap, message: &Message<'_>) -> Result<Asker<'static>, Refusal> {
    let params: Params<'_> = match message.params {
        None => Params::default(),
        Some(raw) => serde_json::from_str(raw.get()).map_err(Refusal::MetaWrong)?,
    };
    let version = message.meta_version.as_deref().ok_or(Refusal::MetaMissing(VERSION))?;
    let meta = params.meta.ok_or(Refusal::MetaMissing(VERSION))?;
    let client = meta.client.ok_or(Refusal::MetaMissing(CLIENT_CAPABILITIES))?;
    let client = Capabilities::read(client).map_err(Refusal::MetaWrong)?;
    mirror::check_version(headers, version)?;
    if version != STATELESS {
        return Err(Refusal::VersionUnsupported(clip(version)));
    }
    Ok(Asker { era: Era::Stateless, session: None, client, level: meta.level })
}

/// Errors have the status that their code asks for (basic/transports/streamable-http, protocol version
/// header; basic, error codes).
fn refusal(error: RpcError) -> Refusal {
    let status = match error.code {
        rpc::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        rpc::MISSING_CAPABILITY => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    Refusal::Rpc(status, error)
}

/// Whether a call's answer is worth a stream: it takes time, and the client prefers events, or wants to
/// hear of what happens meanwhile.
fn streams(accepts: Accepts, asker: Asker<'_>, call: &ToolCall) -> bool {
    let wants_news = call.progress_token.is_some() || asker.level.is_some();
    !call.call.is_quick() && (accepts.prefers_events() || (wants_news && accepts.takes_events()))
}

/// Answers at once with a stream, whose end stops the call (basic/transports/streamable-http,
/// cancellation).
fn stream(
    server: &Arc<Server>,
    asker: Asker<'_>,
    message: &Message<'_>,
    mut call: ToolCall,
) -> Reply {
    let stop = server.abort.child_token();
    let (outbox, reader) = Outbox::unkept();
    let body = EventStream::of_work(reader, stop.clone().drop_guard());
    let caller = Caller::new(None, asker.client, asker.level, stop);
    let caller = caller.on(outbox.clone(), call.progress_token.take());
    let id = message.id.map(ToOwned::to_owned);
    let owner = Arc::clone(server);
    server.tasks.spawn(async move {
        let outcome = methods::run(&owner, call, caller).await;
        let answer = write(&owner, id.as_deref(), &outcome);
        outbox.end(Some(&String::from_utf8_lossy(&answer))).await;
    });
    reply::stream(body)
}

async fn finish(server: &Arc<Server>, asker: Asker<'_>, begun: Result<Begun, RpcError>) -> Outcome {
    match begun? {
        Begun::Done(success) => Ok(success),
        Begun::Call(call) => {
            let stop = call.stop(server);
            // A client that leaves drops this future.
            let _stop_with_it = (!call.call.is_quick()).then(|| stop.clone().drop_guard());
            let caller = Caller::new(None, asker.client, asker.level, stop);
            methods::run(server, call, caller).await
        }
        // There is no session to change, and no method asks for it.
        Begun::Change(_) => Ok(Success::Empty {}),
    }
}

/// Opens a stream of what its client wants to hear (basic/patterns/subscriptions). What is no resource
/// cannot change, and is left out of what is acknowledged.
fn listen(server: &Arc<Server>, message: &Message<'_>) -> Result<Reply, Refusal> {
    let invalid = |text: String| refusal(RpcError::invalid_params(text));
    let raw = message.params.unwrap_or(RawValue::NULL);
    let params: ListenParams = serde_json::from_str(raw.get())
        .map_err(|error| invalid(format!("invalid params for subscriptions/listen: {error}")))?;
    let id = message.id.unwrap_or(RawValue::NULL);
    if id.get().len() > LONGEST_ID {
        return Err(invalid(format!("an id of {LONGEST_ID} bytes at most was expected")));
    }
    let mut filter = params.notifications;
    if filter.resource_subscriptions.len() > MOST_SUBSCRIPTIONS {
        return Err(invalid(format!("{MOST_SUBSCRIPTIONS} resources at most were expected")));
    }
    filter.resource_subscriptions.retain(|uri| resources::exists(server, uri));
    if !server.bus.is_up() {
        return Err(Refusal::Deaf);
    }
    Ok(reply::stream(server.streams.listen(filter, id)?))
}

fn write(server: &Server, id: Option<&RawValue>, outcome: &Outcome) -> Bytes {
    server.stats.count(outcome);
    let id = id.unwrap_or(RawValue::NULL);
    match outcome {
        Ok(success) => rpc::answer(id, &Ok(StatelessResult::of(success))),
        Err(error) => rpc::error(Some(id), error),
    }
}
