//! The first hop of a handshake: `initialize`, always without a session header.

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use squall_model::history::{Cause, Outcome};
use squall_model::mcp::era::ProtocolVersion;
use squall_model::operation::OperationId;

use super::answer::{protocol, result_of};
use super::call::request_body;
use super::exchange::{Expects, Outgoing, Reply, outcome};
use super::{Client, Report, Session, SessionId, Trace};

/// What a server says it can do, as far as a load asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) tools: bool,
    pub(crate) resources: bool,
    pub(crate) prompts: bool,
}

#[derive(Deserialize)]
struct InitializeResult {
    #[serde(rename = "protocolVersion")]
    protocol_version: String,
    #[serde(default)]
    capabilities: RawCapabilities,
}

#[derive(Default, Deserialize)]
struct RawCapabilities {
    #[serde(default)]
    tools: Option<IgnoredAny>,
    #[serde(default)]
    resources: Option<IgnoredAny>,
    #[serde(default)]
    prompts: Option<IgnoredAny>,
}

impl Client {
    /// Asks for a new session. Whatever session there was is forgotten first.
    pub(crate) async fn initialize(
        &mut self,
        operation: OperationId,
    ) -> (Report, Option<Capabilities>) {
        self.session = None;
        let mut trace = Trace::default();
        match self.opened(operation, &mut trace).await {
            Ok((session, capabilities)) => {
                self.session = Some(session);
                let report = self.report(trace, self.session_text(), Outcome::Ok);
                (report, Some(capabilities))
            }
            Err(cause) => {
                let outcome = outcome(cause, trace.sent.is_some(), false);
                (self.report(trace, None, outcome), None)
            }
        }
    }

    async fn opened(
        &mut self,
        operation: OperationId,
        trace: &mut Trace,
    ) -> Result<(Session, Capabilities), Cause> {
        let rpc_id = self.next_rpc_id();
        let outgoing = Outgoing {
            operation,
            body: self.initialize_body(rpc_id, operation),
            expects: Expects::Answer(rpc_id),
        };
        read(&self.post(outgoing, trace).await?)
    }

    fn initialize_body(&self, rpc_id: u64, operation: OperationId) -> Bytes {
        let params = [
            ("protocolVersion", json!(self.wire.version)),
            ("capabilities", json!({})),
            (
                "clientInfo",
                json!({"name": self.wire.name.as_str(), "version": env!("CARGO_PKG_VERSION")}),
            ),
        ];
        let params: Map<String, Value> =
            params.map(|(key, v)| (key.to_owned(), v)).into_iter().collect();
        request_body(rpc_id, operation, "initialize", params)
    }
}

fn read(reply: &Reply) -> Result<(Session, Capabilities), Cause> {
    let result: InitializeResult = result_of(&reply.message)?;
    let version: Result<ProtocolVersion, _> = result.protocol_version.parse();
    let version = version.map_err(|_| {
        let shown: String = result.protocol_version.chars().take(20).collect();
        protocol(&format!("protocol version {shown} is not spoken here"))
    })?;
    let session = Session { id: reply.session.as_ref().map(session_id).transpose()?, version };
    let capabilities = Capabilities {
        tools: result.capabilities.tools.is_some(),
        resources: result.capabilities.resources.is_some(),
        prompts: result.capabilities.prompts.is_some(),
    };
    Ok((session, capabilities))
}

/// Checks a session id: visible ASCII (basic/transports, session management).
fn session_id(header: &HeaderValue) -> Result<SessionId, Cause> {
    let is_visible = |byte: &u8| (0x21..=0x7e).contains(byte);
    let bytes = header.as_bytes();
    match header.to_str() {
        Ok(text) if !bytes.is_empty() && bytes.iter().all(is_visible) => {
            Ok(SessionId { header: header.clone(), text: text.into() })
        }
        _ => Err(protocol("session id is not visible ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(result: &str, session: Option<&'static str>) -> Result<bool, String> {
        let reply = Reply {
            message: format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).into(),
            session: session.map(HeaderValue::from_static),
        };
        let opened = read(&reply).map_err(|cause| cause.to_string());
        opened.map(|(session, _)| session.id.is_some())
    }

    #[test]
    fn a_session_needs_a_known_version_and_a_visible_id_or_none() {
        let good = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}"#;
        assert_eq!(opens(good, Some("abc")), Ok(true));
        assert_eq!(opens(good, None), Ok(false));
        for (result, session, says) in [
            (good, Some("a b"), "visible ASCII"),
            (good, Some(""), "visible ASCII"),
            (r#"{"protocolVersion":"1999-01-01"}"#, None, "1999-01-01"),
            ("{}", None, "another shape"),
        ] {
            let error = opens(result, session).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
