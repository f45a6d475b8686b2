//! A body that a fault ends early.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use squall_model::verdict::{Cut, Ending};

use super::{Body, BodyError};
use crate::board::Fired;
use crate::link::Link;

/// Another body, up to a number of bytes. When the fault ends before, it goes on whole.
#[derive(Debug)]
pub(crate) struct CutBody {
    body: Body,
    left: u64,
    ending: Ending,
    fault: Fired,
    link: Arc<Link>,
    /// Whether what came before the cut had its turn to be written.
    is_flushed: bool,
}

impl CutBody {
    pub(super) fn new(body: Body, cut: Cut, fault: Fired, link: Arc<Link>) -> Self {
        Self { body, left: cut.after, ending: cut.ending, fault, link, is_flushed: false }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 && !self.fault.has_ended() {
            return self.poll_end(context);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| self.shorten(frame))))
    }

    /// A body that is to end otherwise than by HTTP's rules declares what it never sends.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Clean => SizeHint::default(),
            Ending::Close | Ending::Reset => self.body.size_hint(),
        }
    }

    fn shorten(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) => {
                if !self.fault.has_ended() {
                    data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                }
                self.left = self.left.saturating_sub(data.len() as u64);
                Frame::data(data)
            }
            Err(frame) => frame,
        }
    }

    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !std::mem::replace(&mut self.is_flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match self.ending {
            Ending::Clean => None,
            Ending::Close => Some(Err(BodyError::Cut)),
            Ending::Reset => {
                self.link.break_off();
                Some(Err(BodyError::Reset))
            }
        })
    }
}
