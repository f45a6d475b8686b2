//! The second moment: one HTTP request and its answer.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName,
    HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use squall_model::fault::FaultId;
use squall_model::mcp::header;
use squall_model::scope::Direction;
use squall_model::verdict::ExchangeVerdict;
use tokio::time::Instant;

use crate::board::{Board, Decision};
use crate::carry::{self, Carrying, Course};
use crate::classify::{Exchange, classify};
use crate::ledger::{Entry, Ledger};
use crate::link::{Link, UnderWay};
use crate::observe::Ended;
use crate::plain::Spelling;
use crate::proxying::Proxying;
use crate::stream::{Body, EventStream, EventStreamContext, Held, Incoming, PeerError};
use crate::upstream::{UpstreamError, Upstreams};

/// The exchange ends without an answer, and the connection with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Aborted {
    #[error("the request's body could not be read")]
    Request(#[from] PeerError),
    #[error("a fault ended the connection")]
    ByFault,
}

/// What the client gets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    /// How the upstream spelt the names of headers, if that is known.
    pub(crate) spelling: Option<Spelling>,
}

/// Serves one request of a connection.
pub(crate) async fn serve(
    proxying: Arc<Proxying>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Answer, Aborted> {
    if request.method() == Method::CONNECT {
        return Ok(Answer { response: no_tunnel(), spelling: None });
    }
    let asked_at = Instant::now();
    let link = link.begin(request.version());
    let (mut parts, mut body) = request.into_parts();
    let spelling = body.take_spelling();
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    let limit = proxying.limits.classify;
    let (mut exchange, body) = classify(&parts, body, &proxying.board, limit).await?;
    let mut touched = Vec::new();
    let passing =
        Passing { proxying: &proxying, link: &link, asked_at, spelling, touched: &mut touched };
    let passed = passing.pass(&mut exchange, parts, body).await;
    let exchange = Arc::new(exchange);
    let mut spelling = None;
    let outcome = match passed {
        Ok(Passed::Answer(answer)) => Ok(*answer),
        Ok(Passed::Upstream(mut response)) => {
            spelling = response.body_mut().take_spelling();
            answer(&proxying, &link, exchange.clone(), *response, &mut touched).await
        }
        Err(error) => Err(error),
    };
    let ended = outcome.as_ref().map_or(Ended::Aborted, |it| Ended::Answered(it.status()));
    let (observer, took) = (&proxying.recorder.observer, asked_at.elapsed());
    observer.exchange(&proxying.meter, &exchange, took, ended, &touched);
    outcome.map(|response| Answer { response: signed(response, &touched), spelling })
}

/// What came of a request.
enum Passed {
    /// The proxy's own answer.
    Answer(Box<Response<Body>>),
    /// The upstream's, which faults may still do something to.
    Upstream(Box<Response<Incoming>>),
}

impl Passed {
    fn answer(response: Response<Body>) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// A request on its way to the upstream.
struct Passing<'a> {
    proxying: &'a Proxying,
    link: &'a Arc<Link>,
    asked_at: Instant,
    /// How the client spelt the names of headers, if that is known.
    spelling: Option<Spelling>,
    touched: &'a mut Vec<FaultId>,
}

impl Passing<'_> {
    async fn pass(
        self,
        exchange: &mut Exchange,
        mut parts: Parts,
        body: Held,
    ) -> Result<Passed, Aborted> {
        let Self { proxying, link, asked_at, spelling, touched } = self;
        let known = exchange.session.as_deref().and_then(|session| proxying.ledger.get(session));
        let (home, expired_by) = exchange.meet(known.as_ref(), &proxying.board);
        if let (Some(fault), Some(entry)) = (expired_by, &known) {
            let response = proxying.expired(exchange, &fault);
            touched.push(fault);
            proxying.lose(entry, link);
            Box::pin(Body::Held(body).discard()).await;
            return Ok(Passed::answer(response));
        }
        exchange.goes_to(proxying.upstreams.first(home), &proxying.upstreams);
        let decisions = proxying.decide(exchange, Direction::Request);
        let mut carrying = proxying.carrying(exchange, link, touched);
        let changes = match carrying.exchange(decisions).await {
            Course::Forward(changes) => changes,
            Course::Answer(response) => {
                Box::pin(Body::Held(body).discard()).await;
                return Ok(Passed::Answer(response));
            }
            Course::Abort => return Err(Aborted::ByFault),
        };
        let body = carrying.request(body, &mut parts.headers);
        changes.edit(&mut parts.headers);

        let upstream = changes.upstream.unwrap_or(exchange.upstream);
        if changes.repeat
            && let Some(copy) = body.copy()
        {
            let request = for_upstream(parts.clone(), Body::Held(copy));
            Box::pin(proxying.deliver(link, upstream, request, spelling.as_ref())).await;
        }
        let request = for_upstream(parts, Body::Held(body));
        let sent = proxying.upstreams.send(link, upstream, request, spelling.as_ref()).await;
        let (upstream, response) = match sent {
            Ok(answered) => answered,
            Err(error) => return Ok(Passed::answer(bad_gateway(error))),
        };
        let home = Some(upstream).filter(|_| changes.upstream.is_none());
        let learnt = Learnt { exchange, link, home, asked_at };
        learnt.from(&proxying.ledger, known, &response);
        exchange.goes_to(upstream, &proxying.upstreams);
        exchange.status = Some(response.status());
        Ok(Passed::Upstream(Box::new(response)))
    }
}

