//! An event stream on its way to the client: each event is matched, and what is decided about it is
//! carried out. While no fault acts on messages, chunks pass as they come.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Method};
use http_body::{Body as _, Frame, SizeHint};
use squall_model::chance::DrawKey;
use squall_model::mcp::header;
use squall_model::mcp::sse::{self, Event, Piece, Splitter};
use squall_model::scope::{Direction, EventSubject, Subject};
use squall_model::verdict::{Alteration, Ending, EventId, MessageVerdict, Split, SplitAt};
use tokio::time::Instant;

use super::{BodyError, Incoming, poll_incoming};
use crate::board::{Board, Decision, Fired};
use crate::carry::{self, Share};
use crate::classify::Exchange;
use crate::delay::Delay;
use crate::event_ids::EventIds;
use crate::ledger::{Ledger, OpenStream};
use crate::link::UnderWay;
use crate::record::{Hit, Recorder};

/// An event larger than this is passed on without a look.
const EVENT_LIMIT: usize = 1024 * 1024;
/// What the delay line of one stream may hold, in bytes; beyond, the upstream has to wait.
const LINE_LIMIT: usize = 16 * 1024 * 1024;

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an event stream needs from the proxy around it.
#[derive(Clone, Debug)]
pub(crate) struct EventStreamContext {
    pub(crate) board: Arc<Board>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) event_ids: Arc<EventIds>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) delay: Delay,
    pub(crate) link: UnderWay,
}

impl EventStreamContext {
    fn open_stream(&self, exchange: &Exchange) -> Option<OpenStream> {
        let session = exchange.session.as_deref().filter(|_| exchange.method == Method::GET)?;
        let is_resumed = exchange.headers.has(&header::LAST_EVENT_ID);
        Some(OpenStream::new(self.ledger.get(session)?, is_resumed))
    }
}

/// One event stream.
pub(crate) struct EventStream {
    context: EventStreamContext,
    exchange: Arc<Exchange>,
    /// The session's, if it is a GET.
    open: Option<OpenStream>,
    upstream: Option<Incoming>,
    splitter: Splitter,
    /// How many bytes of the splitter's unfinished event the client has already.
    passed: usize,
    events: u64,
    /// Tells it from all other streams.
    serial: u64,
    /// The ids of its first and its latest event, as far as faults have looked at them.
    ids: Option<(String, String)>,
    /// Events that those behind them overtake.
    overtaken: Vec<Overtaken>,
    line: VecDeque<Stamped>,
    line_bytes: usize,
    /// The wait for the head of the line.
    pause: Option<Pause>,
    trailers: Option<HeaderMap>,
    failure: Option<BodyError>,
    /// Whether what came before a failure had its turn to be written.
    is_flushed: bool,
    /// Whether it may lose events, so that a length that was declared may turn out wrong.
    may_shrink: bool,
}

/// A piece of the stream, stamped with when it may go on.
#[derive(Debug)]
struct Stamped {
    bytes: Bytes,
    /// When it came, and what holds it.
    release: Option<(Instant, Vec<Share>)>,
}

/// An event that some of those behind it overtake.
struct Overtaken {
    bytes: Bytes,
    by: u32,
    /// Resolves when the fault that holds it ends.
    ended: Pause,
}

/// An event on its way, as the faults leave it.
struct Outgoing {
    bytes: Bytes,
    came: Instant,
    waits: Vec<Share>,
    before: Vec<Bytes>,
    copies: usize,
    split: Option<(Split, Fired)>,
    overtaken: Option<(u32, Fired)>,
    cut: Option<Ending>,
}

/// The number of the next stream.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl Stamped {
    /// What it costs to hold it: events may be as short as one byte.
    fn cost(bytes: &Bytes) -> usize {
        bytes.len() + size_of::<Self>() + size_of::<Share>()
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("events", &self.events).finish_non_exhaustive()
    }
}

