//! `tools/call`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::Era;
use squall_model::operation::OperationId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Asker, InputParams, Outcome, Success, clip, require_params};
use crate::dialogue;
use crate::fixtures::FixtureTool;
use crate::input::{Ask, InputRequired, Inputs};
use crate::journal::{self, now_ms};
use crate::rpc::{self, RpcError};
use crate::seal;
use crate::server::Server;
use crate::tools::{Call, Caller, Step, Tool, ToolResult};

/// How often a call may ask its client for something. A tool that asks more often asks in vain.
const MOST_ROUNDS: usize = 16;

/// Bytes of a progress token, which each message on progress repeats. Who gives a longer one hears of none.
const LONGEST_TOKEN: usize = 1024;

/// A tool call that is still to be run.
pub(crate) struct ToolCall {
    pub(crate) call: Call,
    /// What the client answered to earlier rounds (stateless era).
    inputs: Inputs,
    /// What tells this request from others, for the state that it takes along (stateless era).
    digest: Option<String>,
    /// Where the caller wants to hear of progress (basic/utilities/progress).
    pub(crate) progress_token: Option<Box<RawValue>>,
    /// What the caller means by it, for the journal.
    intent: Option<OperationId>,
}

impl ToolCall {
    /// What stops it. One that is done in no time has no token of its own: making one takes a lock that all
    /// share.
    pub(crate) fn stop(&self, server: &Server) -> CancellationToken {
        if self.call.is_quick() { server.abort.clone() } else { server.abort.child_token() }
    }
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow, default)]
    progress_token: Option<&'a RawValue>,
}

pub(super) fn read(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
) -> Result<ToolCall, RpcError> {
    let params: Params<'_> = require_params("tools/call", message)?;
    let call = call(server, &params)?;
    let token = params.meta.and_then(|meta| meta.progress_token);
    let is_good = |raw: &&RawValue| rpc::is_valid_id(raw) && raw.get().len() <= LONGEST_TOKEN;
    let progress_token = token.filter(is_good).map(ToOwned::to_owned);
    let intent = message.operation;
    // Those that are done in no time never ask.
    if asker.era == Era::Session || matches!(call.tool(), Some(tool) if !tool.asks()) {
        let inputs = Inputs::default();
        return Ok(ToolCall { call, inputs, digest: None, progress_token, intent });
    }
    let arguments = params.arguments.map_or("{}", RawValue::get);
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let digest = seal::digest_of("tools/call", &params.name, &arguments);
    let given: InputParams<'_> = require_params("tools/call", message)?;
    let inputs = given.inputs(server, || digest.clone())?;
    Ok(ToolCall { call, inputs, digest: Some(digest), progress_token, intent })
}

fn call(server: &Server, params: &Params<'_>) -> Result<Call, RpcError> {
    if let Some(tool) = Tool::named(&params.name) {
        return tool.call(params.arguments).map_err(RpcError::from);
    }
    let fixture = FixtureTool::named(&params.name).filter(|_| server.config.fixtures);
    let fixture = fixture.ok_or_else(|| unknown(&params.name))?;
    let arguments = params.arguments.map_or("{}", RawValue::get);
    let arguments = serde_json::from_str(arguments).unwrap_or_default();
    fixture.check(&arguments)?;
    Ok(Call::Fixture(fixture, arguments))
}

fn unknown(name: &str) -> RpcError {
    let known = Tool::ALL.map(Tool::name).join(", ");
    let name = clip(name);
    RpcError::invalid_params(format!("unknown tool `{name}`: this server has {known}"))
}

/// Runs a tool call. One that takes time is a task of its own, because a client of the session era that
/// disconnects does not cancel it (basic/transports, sending messages to the server).
pub(crate) async fn run(server: &Arc<Server>, call: ToolCall, caller: Caller) -> Outcome {
    let (tool, name, intent) = (call.call.tool(), call.call.name(), call.intent);
    let (session, begun, started_ms) = (caller.session, Instant::now(), now_ms());
    if let Some(tool) = tool {
        server.stats.calls_of(tool).increase();
    }
    let outcome = execute(server, call, caller).await;
    if let Some(tool) = tool {
        server.metrics.called(tool, begun.elapsed());
    }
    let became = match &outcome {
        Ok(Success::Call(result)) if result.is_error => journal::Outcome::Failed,
        Ok(Success::InputRequired(_)) => journal::Outcome::Asked,
        Ok(_) => journal::Outcome::Ok,
        Err(_) => journal::Outcome::Refused,
    };
    server.journal.executed(name, session, intent, started_ms, became);
    outcome
}

async fn execute(server: &Arc<Server>, call: ToolCall, caller: Caller) -> Outcome {
    if call.call.is_quick() {
        return to_the_end(server, call, &caller).await;
    }
    let permit = Arc::clone(&server.calls).try_acquire_owned();
    let permit = permit.map_err(|_| busy(server.config.max_calls))?;
    let owner = Arc::clone(server);
    let task = async move {
        let _permit = permit;
        tokio::select! {
            outcome = to_the_end(&owner, call, &caller) => outcome,
            () = owner.abort.cancelled() => {
                Ok(Success::Call(ToolResult::failure("the server shuts down")))
            }
            () = caller.stop.cancelled() => Err(RpcError::new(
                rpc::SERVER_ERROR,
                "the call was cancelled, and nothing came of it",
            )),
        }
    };
    match server.tasks.spawn(task).await {
        Ok(outcome) => outcome,
        Err(error) => {
            Err(RpcError::new(rpc::INTERNAL_ERROR, format!("the tool did not finish: {error}")))
        }
    }
}

/// Runs a call, and again with what its client answers to what it asks.
async fn to_the_end(server: &Arc<Server>, call: ToolCall, caller: &Caller) -> Outcome {
    let ToolCall { call, mut inputs, digest, .. } = call;
    if call.is_quick() {
        // It asks for nothing, and need not be kept to be run again.
        return match call.run(server, caller, &inputs).await? {
            Step::Done(result) => Ok(Success::Call(result)),
            Step::Ask(_) => Ok(Success::Call(ToolResult::failure("this tool asks for nothing"))),
        };
    }
    for _ in 0..MOST_ROUNDS {
        let ask = match call.clone().run(server, caller, &inputs).await? {
            Step::Done(result) => return Ok(Success::Call(result)),
            Step::Ask(ask) => ask,
        };
        ask.check(caller.client)?;
        match (caller.session, &digest) {
            (Some(session), _) => match dialogue::ask(server, session, caller, &ask).await {
                Ok(responses) => inputs = Inputs { responses, state: ask.state },
                Err(error) => {
                    return Ok(Success::Call(ToolResult::failure(error.to_string())));
                }
            },
            (None, digest) => {
                let digest = || digest.clone().unwrap_or_default();
                return Ok(Success::InputRequired(sealed(server, ask, digest)));
            }
        }
    }
    Ok(Success::Call(ToolResult::failure(format!(
        "the client was asked {MOST_ROUNDS} times, and has not said what is needed"
    ))))
}

/// What is asked, with a state that only this request can bring back.
pub(super) fn sealed(server: &Server, ask: Ask, digest: impl FnOnce() -> String) -> InputRequired {
    let request_state = ask.state.map(|state| server.seal.close(&digest(), &state));
    InputRequired { input_requests: ask.requests, request_state }
}

fn busy(limit: usize) -> RpcError {
    RpcError::new(
        rpc::SERVER_ERROR,
        format!("{limit} tool calls are in flight, which is this server's limit: try again later"),
    )
}
