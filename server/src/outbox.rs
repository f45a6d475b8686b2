//! What an answer that is a stream says to its client. In the session era it is kept, so that a stream that
//! was cut can go on with `Last-Event-ID`, here or through another replica, until some time after its end
//! (basic/transports, resumability and redelivery).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use squall_model::mcp::sse;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::store::SessionId;
use crate::streams::QUEUE;

/// How long what was said can still be asked for after the end.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Bytes of one stream that are kept; one that says more cannot be resumed.
const MOST_BYTES: usize = 2 << 20;
/// Streams whose end has come that are kept, and bytes of them.
const MOST_ENDED: usize = 1000;
const MOST_ENDED_BYTES: usize = 32 << 20;
/// When a client should come back, in milliseconds.
const RETRY: u32 = 500;

/// One stream, told apart from all others of all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamId {
    replica: u64,
    number: u64,
}

/// An event of a stream: how many came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stream: StreamId,
    pub(crate) event: usize,
}

/// A text that names no event of an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`HEX-NUMBER-NUMBER` was expected")]
pub(crate) struct NoPlace;

/// Where an answer is said. Clones say the same.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Mutex<Said>>);

struct Said {
    /// None where nothing is kept, or not any more.
    stream: Option<StreamId>,
    /// Its number among those of this replica.
    number: Option<u64>,
    session: Option<SessionId>,
    events: Vec<Bytes>,
    bytes: usize,
    reader: Option<mpsc::Sender<Bytes>>,
    has_ended: bool,
    /// Where it is kept.
    kept_by: Weak<Outboxes>,
}

/// The streams of this replica that can be resumed.
pub(crate) struct Outboxes {
    replica: u64,
    opened: AtomicU64,
    kept: Mutex<HashMap<u64, Outbox>>,
    ended: Mutex<Ended>,
}

/// Those whose end has come, the oldest first.
#[derive(Default)]
struct Ended {
    streams: VecDeque<(u64, usize, Instant)>,
    bytes: usize,
}

impl Outbox {
    /// One whose client hears each thing once or not at all.
    pub(crate) fn unkept() -> (Self, mpsc::Receiver<Bytes>) {
        Self::begin(None, None, Weak::new())
    }

    fn begin(
        stream: Option<StreamId>,
        session: Option<SessionId>,
        kept_by: Weak<Outboxes>,
    ) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let said = Said {
            stream,
            number: stream.map(|stream| stream.number),
            session,
            events: Vec::new(),
            bytes: 0,
            reader: Some(sender),
            has_ended: false,
            kept_by,
        };
        (Self(Arc::new(Mutex::new(said))), queue)
    }

    /// Says a message. A client that is behind misses it, or, where it is kept, loses its stream, and can
    /// resume it.
    pub(crate) fn say(&self, message: &str) {
        let mut said = self.0.lock();
        let event = said.encode(message);
        let is_kept = said.keep(&event);
        let Some(reader) = &said.reader else { return };
        let is_cut = match reader.try_send(event) {
            Ok(()) => false,
            Err(mpsc::error::TrySendError::Full(_)) => is_kept,
            Err(mpsc::error::TrySendError::Closed(_)) => true,
        };
        if is_cut {
            said.reader = None;
        }
    }

    /// Says the last message, and waits until a client that is behind has room for it.
    pub(crate) async fn end(&self, message: Option<&str>) {
        let (last, home, bytes) = {
            let mut said = self.0.lock();
            said.has_ended = true;
            let event = message.map(|message| said.encode(message));
            if let Some(event) = &event {
                said.keep(event);
            }
            let home = said.kept_by.upgrade().zip(said.number);
            (said.reader.take().zip(event), home, said.bytes)
        };
        if let Some((outboxes, number)) = home {
            outboxes.has_ended(number, bytes);
        }
        if let Some((reader, event)) = last {
            let _ = reader.send(event).await; // the client may be gone
        }
    }

    /// Ends the client's stream, but not what is to be said: it is to come back for that.
    pub(crate) fn hang_up(&self) {
        self.0.lock().reader = None;
    }

    /// A stream of what was said after so many events, and what is said from now on; `None` if it is not all
    /// there. Who read before reads no more.
    fn resume(&self, session: SessionId, after: usize) -> Option<Resumed> {
        let mut said = self.0.lock();
        if said.session != Some(session) || said.stream.is_none() {
            return None;
        }
        let missed = said.events.get(after..)?.to_vec();
        let (sender, queue) = mpsc::channel(QUEUE);
        said.reader = (!said.has_ended).then_some(sender);
        Some(Resumed { missed, queue })
    }
}

