//! The second moment: one HTTP request and its answer.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use squall_model::fault::FaultId;
use squall_model::mcp::header;
use squall_model::scope::Direction;
use squall_model::verdict::ExchangeVerdict;

use crate::board::Decision;
use crate::carry::{self, Course};
use crate::classify::{Exchange, classify};
use crate::connection::{Link, Proxying};
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
    let (mut parts, body) = request.into_parts();
    let (exchange, body) = classify(&parts, body, &proxying.board).await?;
    let mut touched = Vec::new();

    if let Some(response) = proxying.expired(&exchange) {
        return Ok(response);
    }
    let decisions = proxying.decide(&exchange, Direction::Request, &mut touched);
    match proxying.carry(decisions, &exchange, &link).await {
        Course::Forward => {}
        Course::Answer(response) => return Ok(signed(*response, &touched)),
        Course::Abort => return Err(Aborted::ByFault),
    }

    strip_hop_by_hop(&mut parts.headers);
    parts.uri = origin_form(&parts.uri);
    parts.version = http::Version::HTTP_11;
    let home = proxying.home(&exchange);
    let sent = proxying.upstreams.send(&link.pool, home, Request::from_parts(parts, body)).await;
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
    let body = if is_plain_event_stream(&parts.headers) {
        let context = EventStreamContext {
            board: proxying.board.clone(),
            recorder: proxying.recorder.clone(),
            delay: proxying.delay.clone(),
            link: link.clone(),
        };
        Body::Events(Box::new(EventStream::new(body, exchange, context)))
    } else {
        Body::Incoming(body)
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
    fn expired(&self, exchange: &Exchange) -> Option<Response<Body>> {
        let session = self.ledger.get(exchange.session.as_deref()?)?;
        let fault = session.expired_by?;
        self.recorder.aftermath(&fault, &exchange.hit());
        Some(signed(carry::session_not_found(exchange), &[fault]))
    }

    fn home(&self, exchange: &Exchange) -> Option<usize> {
        self.ledger.get(exchange.session.as_deref()?)?.home
    }

    /// Remembers where sessions live: from the answer that made them, and from good answers since.
    fn learn(&self, exchange: &Exchange, upstream: usize, response: &Response<Incoming>) {
        let named = response.headers().get(header::SESSION_ID);
        let named = named.and_then(|value| value.to_str().ok());
        let ended = response.status() == StatusCode::NOT_FOUND
            || (exchange.method == http::Method::DELETE && response.status().is_success());
        match exchange.session.as_deref() {
            Some(session) if ended => self.ledger.forget(session),
            Some(session) if response.status().is_success() => self.ledger.bind(session, upstream),
            None if exchange.is_initialize() && response.status().is_success() => {
                if let Some(session) = named {
                    self.ledger.bind(session, upstream);
                }
            }
            Some(_) | None => {}
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

/// An absolute target, as clients send it to proxies, becomes a path: the upstream is the origin.
fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) if uri.authority().is_some() => Uri::from(path.clone()),
        _ => uri.clone(),
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
