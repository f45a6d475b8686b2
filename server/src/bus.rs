//! The way of a notification to the open streams: to all of them, or to the one of a session.

mod envelope;
mod redis;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use squall_model::mcp::sse;

pub(crate) use self::redis::{LOG, RedisBus, Ticket};
use crate::history::{History, Position};
use crate::in_flight::InFlight;
use crate::outbox::{Outboxes, Place, Resumed, StreamId};
use crate::pending::{ClientAnswer, Pending};
use crate::redis_link::LinkError;
use crate::store::{Session, SessionCache, SessionId};
use crate::streams::{EventStream, OpenError, Streams};

/// Who a notification is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// Every open stream.
    All,
    /// The stream of one session.
    Session(SessionId),
    /// The streams of those who subscribed to that resource.
    Subscribers(String),
}

/// What concerns a session and may be the business of another replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionNews {
    /// Its client answered a request of the server's.
    Answer { request: String, answer: ClientAnswer },
    /// Its client does not want an answer any more: the request's id as it was written.
    Cancel { request: String },
    /// It subscribed to a resource.
    Subscribe { uri: String },
    /// It does not any more.
    Unsubscribe { uri: String },
    /// It is not as it was, or is not any more.
    Changed,
    /// Its client wants to go on with an answer of another replica's, after so many events of it.
    Resume { stream: StreamId, after: usize, ticket: u64 },
    /// What the answer says: what was missed first.
    Said { ticket: u64, events: Vec<String>, is_over: bool },
}

/// What a replica has of its sessions that such news concern.
pub(crate) struct Desk {
    pub(crate) streams: Arc<Streams>,
    pub(crate) outboxes: Arc<Outboxes>,
    /// What went to GET streams, where Redis does not keep it.
    history: Mutex<History>,
    pub(crate) pending: Pending,
    pub(crate) in_flight: InFlight,
    cache: Arc<SessionCache>,
}

impl Desk {
    pub(crate) fn new(streams: &Arc<Streams>, cache: &Arc<SessionCache>) -> Arc<Self> {
        let replica = RandomState::new().hash_one("desk");
        Arc::new(Self {
            streams: Arc::clone(streams),
            outboxes: Outboxes::new(replica),
            history: Mutex::default(),
            pending: Pending::new(replica),
            in_flight: InFlight::default(),
            cache: Arc::clone(cache),
        })
    }

    /// Pushes a message to the streams that it is for, and keeps it for those that are cut.
    fn publish(&self, target: Target, message: &RawValue) -> usize {
        let mut history = self.history.lock(); // so that all streams have one order
        let event = event(message, Some(&id_of(history.next())));
        let reached = deliver(&self.streams, &target, message, event.clone());
        history.record(target, event);
        reached
    }

    /// Opens a session's stream, after what it missed.
    fn open(
        &self,
        id: SessionId,
        session: &Session,
        after: Option<Position>,
    ) -> Result<EventStream, StreamError> {
        let history = self.history.lock();
        let stream = self.streams.open(id)?;
        let missed = after.map(|after| history.since(after, id, &session.subscriptions));
        Ok(begun(stream, session, missed, history.last()))
    }

    /// Acts on news, and says whether they were this replica's business and nobody else's.
    fn hear(&self, session: SessionId, news: &SessionNews) -> bool {
        match news {
            SessionNews::Answer { request, answer } => {
                self.pending.deliver(session, request, answer.clone())
            }
            SessionNews::Cancel { request } => self.in_flight.cancel(session, request),
            SessionNews::Subscribe { uri } => {
                self.streams.subscribe(session, std::slice::from_ref(uri));
                self.hear(session, &SessionNews::Changed)
            }
            SessionNews::Unsubscribe { uri } => {
                self.streams.unsubscribe(session, uri);
                self.hear(session, &SessionNews::Changed)
            }
            SessionNews::Changed => {
                self.cache.forget(session);
                false
            }
            SessionNews::Resume { .. } | SessionNews::Said { .. } => false, // between replicas
        }
    }
}

/// How far a notification came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Streams of this replica that took it.
    pub(crate) streams: usize,
    /// Replicas that received it, this one included.
    pub(crate) replicas: usize,
}

/// A notification that did not go out, or may not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(
        "nothing was sent: Redis, which takes notifications to the replicas, is unreachable: \
         try again in a moment"
    )]
    Unreachable,
    #[error(
        "whether the notification was sent is not known: Redis was lost before it answered: \
         look at the streams before you send it again"
    )]
    Unknown,
    #[error("nothing was sent: Redis refused it with {0}")]
    Refused(String),
}

