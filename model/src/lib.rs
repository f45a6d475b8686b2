//! The ground floor of Squall: it says what things are and does nothing.
//!
//! No async, no I/O, no clock. Every other crate depends on this one, and this one on none of them.
//! Types that cross a boundary (a file, the admin API, the command line) are parsed into valid
//! values here, so that no later code checks them again.

pub mod chance;
pub mod fault;
pub mod history;
pub mod mcp;
pub mod nearest;
pub mod operation;
mod schema;
pub mod scope;
pub mod seed;
pub mod size;
pub mod verdict;
