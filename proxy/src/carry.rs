//! The one place where a verdict becomes what sockets and streams do.
//!
//! Everything that waits here selects on the end of the fault it waits for, so that removing a fault
//! frees at once what it held.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use serde_json::value::RawValue;
use squall_model::fault::FaultId;
use squall_model::mcp::envelope::{Envelope, Kind};
use squall_model::mcp::header;
use squall_model::mcp::sse::{Event, Piece, Splitter};
use squall_model::verdict::{ConnectionVerdict, ExchangeVerdict, Reply, ReplyBody};
use tokio::time::Instant;

use crate::board::{Decision, LiveFault};
use crate::classify::Exchange;
use crate::delay::Delay;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::stream::Body;

/// An event larger than this is not searched for an answer.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// What becomes of a connection after a verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Onwards {
    /// It goes on.
    Serve,
    /// It ends.
    End,
}

/// Carries out what was decided about a connection. Nothing is read or written meanwhile.
pub(crate) async fn connection(
    decision: Decision<ConnectionVerdict>,
    link: &Link,
    delay: &Delay,
) -> Onwards {
    let Decision { fault, verdict } = decision;
    match verdict {
        ConnectionVerdict::Wait(time) => {
            pause(delay.clone(), Instant::now(), vec![(time, fault)]).await;
        }
        ConnectionVerdict::Stall => fault.ended().await,
        ConnectionVerdict::Reset => {
            link.reset();
            return Onwards::End;
        }
    }
    Onwards::Serve
}

/// Waits for as long as the faults say, counted from `start`. A fault that ends takes its share of
/// the time away.
pub(crate) async fn pause(delay: Delay, start: Instant, mut waits: Vec<Share>) {
    loop {
        waits.retain(|(_, fault)| !fault.has_ended());
        if waits.is_empty() {
            return;
        }
        let time: Duration = waits.iter().map(|(time, _)| *time).sum();
        let mut ended: FuturesUnordered<_> = waits.iter().map(|(_, fault)| fault.ended()).collect();
        tokio::select! {
            () = delay.until(start + time) => return,
            _ = ended.next() => {}
        }
    }
}

/// What one fault contributes to a wait.
pub(crate) type Share = (Duration, Arc<LiveFault>);

/// What becomes of an exchange after its verdicts.
#[derive(Debug)]
pub(crate) enum Course {
    /// It goes on.
    Forward,
    /// The client gets this answer.
    Answer(Box<Response<Body>>),
    /// The connection ends without an answer.
    Abort,
}

/// Carries out what was decided about an exchange, in either direction, but for what has to happen
/// to the server's answer first: see [`execute`].
pub(crate) async fn exchange(
    decisions: Vec<Decision<ExchangeVerdict>>,
    exchange: &Exchange,
    link: &Link,
    delay: &Delay,
    ledger: &Ledger,
) -> Course {
    for Decision { fault, verdict } in decisions {
        match verdict {
            ExchangeVerdict::Wait(time) => {
                pause(delay.clone(), Instant::now(), vec![(time, fault)]).await;
            }
            ExchangeVerdict::Reply(answer) => {
                return Course::Answer(Box::new(reply(&answer, exchange)));
            }
            ExchangeVerdict::Drop => {
                fault.ended().await;
                return Course::Abort;
            }
            ExchangeVerdict::Reset => {
                link.reset();
                return Course::Abort;
            }
            ExchangeVerdict::ExpireSession => {
                let id = fault.fault.id.clone();
                if let Some(session) = &exchange.session {
                    ledger.expire(session, id);
                }
                return Course::Answer(Box::new(session_not_found(exchange)));
            }
        }
    }
    Course::Forward
}

/// Whether the server's answer has to be read to the end before the verdicts are carried out, because
/// the client shall not get it, but the server shall have executed the request.
pub(crate) fn replaces_answer(decisions: &[Decision<ExchangeVerdict>]) -> bool {
    let replaces = |verdict: &ExchangeVerdict| !matches!(verdict, ExchangeVerdict::Wait(_));
    decisions.iter().any(|decision| replaces(&decision.verdict))
}

/// Reads and discards the server's answer until the request has been executed: to the end of the
/// body, or, in an event stream, to the answer.
pub(crate) async fn execute(response: Response<Incoming>) {
    let is_stream = has_type(response.headers(), header::EVENT_STREAM);
    let mut splitter = Splitter::new(ANSWER_LIMIT);
    let mut body = response.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        if !is_stream {
            continue;
        }
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece() {
            if is_answer(&piece) {
                return;
            }
        }
    }
}

fn is_answer(piece: &Piece) -> bool {
    let Piece::Event(bytes) = piece else {
        return false;
    };
    let Some(data) = Event::parse(bytes).data else {
        return false;
    };
    let Ok(envelope) = Envelope::peek(data.as_bytes()) else {
        return false;
    };
    envelope.messages().iter().any(|message| matches!(message.kind, Kind::Response | Kind::Error))
}

/// Whether the `Content-Type` is of this media type.
pub(crate) fn has_type(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media_type)
}

/// Names the faults that made or touched an answer.
pub(crate) fn sign(headers: &mut HeaderMap, faults: &[FaultId]) {
    for fault in faults {
        if let Ok(value) = HeaderValue::from_str(fault.as_str()) {
            headers.append(header::FAULT, value);
        }
    }
}

/// What a server answers that does not know a session
/// (MCP 2025-11-25, basic/transports, session management).
pub(crate) fn session_not_found(exchange: &Exchange) -> Response<Body> {
    let message = "Session not found: start a new one with initialize";
    let body = jsonrpc_error(exchange, -32001, message, None);
    json_response(StatusCode::NOT_FOUND, body)
}

fn reply(reply: &Reply, exchange: &Exchange) -> Response<Body> {
    let body = match &reply.body {
        ReplyBody::Text(text) => text.clone(),
        ReplyBody::JsonRpcError { code, message, data } => {
            jsonrpc_error(exchange, *code, message, data.as_ref())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = reply.status;
    for (name, value) in &reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(header::JSON));
    response
}

/// A JSON-RPC error for each request of the exchange, with the ids as they were written.
fn jsonrpc_error(
    exchange: &Exchange,
    code: i64,
    message: &str,
    data: Option<&serde_json::Value>,
) -> String {
    let error = |id: Option<&RawValue>| {
        let mut error = json!({ "code": code, "message": message });
        if let Some(data) = data {
            error["data"] = data.clone();
        }
        let id = id.map_or("null", RawValue::get);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    };
    if exchange.is_batch {
        let errors: Vec<_> = exchange.ids.iter().map(|id| error(Some(id))).collect();
        format!("[{}]", errors.join(","))
    } else {
        error(exchange.ids.first().map(AsRef::as_ref))
    }
}
