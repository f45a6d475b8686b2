//! The open GET stream of each session: what is pushed to a session goes out there.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use tokio_util::sync::DropGuard;

use crate::bus::Ticket;
use crate::listeners::{Filter, Listeners, Place};
use crate::shards::Shards;
use crate::store::SessionId;

/// Events that wait for a slow reader; with one more, its stream ends.
pub(crate) const QUEUE: usize = 256;
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

/// The open streams: at most one a session, and those that listen without one.
pub(crate) struct Streams {
    listeners: Arc<Listeners>,
    shards: Shards<Writer>,
    opened: AtomicU64,
    stopping: AtomicBool,
}

struct Writer {
    events: mpsc::Sender<Bytes>,
    number: u64,
    /// A claim to the session that is not granted yet: until it is, nothing goes out, and no other
    /// replica's claim ends the stream, because this one comes later.
    claim: Option<u64>,
    /// The resources whose updates go out.
    subscriptions: Vec<String>,
}

/// Why there is no stream for a session that asked for one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "this session has a GET stream already, and one at a time is what this server keeps: \
         close the other first"
    )]
    Taken,
    #[error("the server is shutting down: try again in a moment")]
    Stopping,
}

/// Why an event did not get out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PushError {
    #[error("session `{0}` has no open stream")]
    NoStream(SessionId),
    #[error("the stream of session `{0}` was ended: its reader is {QUEUE} events behind")]
    Overflow(SessionId),
}

impl Streams {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            listeners: Arc::default(),
            shards: Shards::new(),
            opened: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Opens the stream of a session. It is closed when it is dropped.
    pub(crate) fn open(self: &Arc<Self>, session: SessionId) -> Result<EventStream, OpenError> {
        self.begin(session, None)
    }

    /// The same, but nothing comes out of it until this claim is granted.
    pub(crate) fn claim(
        self: &Arc<Self>,
        session: SessionId,
        claim: u64,
    ) -> Result<EventStream, OpenError> {
        self.begin(session, Some(claim))
    }

