//! One running server: what every connection of it shares.

use std::sync::Arc;
use std::thread;

use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Bus, RedisBus};
use crate::config::Config;
use crate::redis_link::Link;
use crate::stats::Stats;
use crate::store::Store;
use crate::streams::Streams;
use crate::tools::Tool;

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Bus,
    /// The connection of `store` and `bus`, where they have one.
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) stats: Stats,
    pub(crate) started: Instant,
    /// The tools as `tools/list` shows them.
    pub(crate) definitions: Vec<Box<RawValue>>,
    /// One permit a core, for work that computes.
    pub(crate) cores: Arc<Semaphore>,
    /// One permit for each tool call that takes time.
    pub(crate) calls: Arc<Semaphore>,
    /// Connections, calls and upkeep: everything that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Finish what is in flight, begin nothing new.
    pub(crate) stop: CancellationToken,
    /// Drop what is still in flight.
    pub(crate) abort: CancellationToken,
}

impl Server {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let streams = Streams::new();
        let link = config.redis.as_ref().map(|url| Link::new(url, config.redis_deadline));
        Arc::new(Self {
            store: store(&config, link.as_ref()),
            bus: bus(&streams, link.as_ref()),
            link,
            streams,
            stats: Stats::default(),
            started: Instant::now(),
            definitions: Tool::ALL.into_iter().map(Tool::definition).collect(),
            cores: Arc::new(Semaphore::new(cores)),
            calls: permits(config.max_calls),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            config,
        })
    }
}

fn store(config: &Config, link: Option<&Arc<Link>>) -> Store {
    let (limit, ttl) = (config.max_sessions, config.session_ttl);
    link.map_or_else(|| Store::memory(limit, ttl), |link| Store::redis(link, limit, ttl))
}

fn bus(streams: &Arc<Streams>, link: Option<&Arc<Link>>) -> Bus {
    match link {
        None => Bus::Local(Arc::clone(streams)),
        Some(link) => Bus::Redis(RedisBus::new(link, streams)),
    }
}

/// A semaphore of that many permits, or as many as one can have.
pub(crate) fn permits(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}
