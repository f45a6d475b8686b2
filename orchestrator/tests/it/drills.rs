//! Drills through the real binary: real replicas, a real proxy, real load, and what comes of it.

mod begin;
mod decisions;
mod external;
pub(crate) mod house;
mod redis;
pub(crate) mod restart;
mod rude;
pub(crate) mod runbooks;
mod steps;
mod stopped;
mod wire;
