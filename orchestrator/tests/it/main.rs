//! The edge of the orchestrator: real processes, real signals, real journals.

mod architecture;
mod cli;
mod closed;
mod drills;
mod heal;
mod shim;
mod support;
mod world;
