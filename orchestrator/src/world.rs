//! Where a drill's servers live, and what can be done to them there.

use std::net::SocketAddr;
use std::time::Duration;

pub mod child;
pub mod children;
mod log;
pub mod ports;
pub mod process;
pub mod ready;
mod spawner;

pub use child::{Child, ChildError};
pub use children::Children;
pub use ports::free_address;
pub use process::{ProcessConfig, ProcessWorld};

use crate::shim::identity::ProcessId;
pub use crate::shim::signal::Signal;

/// One of the servers that answer for the drilled one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// `replica-1`, `replica-2` …
    pub name: String,
    /// Where it listens, whether it runs or not.
    pub address: SocketAddr,
    /// Its process, while it runs and is ours.
    pub process: Option<ProcessId>,
}

/// Why something could not be done in a world.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A child could not be started, reached or ended.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// It does not get ready.
    #[error("{name} was not ready at {address} within {deadline:?}: {why}; {said}")]
    NotReady {
        /// The replica.
        name: String,
        /// Where it was asked.
        address: SocketAddr,
        /// How long it had.
        deadline: Duration,
        /// What stood in the way. It stands before the last words, and so not in the chain of
        /// sources, which is printed behind them.
        why: String,
        /// Its last words, and where the rest is.
        said: String,
    },
    /// It ended before it was ready.
    #[error("{name} ended before it was ready ({how}); {said}")]
    Ended {
        /// The replica.
        name: String,
        /// How it ended.
        how: String,
        /// Its last words, and where the rest is.
        said: String,
    },
    /// No such replica.
    #[error("there is no replica `{0}`: expected one of {1}")]
    UnknownReplica(String, String),
    /// It has never been started.
    #[error("{0} was never started: start it first")]
    NotStarted(String),
    /// It runs.
    #[error("{0} runs already (pid {1}): kill it first")]
    AlreadyRunning(String, u32),
    /// All ports are taken.
    #[error("no port below the ephemeral range is free on 127.0.0.1: end what listens there")]
    NoPort,
}

/// A world: one variant for each kind.
#[derive(Debug)]
pub enum World {
    /// Child processes of the drill.
    Process(ProcessWorld),
}

impl World {
    /// Its name in drills, reports and locks.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
        }
    }

    /// The replicas as they are now.
    pub fn replicas(&self) -> Vec<Replica> {
        match self {
            Self::Process(world) => world.replicas(),
        }
    }

    /// Ends a replica with a signal and waits until it is gone.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.kill(name, signal).await,
        }
    }

    /// Starts a replica again, at the address that it had. Does not wait until it is ready.
    pub async fn start_again(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.start_again(name).await,
        }
    }

    /// Waits until a replica is ready. Fails at the deadline, or as soon as the replica ends.
    pub async fn wait_ready(&self, name: &str, deadline: Duration) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.wait_ready(name, deadline).await,
        }
    }

    /// Freezes a replica.
    pub async fn pause(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.pause(name).await,
        }
    }

    /// Lets a frozen replica go on.
    pub async fn resume(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.resume(name).await,
        }
    }

    /// Ends all that the world has started. May be called again.
    pub async fn stop(&self) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.stop().await,
        }
    }
}
