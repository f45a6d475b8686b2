//! The second moment: one HTTP request and its answer.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use squall_model::fault::FaultId;
use squall_model::mcp::header;
use squall_model::scope::Direction;
use squall_model::verdict::ExchangeVerdict;

use crate::board::Decision;
use crate::carry::{self, Course};
use crate::classify::{Exchange, classify};
use crate::ledger::Session;
use crate::link::Link;
use crate::proxying::Proxying;
use crate::stream::{Body, EventStream, EventStreamContext};
use crate::upstream::UpstreamError;

/// The exchange ends without an answer, and the connection with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Aborted {
    #[error("the request's body could not be read")]
    Request(#[from] hyper::Error),
    #[error("a fault ended the connection")]
    ByFault,
}

/// Serves one request of a connection.
pub(crate) async fn serve(
    proxying: Arc<Proxying>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Aborted> {
    if request.method() == Method::CONNECT {
        return Ok(no_tunnel());
    }
    let (parts, body) = request.into_parts();
    let (exchange, body) = classify(&parts, body, &proxying.board).await?;
    let mut touched = Vec::new();

    let known = exchange.session.as_deref().and_then(|session| proxying.ledger.get(session));
    let Session { home, expired_by } = known.unwrap_or_default();
    if let Some(fault) = expired_by {
        let response = proxying.expired(&exchange, fault);
        body.discard().await;
        return Ok(response);
    }
    let decisions = proxying.decide(&exchange, Direction::Request, &mut touched);
    match proxying.carry(decisions, &exchange, &link).await {
        Course::Forward => {}
        Course::Answer(response) => {
            body.discard().await;
            return Ok(signed(*response, &touched));
        }
        Course::Abort => return Err(Aborted::ByFault),
    }

    let sent = proxying.upstreams.send(&link.pool, home, for_upstream(parts, body)).await;
    let (upstream, response) = match sent {
        Ok(answered) => answered,
        Err(error) => return Ok(signed(bad_gateway(error), &touched)),
    };
    proxying.learn(&exchange, upstream, &response);
    answer(&proxying, &link, exchange, response, touched).await
}

/// The way back: what faults do to the answer.
async fn answer(
    proxying: &Arc<Proxying>,
    link: &Arc<Link>,
    exchange: Exchange,
    response: Response<Incoming>,
    mut touched: Vec<FaultId>,
) -> Result<Response<Body>, Aborted> {
    let decisions = proxying.decide(&exchange, Direction::Response, &mut touched);
    if carry::replaces_answer(&decisions) {
        carry::execute(response).await;
        return match proxying.carry(decisions, &exchange, link).await {
            Course::Answer(response) => Ok(signed(*response, &touched)),
            Course::Forward | Course::Abort => Err(Aborted::ByFault),
        };
    }
    proxying.carry(decisions, &exchange, link).await;
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    // The version is each connection's own (RFC 9110, section 2.5).
    parts.version = Version::HTTP_11;
    let body = if is_plain_event_stream(&parts.headers) {
        let context = EventStreamContext {
            board: proxying.board.clone(),
            recorder: proxying.recorder.clone(),
            delay: proxying.delay.clone(),
            link: link.clone(),
        };
        let events = EventStream::new(body, exchange, context);
        if events.may_shrink() {
            parts.headers.remove(CONTENT_LENGTH);
        }
        Body::Events(Box::new(events))
    } else {
        Body::Answer(body, link.clone())
    };
    Ok(signed(Response::from_parts(parts, body), &touched))
}

impl Proxying {
    /// What faults decide about the exchange in this direction; counted, logged and recorded.
    fn decide(
        &self,
        exchange: &Exchange,
        direction: Direction,
        touched: &mut Vec<FaultId>,
    ) -> Vec<Decision<ExchangeVerdict>> {
        if self.board.snapshot().faults().is_empty() {
            return Vec::new();
        }
        let decisions = self.board.decide_exchange(&exchange.subject(direction), exchange.key);
        for decision in &decisions {
            self.recorder.injection(&decision.fault.fault, &exchange.hit());
            touched.push(decision.fault.fault.id.clone());
        }
        decisions
    }

    async fn carry(
        &self,
        decisions: Vec<Decision<ExchangeVerdict>>,
        exchange: &Exchange,
        link: &Link,
    ) -> Course {
        carry::exchange(decisions, exchange, link, &self.delay, &self.ledger).await
    }

    /// The answer to a request of a session that a fault has expired, for as long as the session is
    /// remembered, whether the fault is still live or not: what is gone stays gone.
    fn expired(&self, exchange: &Exchange, fault: FaultId) -> Response<Body> {
        self.recorder.aftermath(&fault, &exchange.hit());
        signed(carry::session_not_found(exchange), &[fault])
    }

    /// Remembers where sessions live: from the answers that name them, and from good answers since.
    fn learn(&self, exchange: &Exchange, upstream: usize, response: &Response<Incoming>) {
        let is_good = response.status().is_success();
        if let Some(session) = exchange.session.as_deref() {
            let was_deleted = exchange.method == Method::DELETE && is_good;
            if was_deleted || response.status() == StatusCode::NOT_FOUND {
                return self.ledger.forget(session);
            }
        }
        let named = response.headers().get(header::SESSION_ID);
        let named = named.and_then(|value| value.to_str().ok());
        // A client that starts anew may still name the session that it had.
        if let Some(session) = named.or(exchange.session.as_deref()).filter(|_| is_good) {
            self.ledger.bind(session, upstream);
        }
    }
}

fn signed(mut response: Response<Body>, faults: &[FaultId]) -> Response<Body> {
    carry::sign(response.headers_mut(), faults);
    response
}

/// What the client gets when the upstream failed by itself.
fn bad_gateway(error: UpstreamError) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("the upstream gave no answer: {error}\n")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Ok(value) = HeaderValue::from_str(&error.to_string()) {
        headers.insert(header::UPSTREAM_ERROR, value);
    }
    response
}

/// Events can be told apart only where the stream is not compressed.
fn is_plain_event_stream(headers: &HeaderMap) -> bool {
    carry::has_type(headers, header::EVENT_STREAM) && !headers.contains_key(CONTENT_ENCODING)
}

/// The proxy stands where a server stands, and opens no tunnels.
fn no_tunnel() -> Response<Body> {
    let words = "this is a server to its clients, and CONNECT is for proxies: send requests to it";
    let mut response = Response::new(Body::from(format!("{words}\n")));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The request as it goes out on another connection.
fn for_upstream(mut parts: Parts, body: Body) -> Request<Body> {
    strip_hop_by_hop(&mut parts.headers);
    // hyper takes it that a GET without a length has no body.
    let unframed = body.size_hint().exact().is_none() && !body.is_end_stream();
    if unframed && matches!(parts.method, Method::GET | Method::HEAD) {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    to_origin_form(&mut parts);
    parts.version = Version::HTTP_11;
    Request::from_parts(parts, body)
}

/// An absolute target, as clients send it to proxies, becomes a path: the upstream is the origin.
/// Its authority outranks `Host` (RFC 9112, section 3.2.2).
fn to_origin_form(parts: &mut Parts) {
    let Some(authority) = parts.uri.authority() else { return };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        parts.headers.insert(HOST, host);
    }
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = Uri::from(path.clone());
    }
}

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        if name != TE {
            headers.remove(name);
        }
    }
    // Where a message has both, this one counts (RFC 9112, section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    // Trailers are passed on, so the wish for them is too (RFC 9110, section 10.1.4).
    let wants_trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    headers.remove(TE);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}
