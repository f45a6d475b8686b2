//! The roof of Squall: worlds that drills run in, and the journal that puts them back in order.

pub mod shim;
