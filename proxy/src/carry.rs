//! The one place where a verdict becomes what sockets and streams do.
//!
//! Everything that waits here selects on the end of the fault it waits for, so that removing a fault
//! frees at once what it held.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use squall_model::fault::FaultId;
use squall_model::mcp::header;
use squall_model::verdict::{ConnectionVerdict, Shaping, Stall};
use tokio::time::Instant;

use crate::board::{Decision, Fired};
use crate::classify::Exchange;
use crate::delay::Delay;
use crate::headers::Headers;
use crate::link::Link;
use crate::proxying::Proxying;
use crate::record::Hit;
use crate::stream::Body;

mod exchange;
mod message;
mod reply;

pub(crate) use exchange::execute;
pub(crate) use reply::session_not_found;

/// What becomes of a connection after a verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Onwards {
    /// It goes on.
    Serve,
    /// It ends.
    End,
}

/// Carries out what was decided about a connection. While this waits, faults behind it have to.
pub(crate) async fn connection(
    decision: Decision<ConnectionVerdict>,
    link: &Link,
    delay: &Delay,
) -> Onwards {
    let Decision { fault, verdict } = decision;
    match verdict {
        ConnectionVerdict::Wait(time) => {
            link.stall(true);
            pause(delay.clone(), Instant::now(), vec![(time, fault)]).await;
        }
        ConnectionVerdict::Stall(stall) => return stand_still(stall, fault, link, delay).await,
        ConnectionVerdict::Refuse => {
            link.reset();
            return Onwards::End;
        }
        ConnectionVerdict::Reset(time) if fault.waits_out(time, delay).await => {
            link.reset();
            return Onwards::End;
        }
        ConnectionVerdict::Reset(_) => {}
        ConnectionVerdict::HalfClose => {
            link.half_close();
            fault.ended().await;
            return Onwards::End;
        }
        ConnectionVerdict::Shape(flow, shaping) => link.shape(flow, shaping, fault),
    }
    Onwards::Serve
}

/// Lets nothing through. What has to end it is waited for; else it stands still by itself.
async fn stand_still(stall: Stall, fault: Fired, link: &Link, delay: &Delay) -> Onwards {
    let ends = fault.clone();
    link.shape(stall.flow, Shaping::Stall, fault);
    match stall.close_after {
        Some(time) if ends.waits_out(time, delay).await => return Onwards::End,
        None if stall.close_on_end => ends.ended().await,
        _ => {}
    }
    if stall.close_on_end { Onwards::End } else { Onwards::Serve }
}

impl Fired {
    /// Waits for so long. Says whether the fault is still live then.
    async fn waits_out(&self, time: Duration, delay: &Delay) -> bool {
        tokio::select! {
            () = delay.until(Instant::now() + time) => true,
            () = self.ended() => false,
        }
    }
}

/// Waits for as long as the faults say, counted from `start`. A fault that ends takes its share of
/// the time away.
pub(crate) async fn pause(delay: Delay, start: Instant, mut waits: Vec<Share>) {
    loop {
        waits.retain(|(_, fault)| !fault.has_ended());
        if waits.is_empty() {
            return;
        }
        let time: Duration = waits.iter().map(|(time, _)| *time).sum();
        let mut ended: FuturesUnordered<_> = waits.iter().map(|(_, fault)| fault.ended()).collect();
        tokio::select! {
            () = delay.until(start + time) => return,
            _ = ended.next() => {}
        }
    }
}

/// What one fault contributes to a wait.
pub(crate) type Share = (Duration, Fired);

/// What becomes of an exchange after its verdicts.
#[derive(Debug)]
pub(crate) enum Course<T> {
    /// It goes on, so.
    Forward(T),
    /// The client gets this answer.
    Answer(Box<Response<Body>>),
    /// The connection ends without an answer.
    Abort,
}

/// An exchange whose verdicts are carried out, and what that needs.
#[derive(Debug)]
pub(crate) struct Carrying<'a> {
    pub(crate) proxying: &'a Proxying,
    pub(crate) exchange: &'a Exchange,
    pub(crate) link: &'a Link,
    /// The faults that acted on it, for the answer to name them.
    pub(crate) touched: &'a mut Vec<FaultId>,
}

impl Carrying<'_> {
    /// The fault acts on the exchange.
    fn record(&mut self, fault: &Fired) {
        self.record_hit(fault, &self.exchange.hit());
    }

    /// The fault acts on a message of the exchange.
    fn record_hit(&mut self, fault: &Fired, hit: &Hit<'_>) {
        self.proxying.recorder.injection(&fault.fault, hit);
        if !self.touched.contains(&fault.fault.id) {
            self.touched.push(fault.fault.id.clone());
        }
    }

    async fn pause(&self, time: Duration, fault: Fired) {
        pause(self.proxying.delay.clone(), Instant::now(), vec![(time, fault)]).await;
    }
}

/// Whether the `Content-Type` is of this media type.
pub(crate) fn has_type(headers: &Headers, media_type: &str) -> bool {
    headers.get(&CONTENT_TYPE).is_some_and(|value| is_type(value, media_type))
}

/// Whether the value of a `Content-Type` is of this media type, with whatever parameters.
pub(crate) fn is_type(value: &[u8], media_type: &str) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

/// Names the faults that made or touched an answer.
pub(crate) fn sign(headers: &mut Headers, faults: &[FaultId]) {
    for fault in faults {
        if let Ok(value) = HeaderValue::from_str(fault.as_str()) {
            headers.edit().append(header::FAULT, value);
        }
    }
}
