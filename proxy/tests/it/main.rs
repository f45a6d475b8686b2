//! The proxy over real sockets: what a client sees, and what an upstream sees.

mod admin;
mod connections;
mod effects;
mod faults;
mod fixture;
mod framing;
mod handover;
mod hostile;
mod leaving;
mod ledger;
mod messages;
mod openapi;
mod routing;
mod secure;
mod tcp;
mod tls;
mod toxiproxy;
mod transparency;
mod watch;
mod wire;
