//! What an exchange is, read from its head and its JSON body, as far as that is not too large.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use squall_model::chance::DrawKey;
use squall_model::mcp::envelope::{Envelope, Kind, Message};
use squall_model::mcp::era::Era;
use squall_model::mcp::glance::Glance;
use squall_model::mcp::header;
use squall_model::operation::OperationId;
use squall_model::scope::{Direction, MessageSubject, Subject};

use crate::board::Board;
use crate::carry;
use crate::headers::Headers;
use crate::observe::Ended;
use crate::record::Hit;
use crate::stream::{Held, Incoming, PeerError};

/// How long a body may take until it is forwarded unclassified.
const HOLD: Duration = Duration::from_secs(10);

/// An exchange, as far as faults and the ledger look at it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: Headers,
    pub(crate) era: Era,
    /// Name and version of the client, as far as its request says them.
    pub(crate) client: Option<Client>,
    /// The upstream that is tried first, or that has answered, by its number.
    pub(crate) upstream: usize,
    /// Its `HOST:PORT`.
    pub(crate) authority: Option<Arc<str>>,
    /// The status of the answer, once there is one.
    pub(crate) status: Option<StatusCode>,
    /// Whether the body was held from beginning to end.
    pub(crate) is_whole: bool,
    /// `Mcp-Session-Id`, which means nothing in the stateless era.
    pub(crate) session: Option<Arc<str>>,
    /// When that began, by the board's clock, where it was seen.
    pub(crate) session_began: Option<Duration>,
    pub(crate) messages: Vec<MessageSubject<'static>>,
    /// The ids of the requests among the messages, as they were written.
    pub(crate) ids: Vec<Box<str>>,
    pub(crate) is_batch: bool,
    pub(crate) operation: Option<OperationId>,
    pub(crate) key: DrawKey,
}

/// A client by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
}

impl Exchange {
    /// As far as the head of its request tells.
    pub(crate) fn new(method: Method, uri: Uri, headers: Headers) -> Self {
        Self {
            method,
            uri,
            era: era_of_head(&headers).unwrap_or(Era::Session),
            client: None,
            upstream: 0,
            authority: None,
            status: None,
            is_whole: false,
            session: None,
            session_began: None,
            messages: Vec::new(),
            ids: Vec::new(),
            is_batch: false,
            operation: headers.text(&header::TRACEPARENT).and_then(OperationId::from_traceparent),
            key: DrawKey::Arrival(0),
            headers,
        }
    }

    /// The exchange as faults match it.
    pub(crate) fn subject(&self, direction: Direction) -> Subject<'_> {
        self.subject_with(direction, &self.messages)
    }

    /// The exchange with other messages in the place of its own.
    pub(crate) fn subject_with<'a>(
        &'a self,
        direction: Direction,
        messages: &'a [MessageSubject<'a>],
    ) -> Subject<'a> {
        Subject {
            direction,
            era: self.era,
            http_method: self.method.as_str(),
            path: self.uri.path(),
            headers: &self.headers,
            session: self.session.as_deref(),
            session_began: self.session_began,
            client: self.client.as_ref().map(|client| (&*client.name, &*client.version)),
            upstream: self.authority.as_deref(),
            status: self.status,
            event: None,
            messages,
        }
    }

    /// What the data of an answer says. An answer to the exchange's request has its method and name.
    pub(crate) fn messages_of(&self, data: &[u8]) -> Vec<MessageSubject<'static>> {
        let Ok(envelope) = Envelope::peek(data) else {
            return Vec::new();
        };
        envelope.messages().iter().map(|message| self.message_of(message)).collect()
    }

    fn message_of(&self, message: &Message<'_>) -> MessageSubject<'static> {
        let own = |text: Option<&Cow<'_, str>>| text.map(|text| Cow::Owned(text.to_string()));
        let (method, name) = match message.kind {
            Kind::Request | Kind::Notification => (message.method.as_ref(), message.name.as_ref()),
            Kind::Response | Kind::Error => {
                let asked = self.asked(message.id);
                (asked.and_then(|m| m.method.as_ref()), asked.and_then(|m| m.name.as_ref()))
            }
        };
        MessageSubject { kind: message.kind, method: own(method), name: own(name) }
    }

    /// The request that an answer of this id answers: in a batch, the one that has it.
    fn asked(&self, id: Option<&RawValue>) -> Option<&MessageSubject<'static>> {
        let mut requests = self.messages.iter().filter(|message| message.kind == Kind::Request);
        let place = self.ids.iter().position(|asked| Some(&**asked) == id.map(RawValue::get));
        requests.nth(place.unwrap_or_default())
    }

    /// One line for each exchange, for those who ask for `debug`.
    pub(crate) fn trace(&self, took: Duration, ended: Ended) {
        let message = self.messages.first();
        tracing::debug!(
            http = %self.method,
            method = message.and_then(|message| message.method.as_deref()),
            name = message.and_then(|message| message.name.as_deref()),
            era = ?self.era,
            session = self.session.as_deref(),
            operation = self.operation.map(tracing::field::display),
            upstream = self.authority.as_deref(),
            ?ended,
            ?took,
            "exchange"
        );
    }

    /// The exchange as injections record it.
    pub(crate) fn hit(&self) -> Hit<'_> {
        let method = self.messages.first().and_then(|message| message.method.as_deref());
        Hit { operation: self.operation, session: self.session.as_deref(), method }
    }
}