impl EventStream {
    pub(crate) fn new(
        upstream: Incoming,
        exchange: Arc<Exchange>,
        context: EventStreamContext,
    ) -> Self {
        context.recorder.observer.open_streams.fetch_add(1, Ordering::Relaxed);
        Self {
            may_shrink: context.board.snapshot().acts_on_messages(),
            open: context.open_stream(&exchange),
            context,
            exchange,
            upstream: Some(upstream),
            splitter: Splitter::new(EVENT_LIMIT),
            passed: 0,
            events: 0,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            ids: None,
            overtaken: Vec::new(),
            line: VecDeque::new(),
            line_bytes: 0,
            pause: None,
            trailers: None,
            failure: None,
            is_flushed: false,
        }
    }

    /// Whether it may become shorter than its sender said.
    pub(crate) fn may_shrink(&self) -> bool {
        self.may_shrink
    }

    /// A stream of a declared length keeps it, unless faults may take events away.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.upstream {
            _ if self.may_shrink => SizeHint::default(),
            Some(upstream) if self.line.is_empty() && self.events == 0 => upstream.size_hint(),
            _ => SizeHint::default(),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            self.poll_overtaken(context);
            if let Poll::Ready(Some(bytes)) = self.poll_line(context) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.line.is_empty() && self.upstream.is_none() {
                return self.poll_end(context);
            }
            if self.upstream.is_none() || self.line_bytes >= LINE_LIMIT {
                return Poll::Pending; // the head of the line wakes us
            }
            ready!(self.poll_upstream(context));
        }
    }

    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.failure.is_some() && !std::mem::replace(&mut self.is_flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(failure) = self.failure.take() {
            failure.pass_on(&self.context.link);
            return Poll::Ready(Some(Err(failure)));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// Frees events that wait to be overtaken when their fault has ended.
    fn poll_overtaken(&mut self, context: &mut Context<'_>) {
        let held = std::mem::take(&mut self.overtaken);
        for mut event in held {
            if event.ended.as_mut().poll(context).is_ready() {
                self.line_bytes -= Stamped::cost(&event.bytes);
                self.push(event.bytes, None);
            } else {
                self.overtaken.push(event);
            }
        }
    }

    /// The head of the line, once it may go on.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(head) = self.line.front_mut() else {
            return Poll::Ready(None);
        };
        if let Some((came, waits)) = head.release.take() {
            let pause = carry::pause(self.context.delay.clone(), came, waits);
            self.pause = Some(Box::pin(pause));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let Some(Stamped { bytes: head, .. }) = self.line.pop_front() else {
            return Poll::Ready(None);
        };
        self.line_bytes -= Stamped::cost(&head);
        Poll::Ready(Some(head))
    }

    fn poll_upstream(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(upstream) = &mut self.upstream else {
            return Poll::Ready(());
        };
        match ready!(poll_incoming(upstream, context)) {
            None => self.finish(None),
            Some(Err(error)) => self.finish(Some(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => self.take(&chunk),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
        }
        Poll::Ready(())
    }

    fn finish(&mut self, failure: Option<BodyError>) {
        self.upstream = None;
        if let Some(open) = &mut self.open {
            open.is_cut = true;
        }
        self.failure = failure.or(self.failure.take());
        if let Some(mut rest) = self.splitter.rest() {
            rest.advance(self.passed.min(rest.len()));
            self.push(rest, None);
        }
        for event in std::mem::take(&mut self.overtaken) {
            self.line_bytes -= Stamped::cost(&event.bytes);
            self.push(event.bytes, None);
        }
    }

    fn take(&mut self, chunk: &Bytes) {
        let is_held = self.splitter.unfinished().len() > self.passed;
        self.splitter.push(chunk);
        let board = self.context.board.snapshot();
        let is_idle = !board.acts_on_messages() && !board.wants_event_ids();
        drop(board);
        if !is_held && self.line.is_empty() && self.overtaken.is_empty() && is_idle {
            self.pass(chunk);
        } else {
            self.examine();
        }
    }

    /// Passes a chunk as it came, and keeps track of where events end.
    fn pass(&mut self, chunk: &Bytes) {
        let mut unfinished = self.passed + chunk.len();
        while let Some(piece) = self.splitter.next_piece() {
            self.events += u64::from(matches!(piece, Piece::Event(_)));
            unfinished = unfinished.saturating_sub(piece.into_bytes().len());
        }
        self.passed = unfinished;
        self.push(chunk.clone(), None);
    }

    fn examine(&mut self) {
        while let Some(piece) = self.splitter.next_piece() {
            let begun = std::mem::take(&mut self.passed);
            match piece {
                Piece::Event(bytes) if begun == 0 => {
                    self.events += 1;
                    self.decide(bytes);
                }
                // The client has its beginning, or it is too large to look at.
                piece => {
                    self.events += u64::from(matches!(piece, Piece::Event(_)));
                    let bytes = piece.into_bytes();
                    let bytes = bytes.slice(begun.min(bytes.len())..);
                    self.push(bytes, None);
                }
            }
            if self.upstream.is_none() {
                return; // a fault has cut it
            }
        }
    }

    fn decide(&mut self, bytes: Bytes) {
        let event = Event::parse(&bytes);
        if let Some(id) = &event.id
            && self.context.board.snapshot().wants_event_ids()
        {
            let session = self.exchange.session.as_ref();
            self.context.event_ids.saw(self.serial, session, id);
        }
        let data = event.data.as_deref().unwrap_or_default();
        let messages = self.exchange.messages_of(data.as_bytes());
        let subject = Subject {
            event: Some(EventSubject { number: self.events, is_heartbeat: data.is_empty() }),
            ..self.exchange.subject_with(Direction::Response, &messages)
        };
        let key = match self.exchange.operation {
            Some(operation) => DrawKey::Message(operation, self.events),
            None => self.context.board.arrival(),
        };
        let decisions = self.context.board.decide_message(&subject, key);
        let method = messages.first().and_then(|message| message.method.as_deref());
        self.carry_out(bytes, &event, decisions, method);
        if let Some(id) = event.id {
            let first = self.ids.take().map(|(first, _)| first);
            self.ids = Some((first.unwrap_or_else(|| id.clone()), id));
        }
    }

    fn carry_out(
        &mut self,
        bytes: Bytes,
        event: &Event,
        decisions: Vec<Decision<MessageVerdict>>,
        method: Option<&str>,
    ) {
        let mut outgoing = Outgoing::new(bytes);
        for Decision { fault, verdict } in decisions {
            if let MessageVerdict::Alter(alteration) = &verdict {
                let Some(altered) = self.altered(&outgoing.bytes, event, alteration, &fault) else {
                    continue;
                };
                outgoing.bytes = altered;
            }
            let hit = Hit { method, ..self.exchange.hit() };
            self.context.recorder.injection(&fault.fault, &hit);
            match verdict {
                MessageVerdict::Delay(time) => outgoing.waits.push((time, fault)),
                MessageVerdict::Drop => return,
                MessageVerdict::Reset => return self.cut(Ending::Reset),
                MessageVerdict::CutBefore(ending) => return self.cut(ending),
                MessageVerdict::CutAfter(ending) => outgoing.cut = Some(ending),
                MessageVerdict::Repeat => outgoing.copies += 1,
                MessageVerdict::Overtake(by) => outgoing.overtaken = Some((by, fault)),
                MessageVerdict::Split(split) => outgoing.split = Some((split, fault)),
                MessageVerdict::Precede(message) => {
                    outgoing.before.push(sse::encode(None, &message));
                }
                MessageVerdict::Alter(_) => {}
            }
        }
        self.send(outgoing);
    }

    /// The event as the alteration leaves it. Where it has nothing to alter, the hit is taken back.
    fn altered(
        &self,
        bytes: &Bytes,
        event: &Event,
        alteration: &Alteration,
        fault: &Fired,
    ) -> Option<Bytes> {
        let altered = match alteration {
            Alteration::Retry(time) => {
                Some(sse::with_field(bytes, "retry", Some(&time.as_millis().to_string())))
            }
            Alteration::EventId(how) => self.with_wrong_id(bytes, event, *how),
            _ => {
                // A fault before this one may have changed it; of a heartbeat there is nothing.
                let data = Event::parse(bytes).data.unwrap_or_default();
                let altered = fault.alter(alteration, data.as_bytes())?;
                return sse::with_data(bytes, &altered);
            }
        };
        if altered.is_none() {
            fault.take_back();
        }
        altered
    }

    fn with_wrong_id(&self, bytes: &Bytes, event: &Event, how: EventId) -> Option<Bytes> {
        event.id.as_ref()?;
        let ids = self.ids.as_ref();
        let id = match how {
            EventId::Strip => None,
            EventId::Repeat => Some(ids?.1.as_str()),
            EventId::Backwards => Some(ids?.0.as_str()),
        };
        Some(sse::with_field(bytes, "id", id))
    }

    fn send(&mut self, outgoing: Outgoing) {
        let Outgoing { bytes, came, mut waits, before, copies, split, overtaken, cut } = outgoing;
        if let Some((by, fault)) = overtaken {
            self.line_bytes += Stamped::cost(&bytes);
            let ended = Box::pin(async move { fault.ended().await });
            self.overtaken.push(Overtaken { bytes, by, ended });
            return;
        }
        let total: Duration = waits.iter().map(|(time, _)| *time).sum();
        let mut release = move || {
            let waits = std::mem::take(&mut waits);
            (!waits.is_empty()).then_some((came, waits))
        };
        for message in before {
            self.push(message, release());
        }
        for _ in 1..copies {
            self.push(bytes.clone(), release());
        }
        match split {
            Some((split, fault)) => {
                let (head, tail) = split_at(&bytes, split.at);
                self.push(head, release());
                self.push(tail, Some((came + total, vec![(split.pause, fault)])));
            }
            None => self.push(bytes, release()),
        }
        self.let_overtake();
        if let Some(ending) = cut {
            self.cut(ending);
        }
    }

    /// One more event has gone ahead of those that wait to be overtaken.
    fn let_overtake(&mut self) {
        let held = std::mem::take(&mut self.overtaken);
        for mut event in held {
            event.by -= 1;
            if event.by == 0 {
                self.line_bytes -= Stamped::cost(&event.bytes);
                self.push(event.bytes, None);
            } else {
                self.overtaken.push(event);
            }
        }
    }

    /// The stream ends here, behind what waits.
    fn cut(&mut self, ending: Ending) {
        let _ = self.splitter.rest();
        self.finish(match ending {
            Ending::Clean => None,
            Ending::Close => Some(BodyError::Cut),
            Ending::Reset => Some(BodyError::Reset),
        });
    }

    fn push(&mut self, bytes: Bytes, release: Option<(Instant, Vec<Share>)>) {
        if bytes.is_empty() {
            return;
        }
        self.line_bytes += Stamped::cost(&bytes);
        self.line.push_back(Stamped { bytes, release });
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.context.recorder.observer.open_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Outgoing {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            came: Instant::now(),
            waits: Vec::new(),
            before: Vec::new(),
            copies: 1,
            split: None,
            overtaken: None,
            cut: None,
        }
    }
}

/// The two pieces of an event.
fn split_at(bytes: &Bytes, at: SplitAt) -> (Bytes, Bytes) {
    let within_character = || bytes.iter().position(|byte| is_continuation(*byte));
    let place = match at {
        SplitAt::Character => within_character(),
        SplitAt::Line => None,
    };
    let place = place.unwrap_or_else(|| middle_of_data(bytes));
    (bytes.slice(..place), bytes.slice(place..))
}

/// Whether it continues a character of several bytes (RFC 3629, section 3).
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn middle_of_data(bytes: &[u8]) -> usize {
    let start = bytes.windows(5).position(|window| window == b"data:").unwrap_or_default();
    let line = bytes[start..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    start + line.unwrap_or(bytes.len() - start).div_ceil(2)
}