/// A stream that goes on.
pub(crate) struct Resumed {
    pub(crate) missed: Vec<Bytes>,
    pub(crate) queue: mpsc::Receiver<Bytes>,
}

impl Said {
    fn encode(&self, message: &str) -> Bytes {
        let place = self.stream.map(|stream| Place { stream, event: self.events.len() + 1 });
        sse::encode(place.map(|place| place.to_string()).as_deref(), message)
    }

    /// Keeps an event, and says whether it did.
    fn keep(&mut self, event: &Bytes) -> bool {
        if self.stream.is_none() {
            return false;
        }
        self.bytes += event.len();
        if self.bytes > MOST_BYTES {
            self.events = Vec::new();
            self.stream = None;
            return false;
        }
        self.events.push(event.clone());
        true
    }
}

impl Outboxes {
    pub(crate) fn new(replica: u64) -> Arc<Self> {
        let (opened, kept, ended) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Arc::new(Self { replica, opened, kept, ended })
    }

    /// Begins a stream of a session, whose first event names it, so that it can be resumed from the start
    /// (from 2025-11-25).
    pub(crate) fn open(
        self: &Arc<Self>,
        session: SessionId,
        is_primed: bool,
    ) -> (Outbox, mpsc::Receiver<Bytes>) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let stream = StreamId { replica: self.replica, number };
        let (outbox, reader) = Outbox::begin(Some(stream), Some(session), Arc::downgrade(self));
        if is_primed {
            let said = outbox.0.lock();
            if let Some(client) = &said.reader {
                let _ = client.try_send(priming(Place { stream, event: 0 })); // the first has room
            }
        }
        self.kept.lock().insert(number, outbox.clone());
        (outbox, reader)
    }

    /// Whether a stream is this replica's.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        stream.replica == self.replica
    }

    /// A session's stream after that place, if it is still there.
    pub(crate) fn resume(&self, session: SessionId, place: Place) -> Option<Resumed> {
        let outbox = self.kept.lock().get(&place.stream.number).cloned();
        outbox.filter(|_| self.has(place.stream))?.resume(session, place.event)
    }

    /// A stream has ended; the oldest of those that have are forgotten where there are too many.
    fn has_ended(&self, number: u64, bytes: usize) {
        let mut ended = self.ended.lock();
        ended.streams.push_back((number, bytes, Instant::now()));
        ended.bytes += bytes;
        self.forget_old(&mut ended);
    }

    /// Forgets what ended some time ago.
    pub(crate) fn sweep(&self) {
        self.forget_old(&mut self.ended.lock());
    }

    fn forget_old(&self, ended: &mut Ended) {
        let now = Instant::now();
        while let Some((number, bytes, end)) = ended.streams.front().copied() {
            let is_old = now.saturating_duration_since(end) >= KEPT_FOR;
            let are_many = ended.streams.len() > MOST_ENDED || ended.bytes > MOST_ENDED_BYTES;
            if !is_old && !are_many {
                return;
            }
            ended.streams.pop_front();
            ended.bytes -= bytes;
            self.kept.lock().remove(&number);
        }
    }
}

