//! An event stream on its way to the client: each event is matched, and delayed, dropped or replaced
//! by a reset. While no fault acts on messages, chunks pass as they come.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use squall_model::chance::DrawKey;
use squall_model::mcp::envelope::{Envelope, Kind};
use squall_model::mcp::sse::{Event, Piece, Splitter};
use squall_model::scope::{Direction, MessageSubject};
use squall_model::verdict::MessageVerdict;
use tokio::time::Instant;

use super::{BodyError, poll_incoming};
use crate::board::{Board, Decision};
use crate::carry::{self, Share};
use crate::classify::Exchange;
use crate::delay::Delay;
use crate::link::Link;
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
    pub(crate) delay: Delay,
    pub(crate) link: Arc<Link>,
}

/// One event stream.
pub(crate) struct EventStream {
    context: EventStreamContext,
    exchange: Exchange,
    upstream: Option<Incoming>,
    splitter: Splitter,
    /// How many bytes of the splitter's unfinished event the client has already.
    passed: usize,
    events: u64,
    line: VecDeque<Stamped>,
    line_bytes: usize,
    /// The wait for the head of the line.
    pause: Option<Pause>,
    trailers: Option<HeaderMap>,
    failure: Option<BodyError>,
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
    pub(crate) fn new(upstream: Incoming, exchange: Exchange, context: EventStreamContext) -> Self {
        Self {
            may_shrink: context.board.snapshot().acts_on_messages(),
            context,
            exchange,
            upstream: Some(upstream),
            splitter: Splitter::new(EVENT_LIMIT),
            passed: 0,
            events: 0,
            line: VecDeque::new(),
            line_bytes: 0,
            pause: None,
            trailers: None,
            failure: None,
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
            if let Poll::Ready(Some(bytes)) = self.poll_line(context) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.line.is_empty() && self.upstream.is_none() {
                return Poll::Ready(self.end());
            }
            if self.upstream.is_none() || self.line_bytes >= LINE_LIMIT {
                return Poll::Pending; // the head of the line wakes us
            }
            ready!(self.poll_upstream(context));
        }
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        if let Some(failure) = self.failure.take() {
            failure.pass_on(&self.context.link);
            return Some(Err(failure));
        }
        self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
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
        self.failure = failure.or(self.failure.take());
        if let Some(mut rest) = self.splitter.rest() {
            rest.advance(self.passed.min(rest.len()));
            self.push(rest, None);
        }
    }

    fn take(&mut self, chunk: &Bytes) {
        let is_held = self.splitter.unfinished().len() > self.passed;
        self.splitter.push(chunk);
        if !is_held && self.line.is_empty() && !self.context.board.snapshot().acts_on_messages() {
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
            if self.failure.is_some() {
                return;
            }
        }
    }

    fn decide(&mut self, bytes: Bytes) {
        let event = Event::parse(&bytes);
        let messages = self.messages(event.data.as_deref().unwrap_or_default());
        let subject = self.exchange.subject_with(Direction::Response, &messages);
        let key = match self.exchange.operation {
            Some(operation) => DrawKey::Message(operation, self.events),
            None => self.context.board.arrival(),
        };
        let decisions = self.context.board.decide_message(&subject, key);
        let method = messages.first().and_then(|message| message.method.as_deref());
        for decision in &decisions {
            let hit = Hit { method, ..self.exchange.hit() };
            self.context.recorder.injection(&decision.fault.fault, &hit);
        }
        self.carry_out(bytes, decisions);
    }

    fn carry_out(&mut self, bytes: Bytes, decisions: Vec<Decision<MessageVerdict>>) {
        let mut waits = Vec::new();
        for Decision { fault, verdict } in decisions {
            match verdict {
                MessageVerdict::Delay(time) => waits.push((time, fault)),
                MessageVerdict::Drop => return,
                MessageVerdict::Reset => {
                    self.context.link.reset();
                    self.upstream = None;
                    self.failure = Some(BodyError::Reset);
                    return;
                }
            }
        }
        let release = (!waits.is_empty()).then(|| (Instant::now(), waits));
        self.push(bytes, release);
    }

    fn push(&mut self, bytes: Bytes, release: Option<(Instant, Vec<Share>)>) {
        if bytes.is_empty() {
            return;
        }
        self.line_bytes += Stamped::cost(&bytes);
        self.line.push_back(Stamped { bytes, release });
    }

    /// What the data of an event says. The answer to the exchange's request has its method and name.
    fn messages(&self, data: &str) -> Vec<MessageSubject<'static>> {
        let Ok(envelope) = Envelope::peek(data.as_bytes()) else {
            return Vec::new();
        };
        let own = |text: Option<&Cow<'_, str>>| text.map(|text| Cow::Owned(text.to_string()));
        let asked = self.exchange.messages.first();
        let subject = |message: &squall_model::mcp::envelope::Message<'_>| match message.kind {
            Kind::Request | Kind::Notification => MessageSubject {
                kind: message.kind,
                method: own(message.method.as_ref()),
                name: own(message.name.as_ref()),
            },
            Kind::Response | Kind::Error => MessageSubject {
                kind: message.kind,
                method: own(asked.and_then(|asked| asked.method.as_ref())),
                name: own(asked.and_then(|asked| asked.name.as_ref())),
            },
        };
        envelope.messages().iter().map(subject).collect()
    }
}
