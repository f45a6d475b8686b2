//! `squall server`: the MCP test server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use squall_model::mcp;
use squall_model::size::Size;
use squall_server::{Config, OnStoreFailure, RedisUrl};
use tokio::sync::oneshot;

use super::signals::Signals;
use super::{Failure, Outcome, exit, not_started, runtime, tell, unusable};
use crate::world::ready::{self, Probe};

/// How long a server may take to answer `--check`.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);

/// Run the MCP test server: Streamable HTTP with sessions, at /mcp.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How many threads serve connections, each with its own listener; by default one for each core
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// This replica's name, shown by get-server-stats and /healthz
    #[arg(long, default_value = "squall-server", value_name = "NAME")]
    id: String,
    /// An origin that browsers may call from, besides loopback ones (repeatable)
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// How many sessions may be open at a time; with Redis, how many keys its database may have
    #[arg(long, default_value_t = Config::default().max_sessions, value_name = "N")]
    max_sessions: usize,
    /// How long a session lives without a request or an open stream
    #[arg(long, default_value = "30m", value_parser = humantime::parse_duration, value_name = "TIME")]
    session_ttl: Duration,
    /// Keep the sessions in this Redis, in a database of their own, and take notifications to all
    /// servers that share it: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]
    #[arg(long, env = "SQUALL_REDIS", hide_env_values = true, value_name = "URL")]
    redis: Option<String>,
    /// While Redis is down: refuse every request with 503, or serve the sessions that this replica has seen
    #[arg(long, value_enum, default_value_t = StoreFailure::Refuse, value_name = "WHAT")]
    on_store_failure: StoreFailure,
    /// How long a session is believed to be as Redis said it is; 0s asks Redis with every request
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    session_cache: Duration,
    /// Need this bearer token on every request to /mcp; others get 401
    #[arg(long, env = "SQUALL_SERVER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// How long after the start the token is good; then it has expired
    #[arg(long, value_parser = humantime::parse_duration, requires = "token", value_name = "TIME")]
    token_ttl: Option<Duration>,
    /// An authorization server that clients without a token are pointed to (repeatable)
    #[arg(long = "authorization-server", requires = "token", value_name = "URL")]
    authorization_servers: Vec<String>,
    /// Where to serve /journal/executions, /journal/publications and /metrics: a loopback address
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Append each call that was executed and each notification that was published to this file, as JSON
    /// lines
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How large this file may become; what comes then is counted in the metrics, as lost
    #[arg(long, default_value = "1GiB", requires = "journal", value_name = "SIZE")]
    journal_limit: Size,
    /// What seals the state that stateless requests take along, the same for all replicas; by default what the
    /// URL of Redis says, or else something new for each process
    #[arg(long, env = "SQUALL_STATE_KEY", hide_env_values = true, value_name = "SECRET")]
    state_key: Option<String>,
    /// How long a client may take to answer what the server asks it in the session era
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    input_deadline: Duration,
    /// How long after SIGTERM the server says that it is not ready, but serves on
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    drain_delay: Duration,
    /// How long calls in flight may take to finish after that; a second signal drops them
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    grace: Duration,
    /// Bytes that a request's body may have; more is answered with 413
    #[arg(long, default_value_t = Config::default().max_body, value_name = "N")]
    max_body: usize,
    /// Serve the tools, resources and prompts, too, that the public conformance suite expects
    #[arg(long)]
    fixtures: bool,
    /// Ask the server that listens there whether it is ready, and exit with 0 if it is, with 1 if not
    #[arg(long)]
    check: bool,
}

/// What becomes of requests while Redis is down.
#[derive(Clone, Copy, clap::ValueEnum)]
enum StoreFailure {
    Refuse,
    Degrade,
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    if arguments.check {
        return runtime()?.block_on(check(arguments.listen));
    }
    let config = Config {
        id: arguments.id,
        allowed_origins: arguments.allowed_origins,
        max_sessions: arguments.max_sessions,
        session_ttl: arguments.session_ttl,
        token: arguments.token.filter(|token| !token.is_empty()),
        token_ttl: arguments.token_ttl,
        authorization_servers: arguments.authorization_servers,
        journal: arguments.journal,
        journal_limit: arguments.journal_limit.bytes(),
        state_key: arguments.state_key.filter(|key| !key.is_empty()),
        input_deadline: arguments.input_deadline,
        drain_delay: arguments.drain_delay,
        grace: arguments.grace,
        max_body: arguments.max_body,
        fixtures: arguments.fixtures,
        on_store_failure: match arguments.on_store_failure {
            StoreFailure::Refuse => OnStoreFailure::Refuse,
            StoreFailure::Degrade => OnStoreFailure::Degrade,
        },
        session_cache: arguments.session_cache,
        redis: redis_url(arguments.redis.as_deref())?,
        ..Config::default()
    };
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = arguments.threads.map_or_else(cores, NonZeroUsize::get);
    runtime()?.block_on(serve(arguments.listen, threads, arguments.admin, config))
}

/// Read here and not by clap, which would repeat a password that the URL holds. Empty is none, as a
/// variable of the environment is that a Compose file leaves blank.
fn redis_url(text: Option<&str>) -> Result<Option<RedisUrl>, Failure> {
    let text = text.filter(|text| !text.is_empty());
    text.map(str::parse).transpose().map_err(unusable)
}

/// For health checks in images that hold nothing but this binary.
async fn check(address: SocketAddr) -> Outcome {
    let probe = Probe::Path("/readyz".to_owned());
    match ready::wait(address, &probe, CHECK_DEADLINE).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(
            exit::BROKEN,
            anyhow::anyhow!("the server on {address} is not ready: {error}"),
        )),
    }
}

async fn serve(
    listen: SocketAddr,
    threads: usize,
    admin: Option<SocketAddr>,
    config: Config,
) -> Outcome {
    let mut signals = Signals::hear()?;
    let listeners = squall_server::bind(listen, threads)
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen"))
        .map_err(not_started)?;
    let address = listeners.first().map_or(Ok(listen), std::net::TcpListener::local_addr);
    let address = address.map_err(not_started)?;
    let admin = match admin {
        None => None,
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}; choose another --admin"))
                .map_err(not_started)?;
            let address = listener.local_addr().map_err(not_started)?;
            tell(format_args!("journals and metrics on http://{address}"));
            Some(listener)
        }
    };
    tell(format_args!("squall server listening on http://{address}{}", mcp::ENDPOINT));
    let (first, asked) = oneshot::channel();
    let shutdown = asked.map(drop);
    let mut serving = pin!(squall_server::run_on_threads(listeners, admin, config, shutdown));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        signal = signals.next() => {
            tell(format_args!("{signal}: ending in order; a second signal ends it at once"));
            let _ = first.send(()); // it is there until it has ended
            tokio::select! {
                ended = serving => ended,
                _ = signals.next() => Ok(()),
            }
        }
    };
    ended.map_err(not_started)?;
    Ok(ExitCode::SUCCESS)
}
