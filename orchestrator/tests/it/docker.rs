//! Drills on containers: a real engine, real stacks, and nothing of them left behind.

mod adopted;
mod begin;
mod containers;
mod healed;
mod runbooks;
mod stack;
mod times;
