//! The second hop of a handshake: `notifications/initialized`, which is accepted with 202.

use bytes::Bytes;
use http::StatusCode;
use squall_model::history::Outcome;
use squall_model::operation::OperationId;

use super::exchange::{Expects, Outgoing, outcome};
use super::{Client, Report, Trace};

const BODY: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

impl Client {
    /// Says that the session is in use from here. Where the server does not take it, the session is
    /// forgotten; a success other than 202 is recorded as a breach, and the session goes on.
    pub(crate) async fn initialized(&mut self, operation: OperationId) -> Report {
        let session = self.session_text();
        let mut trace = Trace::default();
        let outgoing =
            Outgoing { operation, body: Bytes::from_static(BODY), expects: Expects::Acceptance };
        let result = self.post(outgoing, &mut trace).await;
        if !trace.status.is_some_and(|status: StatusCode| status.is_success()) {
            self.session = None;
        }
        let outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(cause) => outcome(cause, trace.sent.is_some(), false),
        };
        self.report(trace, session, outcome)
    }
}
