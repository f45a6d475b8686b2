//! The endpoint in the session era, 2025-03-26 to 2025-11-25 (basic/transports, streamable HTTP).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Envelope, Kind, Message};
use squall_model::mcp::era::ProtocolVersion;
use squall_model::mcp::header::{PROTOCOL_VERSION, SESSION_ID};
use squall_model::mcp::sse;

use super::accept::{self, Accepts};
use super::refusal::Refusal;
use super::reply::{self, Reply};
use crate::methods::{self, Begun, Outcome, Success, ToolCall, clip};
use crate::rpc;
use crate::server::Server;
use crate::store::{Session, SessionId};
use crate::streams::EventStream;
use crate::tools::{Caller, Progress};

/// POST: one message, or a batch, from the client.
pub(crate) async fn post(
    server: &Arc<Server>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reply, Refusal> {
    let envelope = Envelope::peek(body).map_err(Refusal::Body)?;
    let id = id_of_request(&envelope);
    let answered = take(server, headers, &envelope).await;
    Ok(answered.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "message refused");
        refusal.reply(id)
    }))
}

/// GET: the session's stream of messages from the server.
pub(crate) async fn get(server: &Arc<Server>, headers: &HeaderMap) -> Result<Reply, Refusal> {
    if !accept::names_events(headers) {
        return Err(Refusal::NotAStreamRequest);
    }
    let (id, _) = require(server, headers).await?;
    let stream = server.bus.open(id).await?;
    // Once more: a DELETE that came between would not have found the stream to close.
    require(server, headers).await?;
    Ok(reply::stream(stream))
}

/// DELETE: the end of a session and of its stream.
pub(crate) async fn delete(server: &Arc<Server>, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let (id, _) = require(server, headers).await?;
    if !server.store.remove(id).await? {
        return Err(Refusal::SessionUnknown);
    }
    server.stats.sessions_closed.increase();
    server.streams.close(id);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

async fn take(
    server: &Arc<Server>,
    headers: &HeaderMap,
    envelope: &Envelope<'_>,
) -> Result<Reply, Refusal> {
    let accepts = Accepts::read(headers).ok_or(Refusal::NotAcceptable)?;
    envelope.messages().iter().try_for_each(check_id)?;
    match envelope {
        Envelope::Single(message) if is_initialize(message) => {
            initialize(server, headers, accepts, message).await
        }
        Envelope::Single(message) => {
            let (id, _) = require(server, headers).await?;
            single(server, id, accepts, message).await
        }
        Envelope::Batch(messages) => {
            let (id, session) = require(server, headers).await?;
            check_batch(server, session, messages)?;
            batch(server, id, accepts, messages).await
        }
    }
}

fn id_of_request<'a>(envelope: &Envelope<'a>) -> Option<&'a RawValue> {
    match envelope {
        Envelope::Single(message) if message.kind == Kind::Request => {
            message.id.filter(|id| rpc::is_valid_id(id))
        }
        _ => None,
    }
}

fn is_initialize(message: &Message<'_>) -> bool {
    message.kind == Kind::Request && message.method.as_deref() == Some("initialize")
}

fn check_id(message: &Message<'_>) -> Result<(), Refusal> {
    match message.id {
        Some(id) if message.kind == Kind::Request && !rpc::is_valid_id(id) => {
            Err(Refusal::Id(clip(id.get())))
        }
        _ => Ok(()),
    }
}

/// The session that a request names. No request but `initialize` goes without one. The version that
/// the header names has to be one that this server speaks; that it is the settled one is a SHOULD
/// of the client, and what was settled holds anyway (basic/transports, protocol version header).
async fn require(server: &Server, headers: &HeaderMap) -> Result<(SessionId, Session), Refusal> {
    check_version(headers)?;
    let id = session_header(headers)?.ok_or(Refusal::SessionMissing)?;
    find(server, id).await
}

/// The living session of that name. A name that this server never gave out does not reach the store.
async fn find(server: &Server, name: &str) -> Result<(SessionId, Session), Refusal> {
    let id = name.parse().map_err(|_| Refusal::SessionUnknown)?;
    let session = server.store.find(id).await?;
    session.map(|session| (id, session)).ok_or(Refusal::SessionUnknown)
}

fn session_header(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(SESSION_ID).into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::SessionRepeated);
    }
    let text = value.to_str().map_err(|_| Refusal::SessionNotVisible)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::SessionNotVisible);
    }
    Ok(Some(text))
}

/// Where `MCP-Protocol-Version` is absent, the session knows its version, which the specification
/// prefers to its assumption of 2025-03-26.
fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(PROTOCOL_VERSION).into_iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    if values.next().is_some() {
        return Err(Refusal::VersionRepeated);
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let version: Result<ProtocolVersion, _> = text.parse();
    version.map(drop).map_err(Refusal::VersionUnknown)
}

