//! What becomes of a message that is a whole JSON body: the request's, or the answer's.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use squall_model::mcp::header;
use squall_model::mcp::sse;
use squall_model::scope::{Direction, MessageSubject};
use squall_model::verdict::MessageVerdict;

use super::{Carrying, Course, has_type};
use crate::board::{Decision, Fired};
use crate::headers::Headers;
use crate::record::Hit;
use crate::stream::Body;
use crate::upstream::Outgoing;

/// An answer larger than this passes without a look, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

impl Carrying<'_> {
    /// Alters what the client says, where faults decide so.
    pub(crate) fn request(&mut self, request: &mut Outgoing<'_>) {
        let proxying = self.proxying;
        if !proxying.board.snapshot().acts_on_messages() || self.exchange.messages.is_empty() {
            return;
        }
        let Some(before) = request.body.whole().cloned() else { return };
        let subject = self.exchange.subject(Direction::Request);
        let mut said = before.clone();
        for Decision { fault, verdict } in
            proxying.board.decide_message(&subject, self.exchange.key)
        {
            let altered = match &verdict {
                MessageVerdict::Alter(alteration) => fault.alter(alteration, &said),
                _ => None,
            };
            if let Some(altered) = altered {
                self.record(&fault);
                said = altered.into();
            }
        }
        if said != before {
            request.say(said);
        }
    }

    /// Carries out what is decided about the messages of an answer, if it is JSON. What is not, or is
    /// too large to be read, goes on as it comes.
    pub(crate) async fn json_answer(&mut self, headers: &mut Headers, body: Body) -> Course<Body> {
        let is_json =
            |headers: &Headers| has_type(headers, header::JSON) && !headers.has(&CONTENT_ENCODING);
        if !self.proxying.board.snapshot().acts_on_messages() || !is_json(headers) {
            return Course::Forward(body);
        }
        Box::pin(self.whole_answer(headers, body)).await
    }

    async fn whole_answer(&mut self, headers: &mut Headers, body: Body) -> Course<Body> {
        let body = match body.read(ANSWER_LIMIT).await {
            Ok(whole) => whole,
            Err(body) => return Course::Forward(body),
        };
        let messages = self.exchange.messages_of(&body);
        match self.answer(body, &messages).await {
            Course::Forward(said) => Course::Forward(said.into_body(headers)),
            Course::Answer(response) => Course::Answer(response),
            Course::Abort => Course::Abort,
        }
    }

    async fn answer(&mut self, said: Bytes, messages: &[MessageSubject<'_>]) -> Course<Said> {
        let subject = self.exchange.subject_with(Direction::Response, messages);
        let decisions = self.proxying.board.decide_message(&subject, self.exchange.key);
        let method = messages.first().and_then(|message| message.method.as_deref());
        let mut said = Said { message: said, before: Vec::new(), copies: 1, is_changed: false };
        for Decision { fault, verdict } in decisions {
            if !said.takes(&verdict, &fault, &self.exchange.headers) {
                continue;
            }
            let exchange = self.exchange;
            self.record_hit(&fault, &Hit { method, ..exchange.hit() });
            match verdict {
                MessageVerdict::Delay(time) => self.pause(time, fault).await,
                MessageVerdict::Drop => {
                    fault.ended().await;
                    return Course::Abort;
                }
                MessageVerdict::Reset => {
                    self.link.break_off();
                    return Course::Abort;
                }
                _ => {}
            }
        }
        Course::Forward(said)
    }
}

/// What an answer says in the end.
#[derive(Debug)]
pub(crate) struct Said {
    message: Bytes,
    before: Vec<String>,
    copies: usize,
    is_changed: bool,
}

impl Said {
    /// Takes in what the verdict changes. Says whether there is anything to carry out.
    fn takes(&mut self, verdict: &MessageVerdict, fault: &Fired, headers: &Headers) -> bool {
        match verdict {
            MessageVerdict::Delay(_) | MessageVerdict::Drop | MessageVerdict::Reset => return true,
            MessageVerdict::Alter(alteration) => {
                let Some(altered) = fault.alter(alteration, &self.message) else { return false };
                self.message = altered.into();
            }
            // Several messages are an event stream, where the client takes one.
            MessageVerdict::Repeat if takes_streams(headers) => self.copies += 1,
            MessageVerdict::Precede(message) if takes_streams(headers) => {
                self.before.push(message.clone());
            }
            _ => {
                fault.take_back();
                return false;
            }
        }
        self.is_changed = true;
        true
    }

    /// The body that says so.
    fn into_body(self, headers: &mut Headers) -> Body {
        if self.before.is_empty() && self.copies == 1 {
            if self.is_changed && headers.has(&CONTENT_LENGTH) {
                headers.edit().insert(CONTENT_LENGTH, self.message.len().into());
            }
            return Body::Own(Some(self.message));
        }
        let headers = headers.edit();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(header::EVENT_STREAM));
        let message = String::from_utf8_lossy(&self.message);
        let copies = std::iter::repeat_n(&*message, self.copies);
        let events = self.before.iter().map(String::as_str).chain(copies);
        let stream: Vec<u8> = events.flat_map(|event| sse::encode(None, event)).collect();
        Body::Own(Some(stream.into()))
    }
}

fn takes_streams(headers: &Headers) -> bool {
    let mut values = headers.map().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.contains(header::EVENT_STREAM) || value.contains("*/*"))
}
