//! The last hop: DELETE ends the session, if the server lets clients do that.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::Client;

/// How long a goodbye may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// Ends the session on the connection that is there, as well as it can be done. Whatever the
    /// server answers is fine: 405 says that it does not let clients end sessions.
    pub(crate) async fn close(&mut self) {
        let has_id = self.session_text().is_some();
        let Some(mut connection) = self.connection.take().filter(|_| has_id) else {
            return;
        };
        let request = self.bare_request(Method::DELETE, Bytes::new());
        let mut sent = None;
        let goodbye = connection.send(request, &mut sent);
        let _ = tokio::time::timeout(PATIENCE, goodbye).await;
        self.session = None;
    }
}
