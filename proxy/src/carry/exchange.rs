//! What becomes of an exchange: it waits, ends, or goes on changed.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use squall_model::mcp::envelope::{Envelope, Kind};
use squall_model::mcp::header;
use squall_model::mcp::sse::{Event, Piece, Splitter};
use squall_model::verdict::{Cut, Ending, ExchangeVerdict, HeaderEdit, Resume};

use super::reply::{reply, session_not_found};
use super::{Carrying, Course, has_type};
use crate::board::{Decision, Fired};
use crate::halves::Answer;
use crate::headers::Headers;
use crate::link::Link;
use crate::stream::{Body, Incoming};
use crate::upstream::Outgoing;

/// An event larger than this is not searched for an answer.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// What is different about an exchange that goes on.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Headers that are set, or removed.
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Another upstream for the request.
    pub(crate) upstream: Option<usize>,
    /// Whether the request is delivered twice.
    pub(crate) repeat: bool,
    cut: Option<(Cut, Fired)>,
    hold_back: Option<Fired>,
}

/// One of them.
enum Change {
    Headers(Vec<(HeaderName, Option<HeaderValue>)>),
    Upstream(usize),
    Repeat,
    Cut(Cut),
    HoldBack,
}

impl Changes {
    fn add(&mut self, change: Change, fault: Fired) {
        match change {
            Change::Headers(edits) => self.headers.extend(edits),
            Change::Upstream(number) => self.upstream = Some(number),
            Change::Repeat => self.repeat = true,
            Change::Cut(cut) => self.cut = Some((cut, fault)),
            Change::HoldBack => self.hold_back = Some(fault),
        }
    }

    /// Makes the changes to a request.
    pub(crate) fn request(&self, request: &mut Outgoing<'_>) {
        if !self.headers.is_empty() {
            self.edit(request.headers_mut());
        }
    }

    fn edit(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
    }

    /// Makes the changes to an answer.
    pub(crate) async fn answer(self, headers: &mut Headers, body: Body, link: &Arc<Link>) -> Body {
        if !self.headers.is_empty() {
            self.edit(headers.edit());
        }
        let body = match self.cut {
            Some((cut, fault)) => {
                if cut.ending == Ending::Clean {
                    headers.edit().remove(CONTENT_LENGTH);
                }
                body.cut(cut, fault, link)
            }
            None => body,
        };
        match self.hold_back {
            Some(fault) => Box::pin(body.hold_back(&fault)).await,
            None => body,
        }
    }
}

impl Carrying<'_> {
    /// Carries out what was decided about the exchange, in either direction, but for what has to
    /// happen to the server's answer first: see [`execute`].
    pub(crate) async fn exchange(
        &mut self,
        decisions: Vec<Decision<ExchangeVerdict>>,
    ) -> Course<Changes> {
        if decisions.is_empty() {
            return Course::Forward(Changes::default());
        }
        Box::pin(self.carry_out(decisions)).await
    }

    async fn carry_out(&mut self, decisions: Vec<Decision<ExchangeVerdict>>) -> Course<Changes> {
        let mut changes = Changes::default();
        for Decision { fault, verdict } in decisions {
            if verdict.is_final() {
                self.record(&fault);
                return self.end(verdict, fault).await;
            }
            if let ExchangeVerdict::Wait(time) = verdict {
                self.record(&fault);
                self.pause(time, fault).await;
            } else if let Some(change) = self.change(verdict) {
                self.record(&fault);
                changes.add(change, fault);
            } else {
                fault.take_back();
            }
        }
        Course::Forward(changes)
    }

    async fn end(&self, verdict: ExchangeVerdict, fault: Fired) -> Course<Changes> {
        match verdict {
            ExchangeVerdict::Reply(answer) => {
                return Course::Answer(Box::new(reply(&answer, self.exchange)));
            }
            ExchangeVerdict::ExpireSession(status) => {
                if let Some(session) = &self.exchange.session {
                    let entry = self.proxying.ledger.expire(session, fault.fault.id.clone());
                    self.proxying.ledger.lose(&entry);
                    self.link.lose(entry);
                }
                return Course::Answer(Box::new(session_not_found(self.exchange, status)));
            }
            ExchangeVerdict::Timeout(time) => self.pause(time, fault).await,
            ExchangeVerdict::Drop => fault.ended().await,
            _ => self.link.break_off(),
        }
        Course::Abort
    }

    /// The change that the verdict asks for, if it can be made.
    fn change(&self, verdict: ExchangeVerdict) -> Option<Change> {
        match verdict {
            ExchangeVerdict::EditHeaders(edits) => {
                let edits = edits.into_iter().map(|edit| self.edit(edit)).collect::<Option<_>>()?;
                Some(Change::Headers(edits))
            }
            ExchangeVerdict::Reroute(to) => {
                let other = self.proxying.upstreams.other(self.exchange.upstream, &to)?;
                Some(Change::Upstream(other))
            }
            ExchangeVerdict::Resume(Resume::Forget) => {
                Some(Change::Headers(vec![(header::LAST_EVENT_ID, None)]))
            }
            ExchangeVerdict::Resume(Resume::Mixup) => {
                let meant = self.exchange.headers.text(&header::LAST_EVENT_ID)?;
                let session = self.exchange.session.as_deref();
                let other = self.proxying.event_ids.of_another_stream(meant, session)?;
                let value = HeaderValue::from_str(&other).ok()?;
                Some(Change::Headers(vec![(header::LAST_EVENT_ID, Some(value))]))
            }
            ExchangeVerdict::Repeat => self.exchange.is_whole.then_some(Change::Repeat),
            ExchangeVerdict::Cut(cut) => Some(Change::Cut(cut)),
            ExchangeVerdict::HoldBack => Some(Change::HoldBack),
            _ => None,
        }
    }

    fn edit(&self, edit: HeaderEdit) -> Option<(HeaderName, Option<HeaderValue>)> {
        match edit {
            HeaderEdit::Remove(name) => Some((name, None)),
            HeaderEdit::Set(name, value) => Some((name, Some(value))),
            HeaderEdit::SwapSession => {
                let own = self.exchange.session.as_deref().unwrap_or_default();
                let other = self.proxying.ledger.another_than(own)?;
                Some((header::SESSION_ID, HeaderValue::from_str(&other).ok()))
            }
        }
    }
}

/// Reads and discards the server's answer until the request has been executed: to the end of the
/// body, or, in an event stream, to the answer.
pub(crate) async fn execute(answer: Answer<Incoming>) {
    let is_stream = has_type(&answer.headers, header::EVENT_STREAM);
    let mut splitter = Splitter::new(ANSWER_LIMIT);
    let mut body = answer.body;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        if !is_stream {
            continue;
        }
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece() {
            if is_answer(&piece) {
                return;
            }
        }
    }
}

fn is_answer(piece: &Piece) -> bool {
    let Piece::Event(bytes) = piece else {
        return false;
    };
    let Some(data) = Event::parse(bytes).data else {
        return false;
    };
    let Ok(envelope) = Envelope::peek(data.as_bytes()) else {
        return false;
    };
    envelope.messages().iter().any(|message| matches!(message.kind, Kind::Response | Kind::Error))
}
