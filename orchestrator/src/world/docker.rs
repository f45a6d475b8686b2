//! The `docker` world: replicas as containers, in a stack that the drill starts, or adopted where they
//! run already.
//!
//! A stack of the drill's own has one undo, written before anything else: it is taken down. What is
//! adopted is put back as it was found, container by container. Nothing that was not selected is ever
//! touched.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use squall_model::mcp;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

mod act;
mod compose;
mod config;
mod container;
mod engine;
mod events;
pub(crate) mod restore;
mod select;
mod stack;

pub(crate) use config::DockerConfig;
pub use engine::EngineError;

use super::child::ChildError;
use super::redis::RedisUrl;
use super::{Cast, Children, Front, WorldEvent, base_url};
use crate::journal::{Journal, JournalError};
use crate::shim::signal::Signal;
use act::Members;
use config::{Adopt, Source};
use engine::Engine;
use events::Events;
use select::Selection;

/// How long acts that are under way may take to end when the world does.
const SETTLE: Duration = Duration::from_secs(60);

/// Why a container could not be had, or not be changed.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The engine would not.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The Compose tool could not be run as a child.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The journal could not be written, so that nothing was changed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No tool.
    #[error(
        "neither `docker compose` nor `docker-compose` answers: install one, or adopt containers that run already (`world.docker.adopt`)"
    )]
    NoCompose,
    /// Not a file that it reads.
    #[error("the Compose file {} cannot be used: {why}", path.display())]
    ComposeFile {
        /// The file.
        path: PathBuf,
        /// The tool's word.
        why: String,
    },
    /// It did not bring the stack up.
    #[error("the stack did not come up ({how}): {said} (see {}; its images must be there, or come from a registry: `cargo xtask images` makes those of Squall's own stack)", log.display())]
    ComposeUp {
        /// How the tool ended.
        how: String,
        /// Its last words.
        said: String,
        /// Where the rest is.
        log: PathBuf,
    },
    /// Nobody to hit.
    #[error("no container is selected by {0}: label some, or name others; nothing was touched")]
    NothingSelected(String),
    /// A name that nobody has.
    #[error("there is no container `{name}`: {known} were found")]
    NoSuchContainer {
        /// The name.
        name: String,
        /// Who is there.
        known: String,
    },
    /// A name that was not given free.
    #[error(
        "container {name} has no label squall.target=true: label it, or say `world.docker.unlabelled: true`; nothing was touched"
    )]
    Unlabelled {
        /// The container.
        name: String,
    },
    /// One that cannot be adopted as it is.
    #[error(
        "container {name} is {state}: only what runs is adopted; start it, or, if a drill that was killed left it so, run `squall heal`; nothing was touched"
    )]
    NotRunning {
        /// The container.
        name: String,
        /// `paused` or `not running`.
        state: &'static str,
    },
    /// One that cannot be put back.
    #[error(
        "container {name} was started with --rm, so that it would be removed when it ends: start it without; nothing was touched"
    )]
    Fleeting {
        /// The container.
        name: String,
    },
    /// One that is named for two things.
    #[error(
        "container {0} is selected twice, as replica, redis or entry: name it once; nothing was touched"
    )]
    TwoRoles(String),
    /// No way from here to there.
    #[error("container {name} publishes {found}: {advice}")]
    NoPort {
        /// The container.
        name: String,
        /// What it publishes.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// A way that will not be the same.
    #[error(
        "the port that container {name} publishes changes with every restart: publish a fixed one, such as 127.0.0.1:{suggested}:{inner}"
    )]
    MovingPort {
        /// The container.
        name: String,
        /// The port inside.
        inner: u16,
        /// Where it is now, which is free to be kept.
        suggested: u16,
    },
    /// It does not get ready.
    #[error("{name} (container {container}) was not ready within {deadline:?}: {why}; {said}")]
    NotReady {
        /// What the drill calls it.
        name: String,
        /// Its container.
        container: String,
        /// How long it had.
        deadline: Duration,
        /// What stood in the way.
        why: String,
        /// Its last words.
        said: String,
    },
    /// It ended before it was ready.
    #[error("{name} (container {container}) ended before it was ready ({how}); {said}")]
    Ended {
        /// What the drill calls it.
        name: String,
        /// Its container.
        container: String,
        /// How it ended.
        how: String,
        /// Its last words.
        said: String,
    },
    /// It goes on.
    #[error("{name} (container {container}) did not end within {deadline:?} after {signal}")]
    Stubborn {
        /// What the drill calls it.
        name: String,
        /// Its container.
        container: String,
        /// How long it had.
        deadline: Duration,
        /// What it was sent.
        signal: Signal,
    },
    /// It is on no such network.
    #[error("{name} is on no network {network}: it is on {known}")]
    NoNetwork {
        /// What the drill calls it.
        name: String,
        /// What was asked for.
        network: String,
        /// Where it is.
        known: String,
    },
    /// An act was lost with its task.
    #[error("an act on the Docker engine broke off: see the log")]
    BrokeOff,
    /// What could not be put back.
    #[error("cannot {0}")]
    Left(String),
}

/// Containers as a world.
#[derive(Debug)]
pub struct DockerWorld {
    members: Arc<Members>,
    events: Events,
    front: Front,
    /// Acts under way. They go on when nobody waits for them any more: a container that is just being
    /// stopped must not be started before that is done.
    acts: TaskTracker,
}

