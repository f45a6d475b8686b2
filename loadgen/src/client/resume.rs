//! A stream that the server ended before its answer: taken up again where it was left.

use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::response::Parts;
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use squall_model::mcp::header;
use squall_model::mcp::sse::Event;

use super::Client;
use super::connect::Connection;

/// The pause before a stream is asked for again where the server names none, and the shortest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(10));

/// How far a stream was read.
#[derive(Debug, Default)]
pub(super) struct Place {
    last_event: Option<HeaderValue>,
    retry: Option<Duration>,
    /// Whether the server ended the stream in good order. One that broke off is a loss, and is left
    /// to the record as one.
    pub(super) ended: bool,
}

impl Place {
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(id) = &event.id {
            // An empty id takes back what was said before (WHATWG HTML, section 9.2.6).
            let id = Some(id).filter(|id| !id.is_empty());
            self.last_event = id.and_then(|id| HeaderValue::from_str(id).ok());
        }
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
    }

    fn pause(&self) -> Duration {
        self.retry.map_or(PAUSE.0, |retry| retry.max(PAUSE.1))
    }
}

impl Client {
    /// Asks for the rest of a stream that the server ended after it gave an event's id, so that its
    /// client polls (basic/transports, 2025-11-25). None where that is not so, or it does not go on.
    pub(super) async fn resume(
        &self,
        connection: &mut Connection,
        place: &Place,
    ) -> Option<(Parts, Incoming)> {
        let last_event = place.last_event.as_ref().filter(|_| place.ended)?;
        self.session.as_ref()?;
        tokio::time::sleep(place.pause()).await;
        if !connection.is_open().await {
            *connection = Connection::open(&self.wire).await.ok()?;
        }
        let mut request = self.bare_request(Method::GET, Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(header::EVENT_STREAM));
        headers.insert(header::LAST_EVENT_ID, last_event.clone());
        let response = connection.send(request, &mut None).await.ok()?;
        (response.status() == StatusCode::OK).then(|| response.into_parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_last_event_that_had_an_id() {
        let mut place = Place::default();
        for event in ["id: 1\ndata:\n\n", "id: 2\nretry: 50\ndata: x\n\n", "data: y\n\n"] {
            place.note(&Event::parse(event.as_bytes()));
        }
        assert_eq!(place.last_event, Some(HeaderValue::from_static("2")));
        assert_eq!(place.pause(), Duration::from_millis(50));
        place.note(&Event::parse(b"id\nretry: 0\n\n"));
        assert_eq!(place.last_event, None);
        assert_eq!(place.pause(), Duration::from_millis(10));
    }
}
