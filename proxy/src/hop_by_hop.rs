//! Headers that belong to one connection, and go no further.

use http::HeaderMap;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, TE];

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1).
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most messages have none of it, and looking for each would take longer.
    let may_be = |name: &HeaderName| matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17);
    if !headers.keys().any(|name| may_be(name) && HOP_BY_HOP.contains(name)) {
        return;
    }
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        if name != TE {
            headers.remove(name);
        }
    }
    // Where a message has both, this one counts (RFC 9112, section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in &HOP_BY_HOP {
        if name != TE {
            headers.remove(name);
        }
    }
    // Trailers are passed on, so the wish for them is too (RFC 9110, section 10.1.4).
    let wants_trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    headers.remove(TE);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}
