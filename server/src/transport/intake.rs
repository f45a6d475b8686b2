//! A request's body: of the right type, within its size, and in time.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use squall_model::mcp::header::JSON;

use super::refusal::Refusal;
use crate::config::Config;
use crate::methods::clip;

/// How many times the limit is read and thrown away, so that a client that is still sending sees
/// its 413 and not a reset connection.
const DRAINED_LIMITS: usize = 16;

/// Reads the body of a POST. It is read before anything else is judged, which leaves the
/// connection ready for the next request.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    config: &Config,
) -> Result<Bytes, Refusal> {
    let waits_for_leave = headers.contains_key(EXPECT);
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if waits_for_leave && declared > config.max_body {
        return Err(Refusal::BodyTooLarge(config.max_body));
    }
    let bytes = tokio::time::timeout(config.body_deadline, collect(body, config.max_body));
    let bytes = bytes.await.unwrap_or(Err(Refusal::BodyTooSlow))?;
    check_content_type(headers)?;
    Ok(bytes)
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    match Limited::new(&mut body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            drain(body, limit.saturating_mul(DRAINED_LIMITS)).await;
            Err(Refusal::BodyTooLarge(limit))
        }
        Err(error) => Err(Refusal::BodyBroken(error)),
    }
}

async fn drain(mut body: Incoming, mut allowance: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = allowance.checked_sub(length) else {
            return;
        };
        allowance = rest;
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Refusal::ContentType("missing".to_owned()));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let media = text.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(Refusal::ContentType(format!("`{}`", clip(&text))))
}