/// Reads what a request is. Gives back its body, whole, for forwarding.
pub(crate) async fn classify(
    exchange: &mut Exchange,
    body: Incoming,
    board: &Board,
    limit: usize,
) -> Result<Held, PeerError> {
    let is_json = exchange.method == Method::POST && has_json(&exchange.headers);
    let is_held = is_json && fits(&body, limit);
    let held = match body.is_here() {
        _ if !is_held => Held::nothing(body),
        Some(here) => Held::all(here.clone(), None, body.size_hint().exact()),
        // It is large.
        None => Box::pin(hold(body, limit)).await?,
    };
    exchange.is_whole = held.is_whole();
    if is_json && let Some(whole) = held.whole() {
        read_messages(exchange, whole);
    }
    if exchange.era == Era::Session {
        // One that names two names none.
        exchange.session = exchange.headers.only_text(&header::SESSION_ID).map(Arc::from);
    }
    exchange.key = exchange.operation.map_or_else(|| board.arrival(), DrawKey::Operation);
    Ok(held)
}

fn read_messages(exchange: &mut Exchange, body: &[u8]) {
    if let Some(glance) = Glance::at(body) {
        return read_glance(exchange, glance);
    }
    let Ok(envelope) = Envelope::peek(body) else {
        return;
    };
    exchange.is_batch = matches!(envelope, Envelope::Batch(_));
    if era_of_head(&exchange.headers).is_none()
        && let Some(version) = envelope.messages().iter().find_map(|m| m.meta_version.as_deref())
    {
        exchange.era = Era::of(version);
    }
    for message in envelope.messages() {
        if let (Kind::Request, Some(id)) = (message.kind, message.id) {
            exchange.ids.push(id.get().into());
        }
        exchange.operation = exchange.operation.or(message.operation);
        if let Some((name, version)) = message.client() {
            exchange.client = Some(Client { name: name.into(), version: version.into() });
        }
        exchange.messages.push(MessageSubject {
            kind: message.kind,
            method: message.method.as_deref().map(|text| text.to_owned().into()),
            name: message.name.as_deref().map(|text| text.to_owned().into()),
        });
    }
}

/// Takes over what a glance tells of the one message of a request.
fn read_glance(exchange: &mut Exchange, glance: Glance<'_>) {
    if let Some(version) = glance.meta_version
        && era_of_head(&exchange.headers).is_none()
    {
        exchange.era = Era::of(version);
    }
    if let (Kind::Request, Some(id)) = (glance.kind, glance.id) {
        exchange.ids = vec![id.into()];
    }
    exchange.operation = exchange.operation.or(glance.operation);
    if let Some((name, version)) = glance.client {
        exchange.client = Some(Client { name: name.into(), version: version.into() });
    }
    exchange.messages = vec![MessageSubject {
        kind: glance.kind,
        method: Some(glance.method.to_owned().into()),
        name: glance.name.map(|name| name.to_owned().into()),
    }];
}

/// A body whose declared length is beyond the limit is not worth holding.
fn fits(body: &Incoming, limit: usize) -> bool {
    body.size_hint().lower() <= limit as u64
}

async fn hold(mut body: Incoming, limit: usize) -> Result<Held, PeerError> {
    let exact = body.size_hint().exact();
    let deadline = tokio::time::sleep(HOLD);
    let mut deadline = std::pin::pin!(deadline);
    let mut data = BytesMut::new();
    let mut first = Bytes::new();
    let mut trailers = None;
    while data.len() + first.len() <= limit {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = &mut deadline => return Ok(Held::part(joined(first, data), body, exact)),
        };
        match frame.transpose()?.map(http_body::Frame::into_data) {
            None => return Ok(Held::all(joined(first, data), trailers, exact)),
            // Most bodies come in one piece, which is kept as it is.
            Some(Ok(chunk)) if first.is_empty() && data.is_empty() => first = chunk,
            Some(Ok(chunk)) => {
                data.extend_from_slice(&std::mem::take(&mut first));
                data.extend_from_slice(&chunk);
            }
            Some(Err(frame)) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Held::part(joined(first, data), body, exact))
}

fn joined(first: Bytes, data: BytesMut) -> Bytes {
    if first.is_empty() { data.freeze() } else { first }
}

fn has_json(headers: &Headers) -> bool {
    let value = headers.get(&CONTENT_TYPE);
    value.is_none_or(|value| carry::is_type(value, header::JSON))
}

/// What the head tells of the era: `MCP-Protocol-Version` decides; `Mcp-Method` is of the stateless
/// era alone (MCP 2026-07-28, basic/transports, streamable HTTP).
fn era_of_head(headers: &Headers) -> Option<Era> {
    match headers.text(&header::PROTOCOL_VERSION) {
        Some(version) => Some(Era::of(version)),
        None => headers.has(&header::METHOD).then_some(Era::Stateless),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn the_head_tells_the_era_where_it_can() {
        for (name, value, expected) in [
            ("mcp-protocol-version", "2025-11-25", Some(Era::Session)),
            ("mcp-protocol-version", "2026-07-28", Some(Era::Stateless)),
            ("mcp-method", "tools/call", Some(Era::Stateless)),
            ("mcp-session-id", "s", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a value"));
            assert_eq!(era_of_head(&Headers::received(headers)), expected, "{name}: {value}");
        }
    }
}
