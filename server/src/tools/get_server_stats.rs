//! `get-server-stats`: what this server counted about itself, as JSON text.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Tool, ToolResult};
use crate::server::Server;
use crate::stats::resident_memory;

pub(super) const DESCRIPTION: &str =
    "Tells what this server counted: sessions, requests, calls, errors, streams, memory";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

pub(super) fn input_schema() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

pub(super) async fn run(Arguments {}: Arguments, server: &Arc<Server>) -> ToolResult {
    let stats = &server.stats;
    let active = match server.store.count().await {
        Ok(count) => count,
        Err(error) => return ToolResult::failure(error.to_string()),
    };
    let answer = json!({
        "server_id": server.config.id,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": server.started.elapsed().as_secs_f64(),
        "requests": stats.requests.value(),
        "errors": stats.errors.value(),
        "sessions": {
            "active": active,
            "created": stats.sessions_created.value(),
            "closed": stats.sessions_closed.value(),
        },
        "notifications": {
            "sent": stats.notifications_sent.value(),
            "failed": stats.notifications_failed.value(),
        },
        "store": server.store.health(),
        "open_streams": server.streams.count(),
        "tool_calls": calls_by_tool(server),
        "memory": { "rss_bytes": resident_memory() },
    });
    ToolResult::text(answer.to_string())
}

fn calls_by_tool(server: &Server) -> Map<String, Value> {
    let calls = |tool: Tool| server.stats.calls_of(tool).value();
    Tool::ALL.into_iter().map(|tool| (tool.name().to_owned(), calls(tool).into())).collect()
}