/// An event that says nothing but its id, and when to come back (2025-11-25, basic/transports, sending
/// messages to the server).
fn priming(place: Place) -> Bytes {
    sse::encode_id(&place.to_string(), Some(RETRY))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream: StreamId { replica, number }, event } = self;
        write!(f, "answer-{replica:x}-{number}-{event}")
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let mut parts = text.strip_prefix("answer-").ok_or(NoPlace)?.split('-');
        let (Some(replica), Some(number), Some(event), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoPlace);
        };
        let replica = u64::from_str_radix(replica, 16).map_err(|_| NoPlace)?;
        let number = number.parse().map_err(|_| NoPlace)?;
        let event = event.parse().map_err(|_| NoPlace)?;
        Ok(Self { stream: StreamId { replica, number }, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId::of(0xa);
    const B: SessionId = SessionId::of(0xb);

    fn data(events: &[Bytes]) -> Vec<String> {
        events.iter().filter_map(|event| sse::Event::parse(event).data).collect()
    }

    fn place(event: &Bytes) -> Place {
        sse::Event::parse(event).id.expect("an id").parse().expect("a place")
    }

    #[tokio::test]
    async fn a_stream_goes_on_where_it_was_cut() {
        let outboxes = Outboxes::new(7);
        let (outbox, mut reader) = outboxes.open(A, true);
        outbox.say("1");
        outbox.say("2");
        let first = reader.recv().await.expect("the priming event");
        assert_eq!(data(std::slice::from_ref(&first)), [""]);
        let second = reader.recv().await.expect("1");
        drop(reader);
        outbox.say("3");
        let mut resumed = outboxes.resume(A, place(&second)).expect("kept");
        assert_eq!(data(&resumed.missed), ["2", "3"]);
        outbox.say("4");
        outbox.end(Some("5")).await;
        assert_eq!(data(&[resumed.queue.recv().await.expect("4")]), ["4"]);
        assert_eq!(data(&[resumed.queue.recv().await.expect("5")]), ["5"]);
        assert_eq!(resumed.queue.recv().await, None);
        let mut whole = outboxes.resume(A, place(&first)).expect("kept after its end");
        assert_eq!(data(&whole.missed), ["1", "2", "3", "4", "5"]);
        assert_eq!(whole.queue.recv().await, None);
    }

    #[tokio::test]
    async fn nobody_else_resumes_it() {
        let outboxes = Outboxes::new(7);
        let (_outbox, mut reader) = outboxes.open(A, true);
        let first = place(&reader.recv().await.expect("the priming event"));
        assert!(outboxes.resume(B, first).is_none(), "another session");
        assert!(Outboxes::new(8).resume(A, first).is_none(), "another replica");
        assert!(outboxes.resume(A, Place { event: 9, ..first }).is_none(), "what was never said");
        assert!(outboxes.resume(A, first).is_some());
    }

    #[tokio::test]
    async fn a_client_that_is_behind_is_cut_and_misses_nothing() {
        let outboxes = Outboxes::new(7);
        let (outbox, mut reader) = outboxes.open(A, false);
        for _ in 0..=QUEUE {
            outbox.say("x");
        }
        let mut last = None;
        while let Some(event) = reader.recv().await {
            last = Some(place(&event));
        }
        let resumed = outboxes.resume(A, last.expect("events")).expect("kept");
        assert_eq!(data(&resumed.missed), ["x"]);
    }

    #[tokio::test]
    async fn one_that_says_too_much_is_not_kept() {
        let outboxes = Outboxes::new(7);
        let (outbox, mut reader) = outboxes.open(A, true);
        let first = place(&reader.recv().await.expect("the priming event"));
        outbox.say(&"x".repeat(MOST_BYTES));
        assert!(outboxes.resume(A, first).is_none());
    }

    #[tokio::test]
    async fn of_those_that_ended_the_oldest_are_forgotten_where_there_are_too_many() {
        let outboxes = Outboxes::new(7);
        for _ in 0..MOST_ENDED + 5 {
            let (outbox, _reader) = outboxes.open(A, false);
            outbox.end(Some("x")).await;
        }
        assert_eq!(outboxes.kept.lock().len(), MOST_ENDED);
        for _ in 0..MOST_ENDED_BYTES / MOST_BYTES + 5 {
            let (outbox, _reader) = outboxes.open(A, false);
            outbox.end(Some(&"x".repeat(MOST_BYTES - 1000))).await;
        }
        assert!(outboxes.ended.lock().bytes <= MOST_ENDED_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_forgotten_by_and_by() {
        let outboxes = Outboxes::new(7);
        let (ended, _reader) = outboxes.open(A, false);
        let (_going_on, _another) = outboxes.open(A, false);
        ended.end(None).await;
        tokio::time::advance(KEPT_FOR / 2).await;
        outboxes.sweep();
        assert_eq!(outboxes.kept.lock().len(), 2);
        tokio::time::advance(KEPT_FOR / 2).await;
        outboxes.sweep();
        assert_eq!(outboxes.kept.lock().len(), 1);
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_one() {
        let place = Place { stream: StreamId { replica: u64::MAX, number: 3 }, event: 7 };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in ["", "answer-", "answer-1-2", "answer-x-1-1", "answer-1-2-3-4", "1-2-3"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }
}
