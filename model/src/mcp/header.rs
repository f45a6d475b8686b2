//! Header names of the Streamable HTTP transport, and Squall's own.

use http::HeaderName;

/// The session, session era (2025-03-26 to 2025-11-25, basic/transports, session management).
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// The negotiated version, on every request after `initialize` (from 2025-06-18).
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The last event that a client saw of a stream that it resumes.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// JSON-RPC method, stateless era (2026-07-28).
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Name of the tool or prompt, or URI of the resource, stateless era (2026-07-28).
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// W3C Trace Context: carries the operation id.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// On every answer that a fault made or touched: the fault's id, once for each fault.
pub const FAULT: HeaderName = HeaderName::from_static("x-squall-fault");
/// On a request that asks for faults whose match says `opt_in`: their ids, or `*`.
pub const INJECT: HeaderName = HeaderName::from_static("x-squall-inject");
/// On a 502 that the proxy made because the upstream failed by itself: the cause.
pub const UPSTREAM_ERROR: HeaderName = HeaderName::from_static("x-squall-upstream-error");
/// Media type of a single answer.
pub const JSON: &str = "application/json";
/// Media type of a stream of answers.
pub const EVENT_STREAM: &str = "text/event-stream";
