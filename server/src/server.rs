//! One running server: what every connection of it shares.

use std::sync::Arc;
use std::thread;

use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::config::Config;
use crate::stats::Stats;
use crate::store::Store;
use crate::streams::Streams;
use crate::tools::Tool;

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Bus,
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
        Arc::new(Self {
            bus: Bus::local(&streams),
            store: Store::memory(config.max_sessions, config.session_ttl),
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

/// A semaphore of that many permits, or as many as one can have.
pub(crate) fn permits(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}
