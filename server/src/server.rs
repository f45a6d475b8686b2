//! One running server: what every connection of it shares.

use std::sync::Arc;
use std::thread;

use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Bus, Desk, RedisBus};
use crate::config::Config;
use crate::journal::{Bounded, Journal};
use crate::metrics::Metrics;
use crate::redis_link::Link;
use crate::seal::Seal;
use crate::stats::Stats;
use crate::store::{SessionCache, Store};
use crate::streams::Streams;
use crate::tools::Tool;
use crate::{fixtures, prompts, resources};

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Bus,
    pub(crate) desk: Arc<Desk>,
    /// What this server has, as its lists show it.
    pub(crate) catalog: Catalog,
    pub(crate) seal: Seal,
    /// The connection of `store` and `bus`, where they have one.
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) stats: Stats,
    pub(crate) metrics: Metrics,
    pub(crate) journal: Journal,
    pub(crate) started: Instant,
    /// One permit a core, for work that computes.
    pub(crate) cores: Arc<Semaphore>,
    /// One permit for each connection.
    pub(crate) places: Arc<Semaphore>,
    /// One permit for each tool call that takes time.
    pub(crate) calls: Arc<Semaphore>,
    /// Connections, calls and upkeep: everything that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Say that no more requests are wanted, and go on.
    pub(crate) drain: CancellationToken,
    /// Finish what is in flight, begin nothing new.
    pub(crate) stop: CancellationToken,
    /// Drop what is still in flight.
    pub(crate) abort: CancellationToken,
    /// It is over: close the listeners.
    pub(crate) close: CancellationToken,
}

/// The definitions of everything that this server has.
pub(crate) struct Catalog {
    pub(crate) tools: Vec<Box<RawValue>>,
    pub(crate) resources: Vec<Box<RawValue>>,
    pub(crate) templates: Vec<Box<RawValue>>,
    pub(crate) prompts: Vec<Box<RawValue>>,
}

impl Catalog {
    fn new(with_fixtures: bool) -> Self {
        let mut catalog = Self {
            tools: Tool::ALL.into_iter().map(Tool::definition).collect(),
            resources: resources::definitions(),
            templates: resources::templates(),
            prompts: prompts::definitions(),
        };
        if with_fixtures {
            fixtures::add_to(&mut catalog);
        }
        catalog
    }
}

impl Server {
    pub(crate) fn new(config: Config, journal: Option<Bounded>) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let streams = Streams::new();
        let cache = Arc::new(SessionCache::new(config.session_cache, config.session_ttl));
        let desk = Desk::new(&streams, &cache);
        let link = config.redis.as_ref().map(|url| Link::new(url, config.redis_deadline));
        Arc::new(Self {
            store: Store::new(&config, link.as_ref(), &cache),
            bus: bus(&desk, link.as_ref()),
            desk,
            catalog: Catalog::new(config.fixtures),
            seal: Seal::new(&secret(&config)),
            link,
            streams,
            stats: Stats::default(),
            metrics: Metrics::new(),
            journal: Journal::new(journal),
            started: Instant::now(),
            cores: Arc::new(Semaphore::new(cores)),
            places: permits(config.max_connections),
            calls: permits(config.max_calls),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            close: CancellationToken::new(),
            config,
        })
    }
}

fn bus(desk: &Arc<Desk>, link: Option<&Arc<Link>>) -> Bus {
    match link {
        None => Bus::Local(Arc::clone(desk)),
        Some(link) => Bus::Redis(RedisBus::new(link, desk)),
    }
}

/// What all replicas know and no client: what was configured, or else the Redis that they share, or else
/// something that nobody knows after a restart.
fn secret(config: &Config) -> Vec<u8> {
    if let Some(key) = &config.state_key {
        return key.clone().into_bytes();
    }
    if let Some(url) = &config.redis {
        return url.secret();
    }
    let mut bytes = vec![0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no random bytes for the key of request states: take --state-key");
    }
    bytes
}

/// A semaphore of that many permits, or as many as one can have.
pub(crate) fn permits(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}
