//! The second moment: one HTTP request and its answer.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Extensions, Method, Response, StatusCode};
use squall_model::fault::FaultId;
use squall_model::mcp::header;
use squall_model::scope::Direction;
use squall_model::verdict::ExchangeVerdict;
use tokio::time::Instant;

use crate::board::{Board, Decision};
use crate::carry::{self, Carrying, Course};
use crate::classify::{Exchange, classify};
use crate::halves::{Answer, Request};
use crate::headers::Headers;
use crate::ledger::{Entry, Ledger};
use crate::link::{Link, UnderWay};
use crate::observe::Ended;
use crate::proxying::Proxying;
use crate::stream::{Body, EventStream, EventStreamContext, Held, Incoming, PeerError};
use crate::upstream::{Outgoing, UpstreamError, Upstreams};

/// The exchange ends without an answer, and the connection with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Aborted {
    #[error("the request's body could not be read")]
    Request(#[from] PeerError),
    #[error("a fault ended the connection")]
    ByFault,
}

/// Serves one request of a connection.
pub(crate) async fn serve(
    proxying: Arc<Proxying>,
    link: Arc<Link>,
    request: Request,
) -> Result<Answer<Body>, Aborted> {
    if request.method == Method::CONNECT {
        return Ok(no_tunnel().into());
    }
    let asked_at = Instant::now();
    let link = link.begin(request.version);
    let Request { method, uri, headers, extensions, body, .. } = request;
    let mut exchange = Exchange::new(method, uri, headers);
    let limit = proxying.limits.classify;
    let body = classify(&mut exchange, body, &proxying.board, limit).await?;
    let mut touched = Vec::new();
    let passing = Passing { proxying: &proxying, link: &link, asked_at, touched: &mut touched };
    let passed = passing.pass(&mut exchange, extensions, body).await;
    let exchange = Arc::new(exchange);
    let outcome = match passed {
        Ok(Passed::Answer(response)) => Ok((*response).into()),
        Ok(Passed::Upstream(received)) => {
            answer(&proxying, &link, exchange.clone(), *received, &mut touched).await
        }
        Err(error) => Err(error),
    };
    let ended = outcome.as_ref().map_or(Ended::Aborted, |answer| Ended::Answered(answer.status));
    let (observer, took) = (&proxying.recorder.observer, asked_at.elapsed());
    observer.exchange(&proxying.meter, &exchange, took, ended, &touched);
    outcome.map(|mut answer| {
        carry::sign(&mut answer.headers, &touched);
        answer
    })
}

/// What came of a request.
enum Passed {
    /// The proxy's own answer.
    Answer(Box<Response<Body>>),
    /// The upstream's, which faults may still do something to.
    Upstream(Box<Answer<Incoming>>),
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
    touched: &'a mut Vec<FaultId>,
}

impl Passing<'_> {
    async fn pass(
        self,
        exchange: &mut Exchange,
        extensions: Extensions,
        body: Held,
    ) -> Result<Passed, Aborted> {
        let Self { proxying, link, asked_at, touched } = self;
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
        let mut request = Outgoing::new(exchange, extensions, body);
        carrying.request(&mut request);
        changes.request(&mut request);

        let upstream = changes.upstream.unwrap_or(exchange.upstream);
        if changes.repeat
            && let Some(copy) = request.copy()
        {
            Box::pin(proxying.deliver(link, upstream, copy)).await;
        }
        let sent = proxying.upstreams.send(link, upstream, request).await;
        let (upstream, received) = match sent {
            Ok(answered) => answered,
            Err(error) => return Ok(Passed::answer(bad_gateway(error))),
        };
        let home = Some(upstream).filter(|_| changes.upstream.is_none());
        let learnt = Learnt { exchange, link, home, asked_at };
        learnt.from(&proxying.ledger, known, &received);
        exchange.goes_to(upstream, &proxying.upstreams);
        exchange.status = Some(received.status);
        Ok(Passed::Upstream(Box::new(received)))
    }
}

/// The way back: what faults do to the answer.
async fn answer(
    proxying: &Arc<Proxying>,
    link: &UnderWay,
    exchange: Arc<Exchange>,
    mut received: Answer<Incoming>,
    touched: &mut Vec<FaultId>,
) -> Result<Answer<Body>, Aborted> {
    let decisions = proxying.decide(&exchange, Direction::Response);
    let mut carrying = proxying.carrying(&exchange, link, touched);
    if decisions.iter().any(|decision| decision.verdict.is_final()) {
        // The client shall not get it, but the server shall have executed the request.
        Box::pin(carry::execute(received)).await;
        return match carrying.exchange(decisions).await {
            Course::Answer(response) => Ok((*response).into()),
            Course::Forward(_) | Course::Abort => Err(Aborted::ByFault),
        };
    }
    let Course::Forward(changes) = carrying.exchange(decisions).await else {
        return Err(Aborted::ByFault);
    };
    let headers = &mut received.headers;
    headers.settle();
    let body = if is_plain(headers, header::EVENT_STREAM) {
        let context = proxying.event_stream(link);
        let events = EventStream::new(received.body, exchange.clone(), context);
        if events.may_shrink() {
            headers.edit().remove(CONTENT_LENGTH);
        }
        Body::Events(Box::new(events))
    } else {
        let body = Body::Answer(received.body, link.clone());
        match carrying.json_answer(headers, body).await {
            Course::Forward(body) => body,
            Course::Answer(response) => return Ok((*response).into()),
            Course::Abort => return Err(Aborted::ByFault),
        }
    };
    let body = changes.answer(headers, body, link).await;
    let Answer { status, headers, extensions, .. } = received;
    Ok(Answer { status, headers, extensions, body })
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
    async fn deliver(&self, link: &Arc<Link>, upstream: usize, request: Outgoing<'_>) {
        let sent = self.upstreams.send(link, upstream, request).await;
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
    fn from(self, ledger: &Ledger, known: Option<Arc<Entry>>, received: &Answer<Incoming>) {
        let exchange = self.exchange;
        let is_good = received.status.is_success();
        let named = received.headers.text(&header::SESSION_ID).filter(|_| is_good);
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
        match received.status {
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
fn is_plain(headers: &Headers, media_type: &str) -> bool {
    carry::has_type(headers, media_type) && !headers.has(&CONTENT_ENCODING)
}

/// The proxy stands where a server stands, and opens no tunnels.
fn no_tunnel() -> Response<Body> {
    let words = "this is a server to its clients, and CONNECT is for proxies: send requests to it";
    let mut response = Response::new(Body::from(format!("{words}\n")));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
