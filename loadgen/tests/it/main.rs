//! The load generator at its edge: against a small scripted MCP server on a real socket.

mod course;
mod handshake;
mod outcome;
mod recovery;
mod run;
mod server;
