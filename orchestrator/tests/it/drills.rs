//! Drills through the real binary: real replicas, a real proxy, real load, and what comes of it.

mod begin;
mod decisions;
pub(crate) mod house;
mod restart;
mod rude;
mod stopped;
mod wire;
