//! The edge of the orchestrator: real processes, real signals, real journals.

mod architecture;
mod cli;
mod closed;
mod docker;
mod drills;
mod heal;
mod needs;
mod page;
mod readme;
mod shim;
mod support;
mod world;
