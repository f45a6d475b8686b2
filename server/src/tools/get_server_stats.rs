//! `get-server-stats`: what this server counted about itself, as JSON text.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Tool, ToolResult};
use crate::server::Server;
use crate::stats::{Counter, resident_memory};
use crate::store::Health;

pub(super) const DESCRIPTION: &str =
    "Tells what this server counted: sessions, requests, calls, errors, streams, memory";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

pub(super) fn input_schema() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

pub(super) async fn run(Arguments {}: Arguments, server: &Arc<Server>) -> ToolResult {
    let stats = &server.stats;
    let active = server.store.count().await.ok();
    let reads = |counter: &Counter| counter.value();
    ToolResult::structured(&Output {
        server_id: server.config.id.clone(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: server.started.elapsed().as_secs_f64(),
        requests: reads(&stats.requests),
        errors: reads(&stats.errors),
        sessions: Sessions {
            active,
            created: reads(&stats.sessions_created),
            closed: reads(&stats.sessions_closed),
        },
        notifications: Notifications {
            sent: reads(&stats.notifications_sent),
            failed: reads(&stats.notifications_failed),
        },
        store: server.store.health(),
        open_streams: server.streams.count(),
        resource_reads: reads(&stats.resource_reads),
        prompts: reads(&stats.prompts),
        tool_calls: calls_by_tool(server),
        memory: Memory { rss_bytes: resident_memory() },
    })
}

/// What a server counted since it started.
#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    server_id: String,
    version: &'static str,
    uptime_seconds: f64,
    requests: u64,
    errors: u64,
    sessions: Sessions,
    notifications: Notifications,
    store: Health,
    open_streams: usize,
    resource_reads: u64,
    prompts: u64,
    /// By the tool's name.
    tool_calls: BTreeMap<&'static str, u64>,
    memory: Memory,
}

#[derive(Serialize, JsonSchema)]
struct Sessions {
    /// Null where the store cannot be asked.
    active: Option<usize>,
    created: u64,
    closed: u64,
}

#[derive(Serialize, JsonSchema)]
struct Notifications {
    sent: u64,
    failed: u64,
}

#[derive(Serialize, JsonSchema)]
struct Memory {
    /// Null where the operating system does not tell.
    rss_bytes: Option<u64>,
}

fn calls_by_tool(server: &Server) -> BTreeMap<&'static str, u64> {
    let calls = |tool: Tool| (tool.name(), server.stats.calls_of(tool).value());
    Tool::ALL.into_iter().map(calls).collect()
}
