//! HTTP/1.1 as most of it is: requests that come in one piece, on both sides without TLS. They take a short
//! way, on one task and without a copy that nobody needs; whatever is not plain is hyper's business.
//!
//! A downstream connection begins here. With the first request that is out of the ordinary (it is not all
//! there at once, is chunked, wants to upgrade, is not HTTP/1.1, or is not HTTP at all) it goes over to
//! hyper, with all that was read, and stays there. So nothing here ever waits for the rest of a request.

mod body;
mod head;
mod raw_head;
mod sender;
mod serve;

pub(crate) use body::Body;
pub(crate) use raw_head::RawHead;
pub(crate) use sender::{Failure, Sender};
pub(crate) use serve::{Served, serve};