/// The way back: what faults do to the answer.
async fn answer(
    proxying: &Arc<Proxying>,
    link: &UnderWay,
    exchange: Arc<Exchange>,
    response: Response<Incoming>,
    touched: &mut Vec<FaultId>,
) -> Result<Response<Body>, Aborted> {
    let decisions = proxying.decide(&exchange, Direction::Response);
    let mut carrying = proxying.carrying(&exchange, link, touched);
    if decisions.iter().any(|decision| decision.verdict.is_final()) {
        // The client shall not get it, but the server shall have executed the request.
        Box::pin(carry::execute(response)).await;
        return match carrying.exchange(decisions).await {
            Course::Answer(response) => Ok(*response),
            Course::Forward(_) | Course::Abort => Err(Aborted::ByFault),
        };
    }
    let Course::Forward(changes) = carrying.exchange(decisions).await else {
        return Err(Aborted::ByFault);
    };
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    // The version is each connection's own (RFC 9110, section 2.5).
    parts.version = Version::HTTP_11;
    if is_plain(&parts.headers, header::EVENT_STREAM) {
        let context = proxying.event_stream(link);
        let events = EventStream::new(body, exchange.clone(), context);
        if events.may_shrink() {
            parts.headers.remove(CONTENT_LENGTH);
        }
        let body = Body::Events(Box::new(events));
        let body = changes.answer(&mut parts.headers, body, link).await;
        return Ok(Response::from_parts(parts, body));
    }
    let body = Body::Answer(body, link.clone());
    let response = match carrying.json_answer(&mut parts, body).await {
        Course::Forward(body) => {
            let body = changes.answer(&mut parts.headers, body, link).await;
            Response::from_parts(parts, body)
        }
        Course::Answer(response) => *response,
        Course::Abort => return Err(Aborted::ByFault),
    };
    Ok(response)
}

impl Exchange {
    fn goes_to(&mut self, upstream: usize, upstreams: &Upstreams) {
        self.upstream = upstream;
        self.authority = upstreams.authority(upstream);
    }
}

impl Proxying {
    /// What faults decide about the exchange in this direction.
    fn decide(&self, exchange: &Exchange, direction: Direction) -> Vec<Decision<ExchangeVerdict>> {
        if !self.board.snapshot().acts_on_exchanges() {
            return Vec::new();
        }
        self.board.decide_exchange(&exchange.subject(direction), exchange.key)
    }

    /// Lets the server execute a request whose answer nobody gets.
    async fn deliver(
        &self,
        link: &Arc<Link>,
        upstream: usize,
        request: Box<Request<Body>>,
        spelling: Option<&Spelling>,
    ) {
        let sent = self.upstreams.send(link, upstream, request, spelling).await;
        if let Ok((_, answer)) = sent {
            carry::execute(answer).await;
        }
    }

