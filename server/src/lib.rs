//! The MCP test server that drills break: Streamable HTTP, both eras, a few honest tools.
//!
//! It is a black box to the rest of Squall: it depends on the model alone, and a drill knows it
//! only by what it says on the wire.

mod bus;
mod client;
mod config;
mod content;
mod dialogue;
mod fixtures;
mod history;
mod in_flight;
mod input;
mod journal;
mod listener;
mod listeners;
mod methods;
mod metrics;
mod outbox;
mod pages;
mod pending;
mod prompts;
mod redis_link;
mod resources;
mod rpc;
mod seal;
mod server;
mod shards;
mod stats;
mod store;
mod streams;
mod tools;
mod transport;
mod typed;

pub use config::Config;
pub use listener::{RunError, bind, run, run_on_threads, run_with_admin};
pub use redis_link::{InvalidRedisUrl, RedisUrl};
pub use store::OnStoreFailure;
