//! What each JSON-RPC method does, apart from how its answer travels.

mod lists;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::ProtocolVersion;

use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::tools::{Call, Caller, Tool, ToolResult};
use lists::{List, ListPage};

const INSTRUCTIONS: &str = "A test server for chaos drills. Its tools are safe to call at will.";

/// What became of a request: a result, or the error of its answer.
pub(crate) type Outcome = Result<Success, RpcError>;

/// The result of a method.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Success {
    /// `ping`.
    Empty {},
    /// `initialize`.
    Initialize(InitializeResult),
    /// `tools/list` and the other lists.
    List(ListPage),
    /// `tools/call`.
    Call(ToolResult),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: ServerInfo,
    instructions: &'static str,
}

#[derive(Serialize)]
struct Capabilities {
    tools: ListCapability,
    resources: ListCapability,
    prompts: ListCapability,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListCapability {
    list_changed: bool,
}

#[derive(Serialize)]
struct ServerInfo {
    name: &'static str,
    version: &'static str,
}

/// The lists never change, and `trigger-notification` says that they did.
const CAPABILITIES: Capabilities = Capabilities {
    tools: ListCapability { list_changed: true },
    resources: ListCapability { list_changed: true },
    prompts: ListCapability { list_changed: true },
};

/// A request after its parameters were read.
pub(crate) enum Begun {
    /// It is done.
    Done(Success),
    /// It is a tool call, still to be run.
    Call(ToolCall),
}

/// A tool call that is still to be run.
pub(crate) struct ToolCall {
    pub(crate) call: Call,
    /// Where the caller wants to hear of progress (basic/utilities/progress).
    pub(crate) progress_token: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct ResourceParams<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

#[derive(Deserialize)]
struct PromptParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<CallMeta<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallMeta<'a> {
    #[serde(borrow, default)]
    progress_token: Option<&'a RawValue>,
}

/// Reads `initialize` and settles on a version (basic/lifecycle, version negotiation).
pub(crate) fn negotiate(message: &Message<'_>) -> Result<ProtocolVersion, RpcError> {
    let requested = message.protocol_version.as_deref().ok_or_else(|| {
        RpcError::invalid_params("`params.protocolVersion` is missing: a version was expected")
    })?;
    Ok(ProtocolVersion::negotiate(requested))
}

/// The result of an `initialize` that settled on that version.
pub(crate) fn initialized(version: ProtocolVersion) -> Success {
    Success::Initialize(InitializeResult {
        protocol_version: version.as_str(),
        capabilities: CAPABILITIES,
        server_info: ServerInfo { name: "squall-server", version: env!("CARGO_PKG_VERSION") },
        instructions: INSTRUCTIONS,
    })
}

/// Begins a request, other than `initialize`, of a session.
pub(crate) fn begin(server: &Server, message: &Message<'_>) -> Result<Begun, RpcError> {
    match message.method.as_deref().unwrap_or_default() {
        "ping" => Ok(Begun::Done(Success::Empty {})),
        "tools/list" => list(List::Tools, server, message),
        "resources/list" => list(List::Resources, server, message),
        "resources/templates/list" => list(List::ResourceTemplates, server, message),
        "prompts/list" => list(List::Prompts, server, message),
        "resources/read" => Err(read_resource(message)),
        "prompts/get" => Err(get_prompt(message)),
        "tools/call" => read_call(message).map(Begun::Call),
        method => Err(RpcError::new(
            rpc::METHOD_NOT_FOUND,
            format!("this server has no method `{}`", clip(method)),
        )),
    }
}

fn list(list: List, server: &Server, message: &Message<'_>) -> Result<Begun, RpcError> {
    lists::page(list, server, message).map(Success::List).map(Begun::Done)
}

/// There are no resources here (server/resources, error handling).
fn read_resource(message: &Message<'_>) -> RpcError {
    let params: Result<ResourceParams<'_>, _> = require_params("resources/read", message);
    let unknown = |params: ResourceParams<'_>| {
        let text = format!("resource not found: `{}`", clip(&params.uri));
        RpcError::new(rpc::RESOURCE_NOT_FOUND, text)
    };
    params.map_or_else(|error| error, unknown)
}

/// There are no prompts here (server/prompts, error handling).
fn get_prompt(message: &Message<'_>) -> RpcError {
    let params: Result<PromptParams<'_>, _> = require_params("prompts/get", message);
    let unknown = |params: PromptParams<'_>| {
        let name = clip(&params.name);
        RpcError::invalid_params(format!("unknown prompt `{name}`: this server has none"))
    };
    params.map_or_else(|error| error, unknown)
}

fn read_call(message: &Message<'_>) -> Result<ToolCall, RpcError> {
    let params: CallParams<'_> = require_params("tools/call", message)?;
    let tool = Tool::named(&params.name).ok_or_else(|| unknown_tool(&params.name))?;
    let call = tool.call(params.arguments);
    let token = params.meta.and_then(|meta| meta.progress_token);
    Ok(ToolCall {
        call: call.map_err(|error| RpcError::invalid_params(error.to_string()))?,
        progress_token: token.filter(|raw| rpc::is_valid_id(raw)).map(ToOwned::to_owned),
    })
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

fn unknown_tool(name: &str) -> RpcError {
    let known = Tool::ALL.map(Tool::name).join(", ");
    let name = clip(name);
    RpcError::invalid_params(format!("unknown tool `{name}`: this server has {known}"))
}

/// Runs a tool call. One that takes time is a task of its own, because a client that disconnects
/// does not cancel it (basic/transports, sending messages to the server).
pub(crate) async fn run(server: &Arc<Server>, call: Call, caller: Caller) -> Outcome {
    server.stats.calls_of(call.tool()).increase();
    if call.is_quick() {
        return Ok(Success::Call(call.run(server, caller).await));
    }
    let permit = Arc::clone(&server.calls).try_acquire_owned();
    let permit = permit.map_err(|_| busy(server.config.max_calls))?;
    let owner = Arc::clone(server);
    let task = async move {
        let _permit = permit;
        tokio::select! {
            result = call.run(&owner, caller) => result,
            () = owner.abort.cancelled() => ToolResult::failure("the server shuts down"),
        }
    };
    match server.tasks.spawn(task).await {
        Ok(result) => Ok(Success::Call(result)),
        Err(error) => {
            Err(RpcError::new(rpc::INTERNAL_ERROR, format!("the tool did not finish: {error}")))
        }
    }
}

fn busy(limit: usize) -> RpcError {
    RpcError::new(
        rpc::SERVER_ERROR,
        format!("{limit} tool calls are in flight, which is this server's limit: try again later"),
    )
}

/// The start of a peer's text, short enough for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