    fn carrying<'a>(
        &'a self,
        exchange: &'a Exchange,
        link: &'a Link,
        touched: &'a mut Vec<FaultId>,
    ) -> Carrying<'a> {
        Carrying { proxying: self, exchange, link, touched }
    }

    fn event_stream(&self, link: &UnderWay) -> EventStreamContext {
        EventStreamContext {
            board: self.board.clone(),
            recorder: self.recorder.clone(),
            event_ids: self.event_ids.clone(),
            ledger: self.ledger.clone(),
            delay: self.delay.clone(),
            link: link.clone(),
        }
    }

    /// The answer to a request of a session that a fault has expired, for as long as the session is
    /// remembered, whether the fault is still live or not: what is gone stays gone.
    fn expired(&self, exchange: &Exchange, fault: &FaultId) -> Response<Body> {
        self.recorder.aftermath(fault, &exchange.hit());
        carry::session_not_found(exchange, self.board.expiry_status(fault))
    }

    /// The session is gone, as far as its client can tell.
    fn lose(&self, entry: &Arc<Entry>, link: &Link) {
        self.ledger.lose(entry);
        link.lose(entry.clone());
    }
}

/// An exchange that was answered, for the ledger.
struct Learnt<'a> {
    exchange: &'a Exchange,
    link: &'a Link,
    /// The upstream that the session lives on, unless a fault has sent the request elsewhere.
    home: Option<usize>,
    /// When the request came.
    asked_at: Instant,
}

impl Learnt<'_> {
    /// What the answer tells of the session.
    fn from(self, ledger: &Ledger, known: Option<Arc<Entry>>, response: &Response<Incoming>) {
        let exchange = self.exchange;
        let is_good = response.status().is_success();
        let named = response.headers().get(header::SESSION_ID);
        let named = named.and_then(|value| value.to_str().ok()).filter(|_| is_good);
        // A client that starts anew may still name the session that it had.
        if let Some(new) = named.filter(|_| exchange.starts_a_session()) {
            let (home, client) = (self.home, exchange.client.as_ref());
            ledger.start(new, home, client, self.asked_at, self.link.take_lost());
            return;
        }
        let Some(session) = named.or(exchange.session.as_deref()) else { return };
        let known = known.filter(|known| *known.id == *session);
        let entry = known.or_else(|| is_good.then(|| ledger.enter(session)));
        let Some(entry) = entry else { return };
        match response.status() {
            StatusCode::NOT_FOUND => {
                ledger.lose(&entry);
                self.link.lose(entry);
            }
            _ if is_good && exchange.method == Method::DELETE => {
                entry.succeeded(None, false);
                let mut life = entry.life();
                (life.is_deleted, life.home) = (true, None);
            }
            _ if is_good => entry.succeeded(self.home, exchange.is(INITIALIZED)),
            _ => entry.failed(),
        }
    }
}

/// The notification that ends the handshake (basic/lifecycle).
const INITIALIZED: &str = "notifications/initialized";

impl Exchange {
    /// Takes over what is known of its session: where it lives, what ended it, whose it is.
    fn meet(
        &mut self,
        known: Option<&Arc<Entry>>,
        board: &Board,
    ) -> (Option<usize>, Option<FaultId>) {
        let Some(entry) = known else { return (None, None) };
        let life = entry.life();
        self.session_began = life.began.map(|began| board.since(began));
        if self.client.is_none() {
            self.client.clone_from(&life.client);
        }
        (life.home, life.expired_by.clone())
    }

    fn is(&self, method: &str) -> bool {
        self.messages.iter().any(|message| message.method.as_deref() == Some(method))
    }

    fn starts_a_session(&self) -> bool {
        self.is("initialize")
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

/// Messages can be read only where they are not compressed.
fn is_plain(headers: &HeaderMap, media_type: &str) -> bool {
    carry::has_type(headers, media_type) && !headers.contains_key(CONTENT_ENCODING)
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
fn for_upstream(mut parts: Parts, body: Body) -> Box<Request<Body>> {
    strip_hop_by_hop(&mut parts.headers);
    to_origin_form(&mut parts);
    Box::new(Request::from_parts(parts, body))
}

/// HTTP/2 lets a client split `Cookie`, which others would take for several (RFC 9113, section
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// An absolute target, as clients send it to proxies, or HTTP/2 has it always, becomes a path: the upstream is the origin.
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

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// What belongs to one connection only.
static HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, TE];

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of it, and looking for each would take longer.
    let may_be = |name: &HeaderName| matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17);
    if !headers.keys().any(|name| may_be(name) && HOP_BY_HOP.contains(name)) {
        return;
    }
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
    for name in &HOP_BY_HOP {
        if name != TE {
            headers.remove(name);
        }
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
