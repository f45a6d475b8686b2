//! One POST and its answer, within the request's timeout, on the connection that is there.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::response::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use squall_model::fault::FaultId;
use squall_model::history::{Cause, Outcome};
use squall_model::mcp::era::ProtocolVersion;
use squall_model::mcp::header;
use squall_model::operation::OperationId;
use tokio::time::Instant;

use super::connect::Connection;
use super::resume::Place;
use super::{Client, Trace, answer};

/// What a client accepts as an answer to a POST (basic/transports, sending messages to the server).
pub(super) const ACCEPTED: HeaderValue =
    HeaderValue::from_static("application/json, text/event-stream");
/// What is read of a body that nobody wants, for the sake of its connection.
const WORTH_DRAINING: (usize, Duration) = (64 * 1024, Duration::from_millis(100));

/// A message to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) operation: OperationId,
    pub(super) body: Bytes,
    pub(super) expects: Expects,
}

/// What the other side should answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expects {
    /// 200 with the answer to the request of this JSON-RPC id.
    Answer(u64),
    /// 202 without a body.
    Acceptance,
}

/// What was expected, as it came.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    /// The JSON-RPC message; empty where only an acceptance was expected.
    pub(super) message: Bytes,
    /// The session that the answer opens.
    pub(super) session: Option<HeaderValue>,
}

impl Client {
    /// Sends one message and waits for what it expects. A connection that is not left clean is
    /// dropped; the next exchange opens another.
    pub(super) async fn post(
        &mut self,
        outgoing: Outgoing,
        trace: &mut Trace,
    ) -> Result<Reply, Cause> {
        let deadline = Instant::now() + self.wire.timeout;
        let cut = self.wire.cut.clone();
        let (result, connection, body) = tokio::select! {
            biased;
            done = self.exchange(outgoing, trace) => done?,
            () = tokio::time::sleep_until(deadline) => return Err(Cause::Timeout),
            () = cut.cancelled() => return Err(Cause::Timeout),
        };
        trace.answered = Some(self.wire.clock.now());
        if drain(body).await {
            self.connection = Some(connection);
        }
        result
    }

    /// Fails where there is no connection left to speak of.
    async fn exchange(
        &mut self,
        outgoing: Outgoing,
        trace: &mut Trace,
    ) -> Result<(Result<Reply, Cause>, Connection, Incoming), Cause> {
        let mut connection = self.take_connection().await?;
        let request = self.request(&outgoing);
        trace.sent = Some(self.wire.clock.now());
        let response = connection.send(request, &mut trace.sent).await?;
        let (head, mut body) = response.into_parts();
        trace.status = Some(head.status);
        trace.faults = faults_of(&head);
        let mut place = Place::default();
        let mut result = self.read(&head, &mut body, outgoing.expects, &mut place).await;
        while result == Err(Cause::StreamCut)
            && let Some((head, rest)) = self.resume(&mut connection, &place).await
        {
            body = rest;
            trace.faults.extend(faults_of(&head));
            result = self.read(&head, &mut body, outgoing.expects, &mut place).await;
        }
        Ok((result, connection, body))
    }

    /// The connection that is there, if it still is, or else a new one.
    async fn take_connection(&mut self) -> Result<Connection, Cause> {
        if let Some(mut connection) = self.connection.take()
            && connection.is_open().await
        {
            return Ok(connection);
        }
        Connection::open(&self.wire).await
    }

    /// Reads as much of a response as tells whether it is what was expected.
    async fn read(
        &self,
        head: &Parts,
        body: &mut Incoming,
        expects: Expects,
        place: &mut Place,
    ) -> Result<Reply, Cause> {
        let message = match (expects, head.status) {
            (Expects::Answer(id), StatusCode::OK) => {
                answer::read(self, &head.headers, body, id, place).await?
            }
            (Expects::Acceptance, StatusCode::ACCEPTED) => Bytes::new(),
            (Expects::Acceptance, status) if status.is_success() => {
                let said = format!("HTTP {} to a notification, not 202", status.as_u16());
                return Err(Cause::Protocol(said));
            }
            _ => return Err(refusal(head)),
        };
        Ok(Reply { message, session: head.headers.get(header::SESSION_ID).cloned() })
    }

    fn request(&self, outgoing: &Outgoing) -> Request<Full<Bytes>> {
        let mut request = self.bare_request(Method::POST, outgoing.body.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(header::JSON));
        headers.insert(ACCEPT, ACCEPTED);
        if let Ok(traceparent) = outgoing.operation.traceparent().try_into() {
            headers.insert(header::TRACEPARENT, traceparent);
        }
        request
    }

    /// A request with the headers that the target and the session ask for.
    pub(super) fn bare_request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.wire.target.uri();
        let headers = request.headers_mut();
        headers.insert(HOST, self.wire.target.host_header());
        headers.insert(USER_AGENT, self.wire.name.header());
        if let Some(session) = &self.session {
            if let Some(id) = &session.id {
                headers.insert(header::SESSION_ID, id.header.clone());
            }
            if session.version >= ProtocolVersion::V2025_06_18 {
                let version = HeaderValue::from_static(session.version.as_str());
                headers.insert(header::PROTOCOL_VERSION, version);
            }
        }
        request
    }
}

/// What a status that was not hoped for means: the server's own word, or that of Squall's proxy for
/// an upstream that failed.
fn refusal(head: &Parts) -> Cause {
    let from_gateway = matches!(head.status.as_u16(), 502..=504);
    match head.headers.get(header::UPSTREAM_ERROR) {
        Some(error) if from_gateway => {
            let text = String::from_utf8_lossy(error.as_bytes());
            Cause::Gateway(text.chars().take(80).collect())
        }
        _ => Cause::Http(head.status.as_u16()),
    }
}

/// What a cause makes of an operation: unknown where it may have been executed and had effects.
pub(super) fn outcome(cause: Cause, was_sent: bool, may_have_effects: bool) -> Outcome {
    let may_have_run = match &cause {
        Cause::Timeout | Cause::Reset | Cause::Closed | Cause::StreamCut => was_sent,
        Cause::Gateway(text) => text != "refused" && !text.starts_with("connect"),
        _ => false,
    };
    if may_have_run && may_have_effects { Outcome::Unknown(cause) } else { Outcome::Failed(cause) }
}

fn faults_of(head: &Parts) -> Vec<FaultId> {
    let values = head.headers.get_all(header::FAULT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).filter_map(|id| id.trim().parse().ok()).collect()
}

/// Reads what is left of a body if it is little. Whether the connection can be used again.
async fn drain(body: Incoming) -> bool {
    let (bytes, time) = WORTH_DRAINING;
    let rest = Limited::new(body, bytes).collect();
    matches!(tokio::time::timeout(time, rest).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_call_is_unknown_and_a_lost_read_failed() {
        let gateway = |text: &str| Cause::Gateway(text.to_owned());
        for (cause, was_sent, effects, unknown) in [
            (Cause::Timeout, true, true, true),
            (Cause::Reset, true, true, true),
            (Cause::StreamCut, true, true, true),
            (Cause::Timeout, true, false, false),
            (Cause::Timeout, false, true, false),
            (Cause::Refused, false, true, false),
            (Cause::Http(503), true, true, false),
            (gateway("reset"), true, true, true),
            (gateway("reset"), true, false, false),
            (gateway("refused"), true, true, false),
            (gateway("connect timeout"), true, true, false),
        ] {
            let found = outcome(cause.clone(), was_sent, effects);
            let is_unknown = matches!(found, Outcome::Unknown(_));
            assert_eq!(is_unknown, unknown, "{cause} {was_sent} {effects}");
        }
    }
}
