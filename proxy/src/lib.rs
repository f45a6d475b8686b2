//! The MCP-aware fault-injecting proxy: hyper in, hyper out, and three moments in between.
//!
//! Traffic meets [`connection`](self), exchange and stream in this order; at each, the board's
//! snapshot of live faults is matched, and what a fault decides is carried out in one place.

mod admin;
mod board;
mod carry;
mod classify;
pub mod client;
pub mod config;
mod connection;
mod delay;
mod event_ids;
mod exchange;
mod halves;
mod headers;
mod hop_by_hop;
mod ledger;
mod link;
mod listen;
mod meter;
mod metrics;
mod observe;
mod plain;
mod proxying;
mod record;
mod reload;
mod route;
mod run;
mod socket;
mod state;
mod stream;
mod tls;
mod upstream;

pub use admin::document as openapi;
pub use config::{AdminConfig, Config};
pub use reload::{ReloadError, Reloader};
pub use run::{BindError, Proxy, RunError};
pub use tls::TlsError;