/// Why there is no stream for a session that asked for one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error(transparent)]
    NotHere(#[from] OpenError),
    #[error("this replica does not hear of other replicas' notifications")]
    Deaf,
    #[error("the other replicas could not be told of it")]
    Untold(#[from] LinkError),
}

/// Where notifications go.
pub(crate) enum Bus {
    /// To the streams of this process.
    Local(Arc<Desk>),
    /// To the streams of all replicas that share a Redis.
    Redis(Arc<RedisBus>),
}

impl Bus {
    /// Whether this replica gets what the others send.
    pub(crate) fn is_up(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Redis(bus) => bus.hears(),
        }
    }

    /// Opens the stream of a session, after what it missed since that position, if one is given; one that
    /// it has on another replica ends.
    pub(crate) async fn open(
        &self,
        id: SessionId,
        session: &Session,
        after: Option<Position>,
    ) -> Result<EventStream, StreamError> {
        match self {
            Self::Local(desk) => desk.open(id, session, after),
            Self::Redis(bus) => bus.open(id, session, after).await,
        }
    }

    /// Goes on with the stream of an answer after that place, if it is there, here or elsewhere.
    pub(crate) async fn resume(
        &self,
        session: SessionId,
        place: Place,
    ) -> Result<Option<EventStream>, StreamError> {
        match self {
            Self::Local(desk) => Ok(desk.outboxes.resume(session, place).map(of_answer)),
            Self::Redis(bus) => bus.resume(session, place).await,
        }
    }

    /// Sends a message to the streams that it is for.
    pub(crate) async fn publish(
        &self,
        target: Target,
        message: &RawValue,
    ) -> Result<Reach, PublishError> {
        match self {
            Self::Local(desk) => {
                let streams = desk.publish(target, message);
                Ok(Reach { streams, replicas: 1 })
            }
            Self::Redis(bus) => bus.publish(target, message).await,
        }
    }

    /// Takes news of a session to the replica whose business they are.
    pub(crate) async fn spread(
        &self,
        session: SessionId,
        news: &SessionNews,
    ) -> Result<(), PublishError> {
        match self {
            Self::Local(desk) => {
                desk.hear(session, news);
                Ok(())
            }
            Self::Redis(bus) => bus.spread(session, news).await,
        }
    }
}

/// Pushes a message, and the event that it is, to the streams of this process that it is for, and says how
/// many took it.
fn deliver(streams: &Streams, target: &Target, message: &RawValue, event: Bytes) -> usize {
    match target {
        Target::All => streams.push_all(&event) + streams.tell_listeners(message),
        Target::Session(session) => usize::from(streams.push(*session, event).is_ok()),
        Target::Subscribers(uri) => {
            streams.push_to_subscribers(uri, &event) + streams.tell_listeners(message)
        }
    }
}

/// A message as an event of one line. A line break between two tokens of JSON is white space like any
/// other, but a lone CR would end a line of the event (HTML, section 9.2.5).
fn event(message: &RawValue, id: Option<&str>) -> Bytes {
    sse::encode(id, &message.get().replace(['\r', '\n'], " "))
}

/// The id of an event of a GET stream.
fn id_of(position: Position) -> String {
    format!("stream-{position}")
}

/// The position that such an id names.
pub(crate) fn position_of(id: &str) -> Option<Position> {
    id.strip_prefix("stream-")?.parse().ok()
}

/// A session's stream after what it missed, or else after an event that names where it begins.
fn begun(
    stream: EventStream,
    session: &Session,
    missed: Option<Vec<Bytes>>,
    at: Position,
) -> EventStream {
    match missed {
        Some(missed) => stream.after(missed),
        None if session.is_primed() => stream.after(vec![sse::encode_id(&id_of(at), None)]),
        None => stream,
    }
}

fn of_answer(Resumed { missed, queue }: Resumed) -> EventStream {
    EventStream::of_answer(queue).after(missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &str) {
        let raw = RawValue::from_string(message.to_owned()).expect(message);
        assert_eq!(event(&raw, None), format!("event: message\ndata: {expected}\n\n"));
    }

    #[test]
    fn an_event_has_one_line_of_data_however_its_json_was_written() {
        check(r#"{"a":"\r\n"}"#, r#"{"a":"\r\n"}"#);
        check("{\r\"a\":\r\n1,\n\"b\":2}", r#"{ "a":  1, "b":2}"#);
    }
}
