//! A body that was held back before it goes on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::{Body, BodyError};
use crate::board::Fired;

/// What is held of one body, in bytes; beyond, it goes on as it comes.
const LIMIT: usize = 16 * 1024 * 1024;

/// What was collected of another body, and what is left of it.
#[derive(Debug)]
pub(crate) struct Late {
    collected: VecDeque<Result<Frame<Bytes>, BodyError>>,
    held: usize,
    rest: Option<Body>,
    length: SizeHint,
}

impl Late {
    /// Nothing collected yet of this body.
    pub(super) fn new(of: &Body) -> Self {
        Self { collected: VecDeque::new(), held: 0, rest: None, length: of.size_hint() }
    }

    /// Collects the body to its end, for as long as the fault lives.
    pub(super) async fn collect(mut body: Body, fault: &Fired) -> Self {
        let mut late = Self::new(&body);
        let mut is_complete = false;
        let fill = async {
            while late.held < LIMIT {
                let Some(frame) = body.frame().await else {
                    is_complete = true;
                    return;
                };
                late.push(frame);
            }
        };
        tokio::select! {
            () = fill => {}
            () = fault.ended() => {}
        }
        late.then((!is_complete).then_some(body))
    }

    /// What is held, in bytes, its keep included.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn push(&mut self, frame: Result<Frame<Bytes>, BodyError>) {
        let data = frame.as_ref().ok().and_then(Frame::data_ref);
        self.held += size_of::<Frame<Bytes>>() + data.map_or(0, Bytes::len);
        self.collected.push_back(frame);
    }

    /// The same, followed by the rest.
    pub(super) fn then(mut self, rest: Option<Body>) -> Self {
        self.rest = rest;
        self
    }

    /// The data of all frames; `None` where there are trailers, or an error.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let data = |frame: &Result<Frame<Bytes>, _>| frame.as_ref().ok()?.data_ref().cloned();
        let mut chunks = self.collected.iter().map(data).collect::<Option<Vec<_>>>()?;
        if chunks.len() == 1 {
            return chunks.pop();
        }
        let mut whole = BytesMut::with_capacity(self.held);
        for chunk in &chunks {
            whole.extend_from_slice(chunk);
        }
        Some(whole.freeze())
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.collected.pop_front() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.length
    }
}
