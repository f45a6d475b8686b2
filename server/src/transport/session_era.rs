//! The endpoint in the session era, 2025-03-26 to 2025-11-25 (basic/transports, streamable HTTP).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Envelope, Kind, Message};
use squall_model::mcp::era::{Era, ProtocolVersion};
use squall_model::mcp::header::{LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID};
use squall_model::mcp::sse;

use super::accept::{self, Accepts};
use super::refusal::Refusal;
use super::reply::{self, Reply};
use crate::bus::{self, SessionNews};
use crate::history::Position;
use crate::methods::{self, Asker, Begun, Outcome, Success, ToolCall, clip};
use crate::outbox::Place;
use crate::pending::{self, ClientAnswer};
use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::store::{Change, Session, SessionId};
use crate::streams::EventStream;
use crate::tools::Caller;

/// POST: one message, or a batch, from the client.
pub(super) async fn post(
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
            let (id, session) = require(server, headers).await?;
            single(server, (id, &session), accepts, message).await
        }
        Envelope::Batch(messages) => {
            let (id, session) = require(server, headers).await?;
            check_batch(server, &session, messages)?;
            batch(server, (id, &session), accepts, messages).await
        }
    }
}

/// GET: the session's stream of messages from the server, or the stream of an answer that was cut.
pub(crate) async fn get(server: &Arc<Server>, headers: &HeaderMap) -> Result<Reply, Refusal> {
    if !accept::names_events(headers) {
        return Err(Refusal::NotAStreamRequest);
    }
    let (id, session) = require(server, headers).await?;
    let after = match last_event(headers) {
        Some(LastEvent::OfAnswer(place)) => {
            let stream = server.bus.resume(id, place).await?;
            return Ok(reply::stream(stream.ok_or(Refusal::AnswerUnknown)?));
        }
        Some(LastEvent::OfStream(position)) => Some(position),
        None => None,
    };
    let stream = server.bus.open(id, &session, after).await?;
    // Once more: a DELETE that came between would not have found the stream to close, and a subscription
    // not the stream that it is for.
    let (_, session) = require(server, headers).await?;
    server.streams.subscribe(id, &session.subscriptions);
    Ok(reply::stream(stream))
}

/// Where a client's stream was cut.
enum LastEvent {
    OfAnswer(Place),
    OfStream(Position),
}

/// An id that this server never gave out is none: there is nothing to go on with.
fn last_event(headers: &HeaderMap) -> Option<LastEvent> {
    let text = headers.get(LAST_EVENT_ID)?.to_str().ok()?;
    if let Ok(place) = text.parse() {
        return Some(LastEvent::OfAnswer(place));
    }
    bus::position_of(text).map(LastEvent::OfStream)
}