    fn begin(
        self: &Arc<Self>,
        session: SessionId,
        claim: Option<u64>,
    ) -> Result<EventStream, OpenError> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let (events, queue) = mpsc::channel(QUEUE);
        let mut shard = self.shards.of(session).lock();
        // Looked at under the lock, so that `close_all` either finds this stream or stops it here.
        if self.stopping.load(Ordering::SeqCst) {
            return Err(OpenError::Stopping);
        }
        if shard.contains_key(&session) {
            return Err(OpenError::Taken);
        }
        let subscriptions = Vec::new();
        shard.insert(session, Writer { events, number, claim, subscriptions });
        let lease = Lease { streams: Arc::clone(self), session, number };
        Ok(EventStream::new(queue, Held::Session(lease)))
    }

    /// Opens a stream without a session, which hears what that filter lets through.
    pub(crate) fn listen(
        &self,
        filter: Filter,
        subscription: &RawValue,
    ) -> Result<EventStream, OpenError> {
        let (events, queue) = mpsc::channel(QUEUE);
        let place = self.listeners.open(filter, subscription, events);
        // Looked at afterwards, so that `close_all` either finds this stream or stops it here.
        if self.stopping.load(Ordering::SeqCst) {
            return Err(OpenError::Stopping);
        }
        Ok(EventStream::new(queue, Held::Listener(place)))
    }

    /// Adds to the resources whose updates a session's stream carries, or takes one away.
    pub(crate) fn subscribe(&self, session: SessionId, uris: &[String]) {
        if let Some(writer) = self.shards.of(session).lock().get_mut(&session) {
            for uri in uris {
                if !writer.subscriptions.contains(uri) {
                    writer.subscriptions.push(uri.clone());
                }
            }
        }
    }

    pub(crate) fn unsubscribe(&self, session: SessionId, uri: &str) {
        if let Some(writer) = self.shards.of(session).lock().get_mut(&session) {
            writer.subscriptions.retain(|own| own != uri);
        }
    }

    /// Grants a claim, and says whether its stream is still there.
    pub(crate) fn grant(&self, session: SessionId, claim: u64) -> bool {
        let mut shard = self.shards.of(session).lock();
        let waiting = shard.get_mut(&session).filter(|writer| writer.claim == Some(claim));
        waiting.map(|writer| writer.claim = None).is_some()
    }

    /// Ends a session's stream, as `close` does, because another replica has it now; unless it is
    /// claimed anew.
    pub(crate) fn cede(&self, session: SessionId) {
        let mut shard = self.shards.of(session).lock();
        if shard.get(&session).is_some_and(|writer| writer.claim.is_none()) {
            shard.remove(&session);
        }
    }

    /// Pushes one encoded event to a session's stream.
    pub(crate) fn push(&self, session: SessionId, event: Bytes) -> Result<(), PushError> {
        let mut shard = self.shards.of(session).lock();
        let Some(writer) = shard.get(&session).filter(|writer| writer.claim.is_none()) else {
            return Err(PushError::NoStream(session));
        };
        match writer.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(PushError::NoStream(session)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                shard.remove(&session);
                Err(PushError::Overflow(session))
            }
        }
    }

    /// Pushes one encoded event to every session's stream, and says how many took it.
    pub(crate) fn push_all(&self, event: &Bytes) -> usize {
        self.push_where(event, |_| true)
    }

    /// The same, to those alone that subscribed to that resource.
    pub(crate) fn push_to_subscribers(&self, uri: &str, event: &Bytes) -> usize {
        self.push_where(event, |writer| writer.subscriptions.iter().any(|own| own == uri))
    }

    /// Tells a message to those who listen without a session, and says how many took it.
    pub(crate) fn tell_listeners(&self, message: &RawValue) -> usize {
        self.listeners.tell(message)
    }

    fn push_where(&self, event: &Bytes, is_meant: impl Fn(&Writer) -> bool) -> usize {
        let mut reached = 0;
        for shard in self.shards.iter() {
            shard.lock().retain(|_, writer| {
                if writer.claim.is_some() || !is_meant(writer) {
                    return true;
                }
                let is_taken = writer.events.try_send(event.clone()).is_ok();
                reached += usize::from(is_taken);
                is_taken
            });
        }
        reached
    }

    /// Ends a session's stream once what is queued went out.
    pub(crate) fn close(&self, session: SessionId) {
        self.shards.of(session).lock().remove(&session);
    }

    /// Ends every stream, and lets no new one begin.
    pub(crate) fn close_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for shard in self.shards.iter() {
            shard.lock().clear();
        }
        self.listeners.close_all();
    }

    /// Sends a comment down every stream, and names the sessions that have one.
    pub(crate) fn beat(&self) -> Vec<SessionId> {
        self.push_all(&HEARTBEAT);
        self.listeners.beat(&HEARTBEAT);
        self.sessions()
    }

    /// The sessions that have a stream.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let mut sessions = Vec::new();
        for shard in self.shards.iter() {
            sessions.extend(shard.lock().keys().copied());
        }
        sessions
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        let of_sessions: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        of_sessions + self.listeners.count()
    }
}

/// A place among the open streams, given back on drop.
struct Lease {
    streams: Arc<Streams>,
    session: SessionId,
    number: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut shard = self.streams.shards.of(self.session).lock();
        let is_ours = |writer: &Writer| writer.number == self.number;
        if shard.get(&self.session).is_some_and(is_ours) {
            shard.remove(&self.session);
        }
    }
}

/// The reading end of a stream: the body of an answer.
pub(crate) struct EventStream {
    /// What goes out before anything else.
    first: VecDeque<Bytes>,
    queue: mpsc::Receiver<Bytes>,
    _held: Held,
}

