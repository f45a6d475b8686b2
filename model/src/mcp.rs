//! The Model Context Protocol on the wire: names, eras, the JSON-RPC envelope, SSE.

pub mod envelope;
pub mod era;
pub mod glance;
pub mod header;
pub mod sse;

/// The path of the one MCP endpoint of every Squall server and proxy.
pub const ENDPOINT: &str = "/mcp";
