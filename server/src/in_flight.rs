//! Requests of sessions that are being answered, so that they can be cancelled (basic/utilities/cancellation).

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::store::SessionId;

/// The requests in flight that take time, each by its session and its id as it was written.
#[derive(Default)]
pub(crate) struct InFlight {
    requests: Mutex<HashMap<(SessionId, String), CancellationToken>>,
}

/// A request in flight, until it is dropped.
pub(crate) struct Flight<'a> {
    in_flight: &'a InFlight,
    key: (SessionId, String),
}

impl InFlight {
    /// Begins a request that this token stops.
    pub(crate) fn begin(
        &self,
        session: SessionId,
        id: &str,
        stop: CancellationToken,
    ) -> Flight<'_> {
        let key = (session, id.to_owned());
        self.requests.lock().insert(key.clone(), stop);
        Flight { in_flight: self, key }
    }

    /// Stops a request, and says whether it was here.
    pub(crate) fn cancel(&self, session: SessionId, id: &str) -> bool {
        let found = self.requests.lock().get(&(session, id.to_owned())).cloned();
        found.map(|stop| stop.cancel()).is_some()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.in_flight.requests.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_cancelled_by_its_own_session_while_it_is_in_flight() {
        let (a, b) = (SessionId::of(0xa), SessionId::of(0xb));
        let in_flight = InFlight::default();
        let stop = CancellationToken::new();
        let flight = in_flight.begin(a, "7", stop.clone());
        assert!(!in_flight.cancel(b, "7") && !in_flight.cancel(a, "\"7\"") && !stop.is_cancelled());
        assert!(in_flight.cancel(a, "7") && stop.is_cancelled());
        drop(flight);
        assert!(!in_flight.cancel(a, "7"));
    }
}
