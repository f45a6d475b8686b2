//! What each JSON-RPC method does, apart from how its answer travels.

mod calls;
mod completion;
mod initialize;
mod lists;
mod prompts;
mod resources;
mod result;

use serde::Deserialize;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::Era;

use crate::client::{Capabilities, Level};
use crate::input::Inputs;
use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::store::{Change, Session, SessionId};

pub(crate) use calls::{ToolCall, run};
pub(crate) use initialize::{initialized, negotiate, supported_versions};
pub(crate) use result::{Outcome, StatelessResult, Success};

use initialize::discovered;
use lists::List;

/// Who asks, and what is known of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) era: Era,
    /// The session and what is remembered of it; none in the stateless era.
    pub(crate) session: Option<(SessionId, &'a Session)>,
    pub(crate) client: Capabilities,
    /// The least grave log messages that are wanted, if any are.
    pub(crate) level: Option<Level>,
}

/// A request after its parameters were read.
pub(crate) enum Begun {
    /// It is done.
    Done(Success),
    /// It is a tool call, still to be run.
    Call(ToolCall),
    /// It changes the session of the one who asks.
    Change(Change),
}

/// Begins a request, other than those that begin a session or a stream.
pub(crate) fn begin(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
) -> Result<Begun, RpcError> {
    let method = message.method.as_deref().unwrap_or_default();
    match (method, asker.era) {
        ("tools/call", _) => calls::read(server, asker, message).map(Begun::Call),
        ("tools/list", _) => list(List::Tools, server, message),
        ("resources/list", _) => list(List::Resources, server, message),
        ("resources/templates/list", _) => list(List::ResourceTemplates, server, message),
        ("resources/read", _) => resources::read(server, asker, message).map(Begun::Done),
        ("prompts/list", _) => list(List::Prompts, server, message),
        ("prompts/get", _) => prompts::get(server, asker, message).map(Begun::Done),
        ("completion/complete", _) => completion::complete(server, message).map(Begun::Done),
        ("server/discover", Era::Stateless) => Ok(Begun::Done(discovered())),
        ("ping", Era::Session) => Ok(Begun::Done(Success::Empty {})),
        ("logging/setLevel", Era::Session) => {
            let params: LevelParams = require_params(method, message)?;
            Ok(Begun::Change(Change::Level(params.level)))
        }
        ("resources/subscribe", Era::Session) => {
            resources::subscribe(server, asker, message).map(Begun::Change)
        }
        ("resources/unsubscribe", Era::Session) => {
            resources::unsubscribe(message).map(Begun::Change)
        }
        _ => {
            let text = format!("this server has no method `{}`", clip(method));
            Err(RpcError::new(rpc::METHOD_NOT_FOUND, text))
        }
    }
}

#[derive(Deserialize)]
struct LevelParams {
    level: Level,
}

/// What a retried request brings along (2026-07-28, schema, `InputResponseRequestParams`).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputParams<'a> {
    #[serde(default, borrow)]
    input_responses: Option<&'a RawValue>,
    #[serde(default)]
    request_state: Option<String>,
}

impl InputParams<'_> {
    /// The answers, and the state, if it is unbroken and belongs to the request of that digest.
    fn inputs(&self, server: &Server, digest: impl FnOnce() -> String) -> Result<Inputs, RpcError> {
        let responses = match self.input_responses {
            None => serde_json::Map::new(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| {
                RpcError::invalid_params(format!("`inputResponses` is not an object: {error}"))
            })?,
        };
        let open = |sealed: &String| server.seal.open(&digest(), sealed);
        let state = self.request_state.as_ref().map(open).transpose();
        let state = state.map_err(|error| RpcError::invalid_params(error.to_string()))?;
        Ok(Inputs { responses, state })
    }
}

fn list(list: List, server: &Server, message: &Message<'_>) -> Result<Begun, RpcError> {
    lists::page(list, server, message).map(Success::List).map(Begun::Done)
}

fn require_params<'a, P: Deserialize<'a>>(
    method: &str,
    message: &Message<'a>,
) -> Result<P, RpcError> {
    let missing = || RpcError::invalid_params(format!("{method} needs `params`"));
    read_params(method, message.params.ok_or_else(missing)?)
}

fn read_params<'a, P: Deserialize<'a>>(method: &str, raw: &'a RawValue) -> Result<P, RpcError> {
    let bad = |error| RpcError::invalid_params(format!("invalid params for {method}: {error}"));
    serde_json::from_str(raw.get()).map_err(bad)
}

/// The start of a peer's text, short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
