//! `initialize` and `server/discover`: what this server is, and can do.

use serde::Serialize;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::{ProtocolVersion, STATELESS};

use super::{Success, require_params};
use crate::client::Capabilities as ClientCapabilities;
use crate::rpc::RpcError;
use crate::store::Session;

const INSTRUCTIONS: &str = "A test server for chaos drills. Its tools are safe to call at will.";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: Implementation,
    instructions: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiscoverResult {
    supported_versions: Vec<&'static str>,
    capabilities: Capabilities,
    instructions: &'static str,
}

#[derive(Serialize)]
struct Capabilities {
    tools: ListCapability,
    resources: ResourceCapability,
    prompts: ListCapability,
    completions: Nothing,
    logging: Nothing,
}

/// An object without fields: it is there, and that is all.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListCapability {
    list_changed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceCapability {
    list_changed: bool,
    subscribe: bool,
}

#[derive(Serialize)]
pub(super) struct Implementation {
    name: &'static str,
    version: &'static str,
}

pub(super) const IMPLEMENTATION: Implementation =
    Implementation { name: "squall-server", version: env!("CARGO_PKG_VERSION") };

/// The lists never change, and `trigger-notification` says that they did.
const CAPABILITIES: Capabilities = Capabilities {
    tools: ListCapability { list_changed: true },
    resources: ResourceCapability { list_changed: true, subscribe: true },
    prompts: ListCapability { list_changed: true },
    completions: Nothing {},
    logging: Nothing {},
};

#[derive(serde::Deserialize)]
struct InitializeParams<'a> {
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
}

/// Reads `initialize` and settles on a version (basic/lifecycle, version negotiation).
pub(crate) fn negotiate(message: &Message<'_>) -> Result<Session, RpcError> {
    let requested = message.protocol_version.as_deref().ok_or_else(|| {
        RpcError::invalid_params("`params.protocolVersion` is missing: a version was expected")
    })?;
    let params: InitializeParams<'_> = require_params("initialize", message)?;
    let client = params.capabilities.map(ClientCapabilities::read).transpose();
    let client = client.map_err(|error| {
        RpcError::invalid_params(format!("`params.capabilities` is wrong: {error}"))
    })?;
    Ok(Session::new(ProtocolVersion::negotiate(requested), client.unwrap_or_default()))
}

/// The result of an `initialize` that settled on that version.
pub(crate) fn initialized(version: ProtocolVersion) -> Success {
    Success::Initialize(InitializeResult {
        protocol_version: version.as_str(),
        capabilities: CAPABILITIES,
        server_info: IMPLEMENTATION,
        instructions: INSTRUCTIONS,
    })
}

/// The result of `server/discover` (2026-07-28, server/discover).
pub(crate) fn discovered() -> Success {
    Success::Discover(DiscoverResult {
        supported_versions: supported_versions(),
        capabilities: CAPABILITIES,
        instructions: INSTRUCTIONS,
    })
}

/// All versions of both eras, the newest first.
pub(crate) fn supported_versions() -> Vec<&'static str> {
    let of_sessions = ProtocolVersion::ALL.into_iter().rev().map(ProtocolVersion::as_str);
    std::iter::once(STATELESS).chain(of_sessions).collect()
}