/// DELETE: the end of a session and of its stream.
pub(crate) async fn delete(server: &Arc<Server>, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let (id, _) = require(server, headers).await?;
    if !server.store.remove(id).await? {
        return Err(Refusal::SessionUnknown);
    }
    server.stats.sessions_closed.increase();
    server.streams.close(id);
    if let Err(error) = server.bus.spread(id, &SessionNews::Changed).await {
        tracing::debug!(%error, "other replicas see by themselves that a session ended");
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn is_initialize(message: &Message<'_>) -> bool {
    message.kind == Kind::Request && message.method.as_deref() == Some("initialize")
}

pub(super) fn check_id(message: &Message<'_>) -> Result<(), Refusal> {
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
    let session = match methods::negotiate(message) {
        Ok(session) => session,
        Err(error) => return Ok(one(accepts, write(server, message, &Err(error)))),
    };
    let version = session.version;
    let id = server.store.create(session).await?;
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
    session: (SessionId, &Session),
    accepts: Accepts,
    message: &Message<'_>,
) -> Result<Reply, Refusal> {
    if message.kind != Kind::Request {
        hear(server, session.0, message).await;
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    match methods::begin(server, asker(session), message) {
        Ok(Begun::Call(call)) if streams(accepts, &call) => {
            Ok(stream(server, session, message, call))
        }
        begun => {
            let outcome = finish(server, session, message, begun).await;
            Ok(one(accepts, write(server, message, &outcome)))
        }
    }
}

fn asker((id, session): (SessionId, &Session)) -> Asker<'_> {
    Asker {
        era: Era::Session,
        session: Some((id, session)),
        client: session.client,
        level: Some(session.level),
    }
}

/// Takes what wants no answer: a client's answers to this server's requests, and what it cancels. Where
/// they reach nobody, nothing is to be done about it.
async fn hear(server: &Arc<Server>, session: SessionId, message: &Message<'_>) {
    let news = match (message.kind, message.method.as_deref()) {
        (Kind::Response | Kind::Error, _) => answer_in(message),
        (Kind::Notification, Some("notifications/cancelled")) => cancelled_in(message),
        _ => None,
    };
    let Some(news) = news else { return };
    if let Err(error) = server.bus.spread(session, &news).await {
        tracing::debug!(%error, "news of a session reached this replica only");
    }
}

fn answer_in(message: &Message<'_>) -> Option<SessionNews> {
    let request: String = serde_json::from_str(message.id?.get()).ok()?;
    if !pending::is_of_a_server(&request) {
        return None;
    }
    let answer = serde_json::from_str(message.answer?.get()).ok()?;
    let answer = match message.kind {
        Kind::Error => ClientAnswer::Error(answer),
        _ => ClientAnswer::Result(answer),
    };
    Some(SessionNews::Answer { request, answer })
}

fn cancelled_in(message: &Message<'_>) -> Option<SessionNews> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        #[serde(borrow)]
        request_id: &'a RawValue,
    }
    let params: Params<'_> = serde_json::from_str(message.params?.get()).ok()?;
    Some(SessionNews::Cancel { request: params.request_id.get().to_owned() })
}

/// Whether a call's answer is worth a stream: it takes time, and the client prefers events, wants to hear
/// of progress, or will have to be asked something.
fn streams(accepts: Accepts, call: &ToolCall) -> bool {
    let has_news = call.progress_token.is_some() || call.call.talks();
    !call.call.is_quick() && (accepts.prefers_events() || (has_news && accepts.takes_events()))
}

/// Answers at once with a stream, on which go out what the call has to say and then its result.
fn stream(
    server: &Arc<Server>,
    session: (SessionId, &Session),
    message: &Message<'_>,
    mut call: ToolCall,
) -> Reply {
    let (outbox, reader) = server.desk.outboxes.open(session.0, session.1.is_primed());
    let caller =
        caller(server, asker(session), &call).on(outbox.clone(), call.progress_token.take());
    let id = message.id.map(ToOwned::to_owned);
    let owner = Arc::clone(server);
    server.tasks.spawn(async move {
        let stop = caller.stop.clone();
        let outcome = in_flight(&owner, id.as_deref(), call, caller).await;
        // A call that was cancelled is not answered (basic/utilities/cancellation, behavior requirements).
        let is_wanted = !stop.is_cancelled() || owner.abort.is_cancelled();
        let answer = is_wanted.then(|| write_for(&owner, id.as_deref(), &outcome));
        let answer = answer.as_ref().map(|answer| String::from_utf8_lossy(answer));
        outbox.end(answer.as_deref()).await;
    });
    reply::stream(EventStream::of_answer(reader))
}

fn caller(server: &Server, asker: Asker<'_>, call: &ToolCall) -> Caller {
    let session = asker.session.map(|(id, _)| id);
    let stop = call.stop(server);
    Caller::new(session, asker.client, asker.level, stop)
}

/// Runs a call that its session can cancel.
async fn in_flight(
    server: &Arc<Server>,
    id: Option<&RawValue>,
    call: ToolCall,
    caller: Caller,
) -> Outcome {
    let (true, Some(id), Some(session)) = (!call.call.is_quick(), id, caller.session) else {
        return methods::run(server, call, caller).await;
    };
    let _flight = server.desk.in_flight.begin(session, id.get(), caller.stop.clone());
    methods::run(server, call, caller).await
}

async fn finish(
    server: &Arc<Server>,
    session: (SessionId, &Session),
    message: &Message<'_>,
    begun: Result<Begun, RpcError>,
) -> Outcome {
    match begun? {
        Begun::Done(success) => Ok(success),
        Begun::Call(call) => {
            let caller = caller(server, asker(session), &call);
            in_flight(server, message.id, call, caller).await
        }
        Begun::Change(change) => change_session(server, session.0, change).await,
    }
}

/// Changes a session in the store first, and then where its stream is: whoever opens one in between reads
/// the change from the store.
async fn change_session(server: &Arc<Server>, session: SessionId, change: Change) -> Outcome {
    let failed = |error: String| RpcError::new(rpc::SERVER_ERROR, error);
    server.store.change(session, &change).await.map_err(|error| failed(error.to_string()))?;
    let news = match change {
        Change::Level(_) => SessionNews::Changed,
        Change::Subscribe(uri) => SessionNews::Subscribe { uri },
        Change::Unsubscribe(uri) => SessionNews::Unsubscribe { uri },
    };
    let spread = server.bus.spread(session, &news).await;
    spread.map_err(|error| failed(error.to_string()))?;
    Ok(Success::Empty {})
}

fn check_batch(
    server: &Server,
    session: &Session,
    messages: &[Message<'_>],
) -> Result<(), Refusal> {
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
    session: (SessionId, &Session),
    accepts: Accepts,
    messages: &[Message<'_>],
) -> Result<Reply, Refusal> {
    for message in messages.iter().filter(|one| one.kind != Kind::Request) {
        hear(server, session.0, message).await;
    }
    let requests = messages.iter().filter(|one| one.kind == Kind::Request);
    let answers = requests.map(|message| async {
        let begun = methods::begin(server, asker(session), message);
        let outcome = finish(server, session, message, begun).await;
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
    server.stats.count(outcome);
    rpc::answer(id.unwrap_or(RawValue::NULL), outcome)
}

pub(super) fn one(accepts: Accepts, answer: Bytes) -> Reply {
    if accepts.prefers_events() {
        reply::events(event(&answer))
    } else {
        reply::json(StatusCode::OK, answer)
    }
}

fn event(answer: &Bytes) -> Bytes {
    sse::encode(None, &String::from_utf8_lossy(answer))
}
