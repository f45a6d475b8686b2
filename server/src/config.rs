//! What a server can be told, each with a sensible default.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::redis_link::RedisUrl;
use crate::store::OnStoreFailure;

/// One server's settings. Every limit holds whatever a peer sends.
#[derive(Clone, Debug)]
pub struct Config {
    /// This replica's name, as `get-server-stats` and `/healthz` tell it.
    pub id: String,
    /// Origins that browsers may call from, besides loopback ones: `https://app.example`.
    pub allowed_origins: Vec<String>,
    /// Items on a page of a list. 50.
    pub page_size: NonZeroUsize,
    /// Bytes of a request's body; more is answered with 413. 1 MiB.
    pub max_body: usize,
    /// Messages in a batch (2025-03-26); more is answered with 400. 100.
    pub max_batch: usize,
    /// Sessions at a time; one more is answered with 503. 100,000.
    pub max_sessions: usize,
    /// Connections at a time; more wait in the listener's backlog. 20,000.
    pub max_connections: usize,
    /// Tool calls at a time that take time; one more is answered with JSON-RPC -32000. 10,000.
    pub max_calls: usize,
    /// How long a session lives without a request or an open stream. 30 min.
    pub session_ttl: Duration,
    /// The bearer token that every request to the endpoint needs. None.
    pub token: Option<String>,
    /// How long after the server's start the token is good. Always.
    pub token_ttl: Option<Duration>,
    /// The authorization servers that the metadata of the protected resource names. None.
    pub authorization_servers: Vec<String>,
    /// A file that each execution and publication is appended to, as JSON lines. None.
    pub journal: Option<PathBuf>,
    /// Bytes that this file may have; what comes then is counted as lost. 1 GiB.
    pub journal_limit: u64,
    /// Where sessions are kept and notifications go through, if not in this process. Its database is
    /// for sessions alone, because `max_sessions` is held against its size. None.
    pub redis: Option<RedisUrl>,
    /// How long Redis may take to answer; then requests are refused until it answers again. 500 ms.
    pub redis_deadline: Duration,
    /// What becomes of requests while Redis is down. Refuse.
    pub on_store_failure: OnStoreFailure,
    /// How long a session is believed to be as Redis said it is; what other replicas change is known sooner.
    /// Zero asks Redis with every request. 500 ms.
    pub session_cache: Duration,
    /// How often a stream is ended whose session ended elsewhere, if it did. 500 ms.
    pub session_watch: Duration,
    /// How often an idle stream carries a comment. 15 s.
    pub heartbeat: Duration,
    /// How long a connection may take to send a request's head, idle time before it included. 75 s.
    pub head_deadline: Duration,
    /// How long a request's body may take. 30 s.
    pub body_deadline: Duration,
    /// How long a peer may take no bytes of its answer. 30 s.
    pub write_deadline: Duration,
    /// How long a client may take to answer a request of the server's: a user may have to. 5 min.
    pub input_deadline: Duration,
    /// What seals the state that stateless requests take along; the same for all replicas. By default what
    /// the URL of Redis says, or, without one, something new for each process. None.
    pub state_key: Option<String>,
    /// Whether the tools, resources and prompts are there that the public conformance suite expects. No.
    pub fixtures: bool,
    /// How long, after shutdown was asked for, the server says that it is not ready but serves on, so that
    /// whoever spreads load over replicas learns of it first. None.
    pub drain_delay: Duration,
    /// How long calls in flight may take to finish after that. 5 s.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: "squall-server".to_owned(),
            allowed_origins: Vec::new(),
            page_size: const { NonZeroUsize::new(50).expect("not zero") },
            max_body: 1 << 20,
            max_batch: 100,
            max_sessions: 100_000,
            max_connections: 20_000,
            max_calls: 10_000,
            session_ttl: Duration::from_secs(30 * 60),
            token: None,
            token_ttl: None,
            authorization_servers: Vec::new(),
            journal: None,
            journal_limit: 1 << 30,
            redis: None,
            redis_deadline: Duration::from_millis(500),
            on_store_failure: OnStoreFailure::Refuse,
            session_cache: Duration::from_millis(500),
            session_watch: Duration::from_millis(500),
            heartbeat: Duration::from_secs(15),
            head_deadline: Duration::from_secs(75),
            body_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            input_deadline: Duration::from_secs(5 * 60),
            state_key: None,
            fixtures: false,
            drain_delay: Duration::ZERO,
            grace: Duration::from_secs(5),
        }
    }
}