async fn initialize(
    server: &Server,
    headers: &HeaderMap,
    accepts: Accepts,
    message: &Message<'_>,
) -> Result<Reply, Refusal> {
    if let Some(id) = session_header(headers)? {
        find(server, id).await?;
        return Err(Refusal::SessionInitialized);
    }
    let version = match methods::negotiate(message) {
        Ok(version) => version,
        Err(error) => return Ok(one(accepts, write(server, message, &Err(error)))),
    };
    let id = server.store.create(Session { version }).await?;
    server.stats.sessions_created.increase();
    let result = Ok(methods::initialized(version));
    let reply = one(accepts, write(server, message, &result));
    Ok(with_session(reply, id))
}

fn with_session(mut reply: Reply, id: SessionId) -> Reply {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        reply.headers_mut().insert(SESSION_ID, value);
    }
    reply
}

async fn single(
    server: &Arc<Server>,
    session: SessionId,
    accepts: Accepts,
    message: &Message<'_>,
) -> Result<Reply, Refusal> {
    if message.kind != Kind::Request {
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    match methods::begin(server, message) {
        Ok(Begun::Call(call)) if streams(accepts, &call) => {
            Ok(stream(server, session, message, call))
        }
        begun => {
            let outcome = finish(server, session, begun).await;
            Ok(one(accepts, write(server, message, &outcome)))
        }
    }
}

/// Whether a call's answer is worth a stream: it takes time, and the client prefers events or
/// wants to hear of progress.
fn streams(accepts: Accepts, call: &ToolCall) -> bool {
    let wants_progress = call.progress_token.is_some() && accepts.takes_events();
    !call.call.is_quick() && (accepts.prefers_events() || wants_progress)
}

/// Answers at once with a stream, on which the call's progress and then its result go out.
fn stream(
    server: &Arc<Server>,
    session: SessionId,
    message: &Message<'_>,
    call: ToolCall,
) -> Reply {
    let (events, body) = EventStream::of_one_answer();
    let ToolCall { call, progress_token } = call;
    let progress =
        progress_token.map(|token| Progress::to(token, events.clone())).unwrap_or_default();
    let caller = Caller { session, progress };
    let id = message.id.map(ToOwned::to_owned);
    let owner = Arc::clone(server);
    server.tasks.spawn(async move {
        let outcome = methods::run(&owner, call, caller).await;
        let answer = write_for(&owner, id.as_deref(), &outcome);
        let _ = events.send(event(&answer)).await; // the client may be gone
    });
    reply::stream(body)
}

async fn finish(
    server: &Arc<Server>,
    session: SessionId,
    begun: Result<Begun, rpc::RpcError>,
) -> Outcome {
    match begun? {
        Begun::Done(success) => Ok(success),
        Begun::Call(call) => methods::run(server, call.call, Caller::of(session)).await,
    }
}

fn check_batch(server: &Server, session: Session, messages: &[Message<'_>]) -> Result<(), Refusal> {
    let limit = server.config.max_batch;
    if session.version != ProtocolVersion::V2025_03_26 {
        return Err(Refusal::BatchVersion(session.version));
    }
    if messages.is_empty() {
        return Err(Refusal::BatchEmpty);
    }
    if messages.len() > limit {
        let found = messages.len();
        return Err(Refusal::BatchTooLong { found, limit });
    }
    if messages.iter().any(is_initialize) {
        return Err(Refusal::BatchInitialize);
    }
    Ok(())
}

/// Answers the requests of a batch together, as JSON-RPC has it (section 6).
async fn batch(
    server: &Arc<Server>,
    session: SessionId,
    accepts: Accepts,
    messages: &[Message<'_>],
) -> Result<Reply, Refusal> {
    let requests = messages.iter().filter(|one| one.kind == Kind::Request);
    let answers = requests.map(|message| async {
        let outcome = finish(server, session, methods::begin(server, message)).await;
        write(server, message, &outcome)
    });
    let answers = join_all(answers).await;
    if answers.is_empty() {
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    if accepts.prefers_events() {
        let events: Vec<Bytes> = answers.iter().map(event).collect();
        return Ok(reply::events(events.concat().into()));
    }
    Ok(reply::json(StatusCode::OK, array(&answers)))
}

fn array(items: &[Bytes]) -> Bytes {
    let mut out = BytesMut::from("[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        out.extend_from_slice(item);
    }
    out.extend_from_slice(b"]");
    out.freeze()
}

fn write(server: &Server, message: &Message<'_>, outcome: &Outcome) -> Bytes {
    write_for(server, message.id, outcome)
}

fn write_for(server: &Server, id: Option<&RawValue>, outcome: &Outcome) -> Bytes {
    let failed = match outcome {
        Ok(Success::Call(result)) => result.is_error,
        Ok(_) => false,
        Err(_) => true,
    };
    if failed {
        server.stats.errors.increase();
    }
    rpc::answer(id.unwrap_or(RawValue::NULL), outcome)
}

fn one(accepts: Accepts, answer: Bytes) -> Reply {
    if accepts.prefers_events() {
        reply::events(event(&answer))
    } else {
        reply::json(StatusCode::OK, answer)
    }
}

fn event(answer: &Bytes) -> Bytes {
    sse::encode(None, &String::from_utf8_lossy(answer))
}
