//! The stage of a drill: replicas, proxy and load, set up in this order and struck in reverse.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use squall_loadgen::{Arrivals, BadTarget, Load, NotReady, Plan as LoadPlan};

use super::leases::Leases;
use super::news::{News, Watch};
use super::plan::Plan;
use super::proxy::{DrillProxy, ProxyError};
use super::recording::Recording;
use super::{Options, RunError};
use crate::causes::in_words;
use crate::drill::LoadSpec;
use crate::journal::Journal;
use crate::state::RunDir;
use crate::world::docker::{DockerError, DockerWorld, restore};
use crate::world::external::ExternalWorld;
use crate::world::spec::WorldSpec;
use crate::world::{ChildError, Children, ProcessWorld, World, WorldError};

/// How long children may take to end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// What a drill plays on.
#[derive(Debug)]
pub(super) struct Stage {
    children: Children,
    journal: Journal,
    logs: PathBuf,
    parts: Option<Parts>,
    load: Option<Load>,
}

#[derive(Debug)]
struct Parts {
    world: World,
    proxy: DrillProxy,
    leases: Leases,
}

/// Why the stage could not be set, or struck.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// A replica did not start.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The proxy did not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A child could not be started or ended.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Containers could not be put back.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// No session could be opened.
    #[error("the load could not begin, through the drill's proxy in front of {front}")]
    Load {
        /// What the proxy stands in front of.
        front: String,
        /// Why.
        source: NotReady,
    },
    /// Neither could be taken down.
    #[error("{children}; and {containers}")]
    Both {
        /// What is left of the children.
        children: String,
        /// What is left of the containers.
        containers: String,
    },
    /// Never: the target is our own proxy.
    #[error(transparent)]
    Target(#[from] BadTarget),
}

impl Stage {
    /// A stage with nothing on it. Its children's undo is in the journal.
    pub(super) fn empty(
        run: &RunDir,
        journal: &Journal,
        out: &Path,
        squall: &Path,
    ) -> Result<Self, StageError> {
        let children = Children::begin(run, journal, out, PathBuf::from(squall))?;
        let (journal, logs) = (journal.clone(), out.join("logs"));
        Ok(Self { children, journal, logs, parts: None, load: None })
    }

    /// Starts everything and waits until traffic flows.
    pub(super) async fn set(
        &mut self,
        plan: &Plan<'_>,
        options: &Options,
        recording: &Recording,
        watch: &dyn Watch,
    ) -> Result<(), RunError> {
        watch.news(News::Setting(&setting(plan)));
        let world = self.start_world(plan.drill.world()).await.map_err(StageError::from)?;
        let front = world.front();
        watch.news(News::Setting("starting the proxy"));
        let history = recording.proxy_history();
        let proxy = DrillProxy::start(&self.children, &front.upstreams, options.seed, &history)
            .await
            .map_err(StageError::from)?;
        let target = proxy.address;
        let leases = Leases::new(proxy.admin.clone());
        self.parts = Some(Parts { world, proxy, leases });
        watch.news(News::Setting("opening sessions"));
        let plan = load_plan(&plan.drill.load, target, &front.path, options)?;
        let load = Load::start(plan, *recording.clock(), recording.sink());
        let ready = self.load.insert(load).ready().await;
        let front = front.upstreams.join(", ");
        let ready = ready.map_err(|source| StageError::Load { front, source })?;
        watch.news(News::Loaded { sessions: ready.sessions, mix: ready.mix.to_string() });
        Ok(())
    }

    async fn start_world(&self, spec: &WorldSpec) -> Result<World, WorldError> {
        let (children, journal) = (&self.children, &self.journal);
        Ok(match spec {
            WorldSpec::Process(config) => {
                World::Process(ProcessWorld::start(config.clone(), children).await?)
            }
            WorldSpec::Docker(config) => {
                let config = (**config).clone();
                World::Docker(DockerWorld::start(config, children, journal).await?)
            }
            WorldSpec::External(config) => World::External(ExternalWorld::new(config)),
        })
    }

    /// The replicas.
    pub(super) fn world(&self) -> &World {
        &self.parts().world
    }

    /// The proxy.
    pub(super) fn proxy(&self) -> &DrillProxy {
        &self.parts().proxy
    }

    /// The faults on the proxy.
    pub(super) fn leases(&self) -> &Leases {
        &self.parts().leases
    }

    /// The load, while it runs.
    pub(super) fn load(&self) -> Option<&Load> {
        self.load.as_ref()
    }

    /// All children of the drill.
    pub(super) fn children(&self) -> &Children {
        &self.children
    }

    /// Ends the load, and no fault may hold it up any more. What is due already still goes out, or,
    /// in a hurry, what is in flight may finish.
    pub(super) async fn end_load(&mut self, in_a_hurry: bool, watch: &dyn Watch) {
        self.remove_faults().await;
        if let Some(load) = self.load.take() {
            watch.news(News::Setting("ending the load"));
            if in_a_hurry {
                load.stop().await
            } else {
                load.drain().await
            };
        }
    }

    /// Takes everything down, whatever is there.
    pub(super) async fn strike(&mut self) -> Result<(), StageError> {
        self.load = None;
        self.remove_faults().await;
        if let Some(Parts { world: World::Docker(world), .. }) = &self.parts {
            world.let_go().await;
            world.keep_logs(&self.logs).await;
        }
        let closed = self.children.close(GRACE).await;
        // Whatever became of the children, and even if the world had only half begun.
        let restored = restore::all(&self.journal).await;
        match (closed, restored) {
            (Ok(()), Ok(())) => {}
            (Err(children), Err(containers)) => {
                let (children, containers) = (in_words(&children), in_words(&containers));
                return Err(StageError::Both { children, containers });
            }
            (closed, restored) => {
                closed?;
                restored?;
            }
        }
        self.parts = None;
        Ok(())
    }

    async fn remove_faults(&self) {
        if let Some(parts) = &self.parts {
            // If the proxy is gone, so are its faults; if it lives, its end is near.
            parts.leases.remove_all().await;
        }
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("a drill is played on a stage that was set")
    }
}

/// What takes the longest, in words.
fn setting(plan: &Plan<'_>) -> String {
    match plan.drill.world() {
        WorldSpec::External(_) => "looking for the server".to_owned(),
        spec if spec.is_own() => format!("starting {} replicas", plan.cast.replicas.len()),
        _ => format!("looking at {} containers", plan.cast.names().len()),
    }
}

fn load_plan(
    spec: &LoadSpec,
    target: SocketAddr,
    path: &str,
    options: &Options,
) -> Result<LoadPlan, StageError> {
    let target = format!("http://{target}{path}").parse()?;
    let mut plan = LoadPlan::new(target, options.seed);
    plan.sessions = spec.sessions;
    plan.arrivals = match spec.think {
        Some(think) => Arrivals::Closed { think },
        None => Arrivals::Open { rate: spec.rate },
    };
    plan.mix = spec.mix.clone();
    plan.timeout = spec.timeout;
    plan.grace = spec.timeout;
    plan.version = spec.version;
    Ok(plan)
}
