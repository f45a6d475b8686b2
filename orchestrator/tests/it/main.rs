//! The edge of the orchestrator: real processes, real signals, real journals.

mod architecture;
mod cli;
mod closed;
mod docker;
mod drills;
mod heal;
mod needs;
mod page;
mod shim;
mod support;
mod world;
