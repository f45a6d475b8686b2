//! The hop that counts: one request of an open session.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use squall_model::history::{Cause, Outcome};
use squall_model::operation::OperationId;

use super::exchange::{Expects, Outgoing, outcome};
use super::{Client, Report, Trace, answer};

/// A request to make.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: OperationId,
    pub(crate) method: &'static str,
    pub(crate) params: Map<String, Value>,
    pub(crate) may_have_effects: bool,
}

#[derive(Deserialize)]
struct ToolResult {
    #[serde(default, rename = "isError")]
    is_error: bool,
}

impl Client {
    /// Makes one request. A 404 to a session's id ends the session (basic/transports, session
    /// management); the request is not repeated.
    pub(crate) async fn call(&mut self, call: Call) -> Report {
        let (report, _) = self.ask(call).await;
        report
    }

    /// Makes one request and keeps its answer: the whole JSON-RPC message.
    pub(crate) async fn ask(&mut self, call: Call) -> (Report, Option<Bytes>) {
        let session = self.session_text();
        let may_have_effects = call.may_have_effects;
        let mut trace = Trace::default();
        let answered = self.answered(call, &mut trace).await;
        let (outcome, answer) = match answered {
            Ok(answer) => (Outcome::Ok, Some(answer)),
            Err(cause) => {
                if cause == Cause::Http(404) && session.is_some() {
                    self.session = None;
                }
                let was_sent = trace.sent.is_some();
                (outcome(cause, was_sent, may_have_effects), None)
            }
        };
        (self.report(trace, session, outcome), answer)
    }

    async fn answered(&mut self, call: Call, trace: &mut Trace) -> Result<Bytes, Cause> {
        let rpc_id = self.next_rpc_id();
        let outgoing = Outgoing {
            operation: call.operation,
            body: request_body(rpc_id, call.operation, call.method, call.params),
            expects: Expects::Answer(rpc_id),
        };
        let answer = self.post(outgoing, trace).await?.message;
        check(call.method, &answer)?;
        Ok(answer)
    }
}

/// An error text in a result is no success.
fn check(method: &str, message: &[u8]) -> Result<(), Cause> {
    if method == "tools/call" {
        let result: ToolResult = answer::result_of(message)?;
        return if result.is_error { Err(Cause::ToolError) } else { Ok(()) };
    }
    answer::result_of::<IgnoredAny>(message).map(drop)
}

/// A request's body, its operation id in `_meta`.
pub(super) fn request_body(
    rpc_id: u64,
    operation: OperationId,
    method: &str,
    mut params: Map<String, Value>,
) -> Bytes {
    let meta = json!({ "traceparent": operation.traceparent() });
    params.insert("_meta".to_owned(), meta);
    let message = json!({
        "jsonrpc": "2.0",
        "id": rpc_id,
        "method": method,
        "params": params,
    });
    message.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_not_a_success() {
        let answer = |result| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let call = |result| check("tools/call", answer(result).as_bytes());
        assert_eq!(call(r#"{"content":[]}"#), Ok(()));
        assert_eq!(call(r#"{"content":[],"isError":false}"#), Ok(()));
        assert_eq!(
            call(r#"{"content":[{"type":"text","text":"no"}],"isError":true}"#),
            Err(Cause::ToolError)
        );
        assert!(matches!(call(r#"{"isError":"x"}"#), Err(Cause::Protocol(_))));
    }
}
