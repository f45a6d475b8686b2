//! The results of methods, and what the stateless era adds to them.

use serde::Serialize;

use super::completion::Completed;
use super::initialize::{DiscoverResult, IMPLEMENTATION, Implementation, InitializeResult};
use super::lists::ListPage;
use crate::content::Contents;
use crate::input::InputRequired;
use crate::prompts::Filled;
use crate::rpc::RpcError;
use crate::tools::ToolResult;

/// What became of a request: a result, or the error of its answer.
pub(crate) type Outcome = Result<Success, RpcError>;

/// The result of a method.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Success {
    /// `ping`, and whatever changes a session.
    Empty {},
    /// `initialize`.
    Initialize(InitializeResult),
    /// `server/discover`.
    Discover(DiscoverResult),
    /// `tools/list` and the other lists.
    List(ListPage),
    /// `tools/call`.
    Call(ToolResult),
    /// `resources/read`.
    Read { contents: [Contents; 1] },
    /// `prompts/get`.
    Prompt(Filled),
    /// `completion/complete`.
    Complete { completion: Completed },
    /// Whatever needs something from its client first.
    InputRequired(InputRequired),
}

/// How long what is said once may be taken for true, in milliseconds, and by whom (2026-07-28,
/// server/utilities/caching).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Caching {
    ttl_ms: u32,
    cache_scope: &'static str,
}

/// A result as the stateless era has it (2026-07-28, schema, `Result`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatelessResult<'a> {
    result_type: &'static str,
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(flatten)]
    caching: Option<Caching>,
    #[serde(flatten)]
    success: &'a Success,
}

#[derive(Serialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: Implementation,
}

impl<'a> StatelessResult<'a> {
    pub(crate) fn of(success: &'a Success) -> Self {
        let result_type = match success {
            Success::InputRequired(_) => "input_required",
            _ => "complete",
        };
        let meta = Meta { server_info: IMPLEMENTATION };
        Self { result_type, meta, caching: Caching::of(success), success }
    }
}

impl Caching {
    fn of(success: &Success) -> Option<Self> {
        match success {
            Success::Discover(_) | Success::List(_) => {
                Some(Self { ttl_ms: 60_000, cache_scope: "public" })
            }
            // Some resources say something else each time.
            Success::Read { .. } => Some(Self { ttl_ms: 0, cache_scope: "private" }),
            _ => None,
        }
    }
}