/// What ends with a stream.
enum Held {
    Nothing,
    Session(#[expect(dead_code, reason = "held, not used")] Lease),
    Listener(#[expect(dead_code, reason = "held, not used")] Place),
    /// Work that is done for nobody else.
    Work(#[expect(dead_code, reason = "held, not used")] DropGuard),
    /// A stream that another replica has.
    Ticket(#[expect(dead_code, reason = "held, not used")] Ticket),
}

impl EventStream {
    fn new(queue: mpsc::Receiver<Bytes>, held: Held) -> Self {
        Self { first: VecDeque::new(), queue, _held: held }
    }

    /// A stream of one answer.
    pub(crate) fn of_answer(queue: mpsc::Receiver<Bytes>) -> Self {
        Self::new(queue, Held::Nothing)
    }

    /// The same, whose end stops the work on the answer.
    pub(crate) fn of_work(queue: mpsc::Receiver<Bytes>, stop: DropGuard) -> Self {
        Self::new(queue, Held::Work(stop))
    }

    /// A stream of an answer that another replica says.
    pub(crate) fn of_another_replica(queue: mpsc::Receiver<Bytes>, ticket: Ticket) -> Self {
        Self::new(queue, Held::Ticket(ticket))
    }

    /// The same stream, with these events before all others.
    pub(crate) fn after(self, first: Vec<Bytes>) -> Self {
        Self { first: first.into(), ..self }
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(event) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        let event = self.queue.poll_recv(cx);
        event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    const A: SessionId = SessionId::of(0xa);
    const B: SessionId = SessionId::of(0xb);

    async fn next(stream: &mut EventStream) -> Option<Bytes> {
        let frame = stream.frame().await?;
        frame.expect("infallible").into_data().ok()
    }

    #[tokio::test]
    async fn what_is_pushed_to_a_session_comes_out_of_its_stream() {
        let streams = Streams::new();
        let mut stream = streams.open(A).expect("free");
        streams.push(A, "1".into()).expect("open");
        assert_eq!(next(&mut stream).await, Some("1".into()));
        assert_eq!(streams.push(B, "2".into()), Err(PushError::NoStream(B)));
    }

    #[tokio::test]
    async fn a_session_has_one_stream_until_it_is_dropped() {
        let streams = Streams::new();
        let stream = streams.open(A).expect("free");
        assert_eq!(streams.open(A).err(), Some(OpenError::Taken));
        drop(stream);
        assert!(streams.open(A).is_ok());
    }

    #[tokio::test]
    async fn a_closed_stream_ends_after_what_was_queued_and_leaves_its_successor_alone() {
        let streams = Streams::new();
        let mut stream = streams.open(A).expect("free");
        streams.push(A, "1".into()).expect("open");
        streams.close(A);
        let _successor = streams.open(A).expect("free again");
        assert_eq!(next(&mut stream).await, Some("1".into()));
        assert_eq!(next(&mut stream).await, None);
        drop(stream);
        assert_eq!(streams.count(), 1);
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_loses_its_stream_and_not_a_single_event() {
        let streams = Streams::new();
        let _stream = streams.open(A).expect("free");
        for _ in 0..QUEUE {
            streams.push(A, HEARTBEAT).expect("room");
        }
        assert_eq!(streams.push(A, HEARTBEAT), Err(PushError::Overflow(A)));
        assert_eq!(streams.count(), 0);
    }

    #[tokio::test]
    async fn what_is_for_all_reaches_all_but_those_who_fell_behind() {
        let streams = Streams::new();
        let (mut keen, _slow) = (streams.open(A).expect("free"), streams.open(B).expect("free"));
        for _ in 0..QUEUE {
            streams.push(B, HEARTBEAT).expect("room");
        }
        assert_eq!(streams.push_all(&"1".into()), 1);
        assert_eq!(next(&mut keen).await, Some("1".into()));
        assert_eq!(streams.sessions(), [A]);
    }

    #[tokio::test]
    async fn nothing_comes_out_of_a_stream_and_nobody_ends_it_until_its_claim_is_granted() {
        let streams = Streams::new();
        let mut stream = streams.claim(A, 7).expect("free");
        assert_eq!(streams.open(A).err(), Some(OpenError::Taken));
        assert_eq!(streams.push(A, "1".into()), Err(PushError::NoStream(A)));
        assert_eq!(streams.push_all(&"2".into()), 0);
        streams.cede(A);
        assert!(!streams.grant(B, 7) && !streams.grant(A, 8) && streams.grant(A, 7));
        streams.push(A, "3".into()).expect("granted");
        streams.cede(A);
        assert_eq!(next(&mut stream).await, Some("3".into()));
        assert_eq!(next(&mut stream).await, None);
        assert!(!streams.grant(A, 7));
    }

    #[tokio::test]
    async fn a_heartbeat_reaches_every_stream() {
        let streams = Streams::new();
        let mut stream = streams.open(A).expect("free");
        assert_eq!(streams.beat(), [A]);
        assert_eq!(next(&mut stream).await, Some(HEARTBEAT));
    }

    #[tokio::test]
    async fn no_stream_begins_after_all_were_closed() {
        let streams = Streams::new();
        let mut stream = streams.open(A).expect("free");
        streams.close_all();
        assert_eq!(next(&mut stream).await, None);
        assert_eq!(streams.open(B).err(), Some(OpenError::Stopping));
    }
}