impl DockerWorld {
    /// Starts the stack, or adopts what runs, and waits until all is ready.
    pub(crate) async fn start(
        config: DockerConfig,
        children: &Children,
        journal: &Journal,
    ) -> Result<Self, DockerError> {
        let engine = Engine::locate().await?;
        let selection = match config.source() {
            Source::Own(file) => stack::bring_up(&config, file, &engine, children, journal).await?,
            Source::Adopted(adopt) => adopted(&config, adopt, &engine).await?,
        };
        let front = front(&config, &selection)?;
        let events = Events::follow(&engine, selection.names());
        let members = Members::new(engine, journal.clone(), config, selection)?;
        if let Err(error) = members.wait_all_ready().await {
            members.keep_logs(children.logs()).await;
            return Err(error);
        }
        Ok(Self { members: Arc::new(members), events, front, acts: TaskTracker::new() })
    }

    pub(super) fn front(&self) -> Front {
        self.front.clone()
    }

    pub(super) async fn down(&self) -> Result<Vec<String>, DockerError> {
        self.members.down().await
    }

    pub(super) async fn kill(&self, name: &str, signal: Signal) -> Result<(), DockerError> {
        self.act(name, move |members, name| async move { members.kill(&name, signal).await }).await
    }

    pub(super) async fn shut_down(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        self.act(name, move |members, name| async move { members.shut_down(&name, grace).await })
            .await
    }

    pub(super) async fn restart(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        self.act(name, move |members, name| async move { members.restart(&name, grace).await })
            .await
    }

    pub(super) async fn start_again(&self, name: &str) -> Result<(), DockerError> {
        self.act(name, |members, name| async move { members.start_again(&name).await }).await
    }

    pub(super) async fn wait_ready(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<(), DockerError> {
        self.members.wait_ready(name, deadline).await
    }

    pub(super) async fn pause(&self, name: &str) -> Result<(), DockerError> {
        self.act(name, |members, name| async move { members.pause(&name).await }).await
    }

    pub(super) async fn resume(&self, name: &str) -> Result<(), DockerError> {
        self.act(name, |members, name| async move { members.resume(&name).await }).await
    }

    pub(super) async fn disconnect(
        &self,
        name: &str,
        network: Option<&str>,
    ) -> Result<(), DockerError> {
        let network = network.map(str::to_owned);
        self.act(name, move |members, name| async move {
            members.disconnect(&name, network.as_deref()).await
        })
        .await
    }

    pub(super) async fn reconnect(&self, name: &str) -> Result<(), DockerError> {
        self.act(name, |members, name| async move { members.reconnect(&name).await }).await
    }

    pub(super) fn redis(&self) -> Option<RedisUrl> {
        self.members.redis_url()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<WorldEvent> {
        self.events.subscribe()
    }

    /// Waits for the acts that are under way, and lets none begin any more. What takes longer than all its
    /// deadlines is undone all the same.
    pub(crate) async fn let_go(&self) {
        self.acts.close();
        let _ = tokio::time::timeout(SETTLE, self.acts.wait()).await;
        self.members.close();
    }

    /// Writes what the containers of a stack of the drill's own said to this folder.
    pub(crate) async fn keep_logs(&self, folder: &Path) {
        self.members.keep_logs(folder).await;
    }

    /// Does something to one member, to its end even if nobody waits for it any more.
    async fn act<F>(
        &self,
        name: &str,
        act: impl FnOnce(Arc<Members>, String) -> F,
    ) -> Result<(), DockerError>
    where
        F: Future<Output = Result<(), DockerError>> + Send + 'static,
    {
        let act = act(Arc::clone(&self.members), name.to_owned());
        self.acts.spawn(act).await.unwrap_or(Err(DockerError::BrokeOff))
    }
}

/// Who would be hit, told by the engine, if all of them can be had. Touches nothing.
pub(crate) async fn survey(config: &DockerConfig) -> Result<Cast, DockerError> {
    let Source::Adopted(adopt) = config.source() else {
        return Ok(config.known_cast().unwrap_or_default());
    };
    let engine = Engine::locate().await?;
    let selection = adopted(config, adopt, &engine).await?;
    front(config, &selection)?;
    Ok(config.cast_of(selection.replicas.into_iter().map(|replica| replica.name).collect()))
}

async fn adopted(
    config: &DockerConfig,
    adopt: &Adopt,
    engine: &Engine,
) -> Result<Selection, DockerError> {
    let all = engine.containers(None).await?;
    select::adopted(config, adopt, &all)
}

/// What the drill's proxy stands in front of: the entry where there is one, else each replica.
fn front(config: &DockerConfig, selection: &Selection) -> Result<Front, DockerError> {
    let path = mcp::ENDPOINT.to_owned();
    if let Some(entry) = &selection.entry {
        let address = config.address_of(entry, config.entry_port)?;
        return Ok(Front { upstreams: vec![base_url(address)], replicas: Vec::new(), path });
    }
    let mut front = Front { upstreams: Vec::new(), replicas: Vec::new(), path };
    for replica in &selection.replicas {
        let address: SocketAddr = config.address_of(replica, config.port)?;
        front.upstreams.push(base_url(address));
        front.replicas.push(replica.name.clone());
    }
    Ok(front)
}

impl fmt::Display for Adopt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "the label {label}"),
            Self::Containers(names) => write!(f, "the names {}", names.join(", ")),
        }
    }
}
