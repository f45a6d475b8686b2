//! The roof of Squall: worlds that drills run in, and the journal that puts them back in order.

pub mod heal;
pub mod journal;
pub mod shim;
pub mod state;
pub mod undo;
pub mod world;
