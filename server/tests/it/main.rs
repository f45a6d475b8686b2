//! The server as a client meets it: over real sockets, one rule at a time.

mod batches;
mod dialogue;
mod hostile;
mod lifecycle;
mod lists;
mod notifications;
mod observed;
mod outages;
mod refusals;
mod replicas;
mod resumption;
mod sessions;
mod shared_dialogue;
mod shared_notifications;
mod shared_sessions;
mod shared_streams;
mod stateless;
mod streams;
mod tokens;
mod tools;
mod world;
