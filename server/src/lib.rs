//! The MCP test server that drills break: Streamable HTTP, sessions, a few honest tools.
//!
//! It is a black box to the rest of Squall: it depends on the model alone, and a drill knows it
//! only by what it says on the wire.

mod bus;
mod config;
mod listener;
mod methods;
mod pages;
mod redis_link;
mod rpc;
mod server;
mod shards;
mod stats;
mod store;
mod streams;
mod tools;
mod transport;

pub use config::Config;
pub use listener::{RunError, run};
pub use redis_link::{InvalidRedisUrl, RedisUrl};
