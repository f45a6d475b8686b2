//! The roof of Squall: drills, the worlds they run in, the journal that puts those back in order, the
//! checkers and reports, and the command line over all of it.

mod causes;
mod check;
pub mod cli;
mod drill;
mod evidence;
pub mod heal;
pub mod journal;
mod report;
mod runner;
mod scalar;
pub mod shim;
pub mod state;
mod step;
mod token;
pub mod undo;
pub mod world;
