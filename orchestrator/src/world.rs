//! Where a drill's servers live, and what can be done to them there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::broadcast;

pub mod child;
pub mod children;
pub(crate) mod docker;
pub(crate) mod external;
mod log;
pub mod ports;
pub mod process;
pub mod ready;
pub(crate) mod redis;
mod spawner;
pub(crate) mod spec;

pub use child::{Child, ChildError};
pub use children::Children;
pub use ports::free_address;
pub use process::{ProcessConfig, ProcessWorld};

use crate::shim::identity::ProcessId;
pub use crate::shim::signal::Signal;
use docker::{DockerError, DockerWorld};
use external::ExternalWorld;

/// What drills call the store, whatever its container is called.
pub const REDIS: &str = "redis";

/// One of the servers that answer for the drilled one, as a child of the drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// `replica-1`, `replica-2` …
    pub name: String,
    /// Where it listens, whether it runs or not.
    pub address: SocketAddr,
    /// Its process, while it runs.
    pub process: Option<ProcessId>,
}

/// Who can be hit in a world, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// The replicas.
    pub replicas: Vec<String>,
    /// Whether there is a Redis, which is called [`REDIS`].
    pub has_redis: bool,
    /// How many of all these may be down, paused or disconnected at once.
    pub most_at_once: Option<u8>,
}

impl Cast {
    /// All names, Redis at the end.
    pub fn names(&self) -> Vec<String> {
        let redis = self.has_redis.then(|| REDIS.to_owned());
        self.replicas.iter().cloned().chain(redis).collect()
    }
}

/// Something that happened in a world, as the world itself tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldEvent {
    /// In words, such as `server-2: kill (signal 9)`.
    pub what: String,
    /// When, in nanoseconds since the Unix epoch.
    pub wall: u64,
}

/// What the drill's proxy stands in front of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Base URLs, such as `http://127.0.0.1:10000`.
    pub upstreams: Vec<String>,
    /// The replica behind each; empty where something stands between that spreads requests as it
    /// likes, so that a session lives on no single replica.
    pub replicas: Vec<String>,
    /// The path of the MCP endpoint.
    pub path: String,
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
    /// A container could not be had, or not be changed.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// Redis would not do it.
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
    /// The world has nothing of the kind. A drill that asks for it is refused when it is read.
    #[error("the {world} world cannot {what}")]
    Cannot {
        /// The world.
        world: &'static str,
        /// What was asked for.
        what: &'static str,
    },
}

impl WorldError {
    /// Whether a file of the user's is what is wrong, and nothing that may be otherwise next time.
    pub(crate) fn is_of_a_file(&self) -> bool {
        matches!(self, Self::Docker(DockerError::ComposeFile { .. }))
    }
}

/// A world: one variant for each kind.
#[derive(Debug)]
pub enum World {
    /// Child processes of the drill.
    Process(ProcessWorld),
    /// Containers.
    Docker(DockerWorld),
    /// A URL, and no more.
    External(ExternalWorld),
}

impl World {
    /// Its name in drills, reports and locks.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Docker(_) => "docker",
            Self::External(_) => "external",
        }
    }

    /// What a proxy has to stand in front of.
    pub fn front(&self) -> Front {
        match self {
            Self::Process(world) => world.front(),
            Self::Docker(world) => world.front(),
            Self::External(world) => world.front(),
        }
    }

    /// Who is down now, Redis included, whoever brought that about.
    pub async fn down(&self) -> Result<Vec<String>, WorldError> {
        match self {
            Self::Process(world) => Ok(world.down()),
            Self::Docker(world) => Ok(world.down().await?),
            Self::External(_) => Ok(Vec::new()),
        }
    }

    /// Ends a replica with a signal and waits until it is gone.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.kill(name, signal).await,
            Self::Docker(world) => Ok(world.kill(name, signal).await?),
            Self::External(world) => Err(world.cannot("kill anything")),
        }
    }

    /// Asks a replica to end, kills it after `grace`, and waits until it is gone.
    pub async fn shut_down(&self, name: &str, grace: Duration) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.shut_down(name, grace).await,
            Self::Docker(world) => Ok(world.shut_down(name, grace).await?),
            Self::External(world) => Err(world.cannot("stop anything")),
        }
    }

    /// Asks a replica to end, kills it after `grace`, and starts it again. Does not wait until it is
    /// ready.
    pub async fn restart(&self, name: &str, grace: Duration) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => {
                world.shut_down(name, grace).await?;
                world.start_again(name).await
            }
            Self::Docker(world) => Ok(world.restart(name, grace).await?),
            Self::External(world) => Err(world.cannot("restart anything")),
        }
    }

    /// Starts a replica again, at the address that it had. Does not wait until it is ready.
    pub async fn start_again(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.start_again(name).await,
            Self::Docker(world) => Ok(world.start_again(name).await?),
            Self::External(world) => Err(world.cannot("start anything")),
        }
    }

    /// Waits until a replica is ready. Fails at the deadline, or as soon as the replica ends.
    pub async fn wait_ready(&self, name: &str, deadline: Duration) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.wait_ready(name, deadline).await,
            Self::Docker(world) => Ok(world.wait_ready(name, deadline).await?),
            Self::External(_) => Ok(()),
        }
    }

    /// Freezes a replica.
    pub async fn pause(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.pause(name).await,
            Self::Docker(world) => Ok(world.pause(name).await?),
            Self::External(world) => Err(world.cannot("pause anything")),
        }
    }

    /// Lets a frozen replica go on.
    pub async fn resume(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Process(world) => world.resume(name).await,
            Self::Docker(world) => Ok(world.resume(name).await?),
            Self::External(world) => Err(world.cannot("unpause anything")),
        }
    }

    /// Takes a replica off a network, or off all that it is on.
    pub async fn disconnect(&self, name: &str, network: Option<&str>) -> Result<(), WorldError> {
        match self {
            Self::Docker(world) => Ok(world.disconnect(name, network).await?),
            other => Err(other.cannot("disconnect anything")),
        }
    }

    /// Puts a replica back on the networks that it was taken off.
    pub async fn reconnect(&self, name: &str) -> Result<(), WorldError> {
        match self {
            Self::Docker(world) => Ok(world.reconnect(name).await?),
            other => Err(other.cannot("reconnect anything")),
        }
    }

    /// Where Redis can be reached from here.
    pub fn redis(&self) -> Result<redis::RedisUrl, WorldError> {
        let url = match self {
            Self::Process(world) => world.redis(),
            Self::Docker(world) => world.redis(),
            Self::External(_) => None,
        };
        url.ok_or_else(|| self.cannot("reach a Redis"))
    }

    /// Hears what happens in the world from now on, as the world itself tells it.
    pub fn events(&self) -> Option<broadcast::Receiver<WorldEvent>> {
        match self {
            Self::Docker(world) => Some(world.events()),
            Self::Process(_) | Self::External(_) => None,
        }
    }

    fn cannot(&self, what: &'static str) -> WorldError {
        WorldError::Cannot { world: self.name(), what }
    }
}

/// A base URL of what listens there.
fn base_url(address: SocketAddr) -> String {
    format!("http://{address}")
}
