//! `squall proxy`: the fault-injecting proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use squall_model::chance::Seed;
use squall_model::fault::Fault;
use squall_proxy::config::{Limits, TcpRoute, UpstreamAddress};
use squall_proxy::{AdminConfig, BindError, Config, Proxy, Reloader};
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::{Failure, Outcome, not_started, runtime, tell, unusable};

mod peers;

use peers::{Policy, Tls};

/// Put a fault-injecting proxy in front of MCP servers.
#[derive(clap::Args)]
#[command(after_help = "\
Sessions stay on the replica that made them and fail over when it cannot be reached. Faults come
from a file, or are added while it runs: see `squall fault`. The log goes to stderr;
SQUALL_LOG=warn leaves out what is injected, SQUALL_LOG=squall_proxy=debug has a line for each
exchange, SQUALL_LOG_FORMAT=json writes JSON.")]
pub(super) struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A replica behind the proxy (repeatable)
    #[arg(long, required_unless_present_any = ["tcp", "config"], value_name = "URL")]
    upstream: Vec<UpstreamAddress>,
    /// A route for what is not HTTP, such as redis=127.0.0.1:6380/127.0.0.1:6379 (repeatable)
    #[arg(long, value_name = "NAME=HOST:PORT/HOST:PORT")]
    tcp: Vec<TcpRoute>,
    /// Toxiproxy's configuration file, a JSON array of proxies: each is a TCP route
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the admin API listens
    #[arg(long, default_value = super::admin::ADMIN, value_name = "ADDRESS")]
    admin: SocketAddr,
    /// The token that calls of the admin API must carry; needed beyond loopback
    #[arg(long, env = "SQUALL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// Let everybody who can reach it use the admin API, without a token
    #[arg(long)]
    admin_open: bool,
    /// A YAML list of faults that are live from the start, and change with the file
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Keep the faults in this file, so that they survive a restart
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// What decisions are drawn from
    #[arg(long, default_value = "0", value_name = "N")]
    seed: Seed,
    /// Threads that carry traffic; default: one for each core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Append every injection to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// How much of a JSON body is held until it is known what it asks for, such as 64KiB; a larger one
    /// passes unclassified
    #[arg(long, default_value = "64KiB", value_parser = held_size, value_name = "SIZE")]
    classify_limit: usize,
    /// How long the head of a request, or a TLS handshake, may take to come
    #[arg(long, default_value = "30s", value_parser = patience, value_name = "TIME")]
    head_timeout: Duration,
    #[command(flatten, next_help_heading = "TLS for clients")]
    tls: Tls,
    #[command(flatten, next_help_heading = "How upstreams are spoken to")]
    policy: Policy,
}

/// What is held of each request has to fit in memory.
const HELD_MOST: u64 = 64 * 1024 * 1024;

fn held_size(text: &str) -> Result<usize, String> {
    let expected = || format!("`{text}` is no size from 0 to 64MiB, such as 256KiB");
    let size: bytesize::ByteSize = text.parse().map_err(|_| expected())?;
    let size = Some(size.as_u64()).filter(|size| *size <= HELD_MOST).ok_or_else(expected)?;
    usize::try_from(size).map_err(|_| expected())
}

fn patience(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(10)..=Duration::from_hours(1);
    humantime::parse_duration(text)
        .ok()
        .filter(|time| range.contains(time))
        .ok_or_else(|| format!("`{text}` is no time from 10ms to 1h, such as 30s"))
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let mut tcp = arguments.tcp;
    if let Some(path) = &arguments.config {
        tcp.extend(read_toxiproxy(path)?);
    }
    let config = Config {
        listen: arguments.listen,
        tls: arguments.tls.config(),
        upstreams: arguments.upstream,
        policy: arguments.policy.config(),
        limits: Limits { classify: arguments.classify_limit, head: arguments.head_timeout },
        tcp,
        admin: Some(AdminConfig {
            listen: arguments.admin,
            token: arguments.admin_token.filter(|token| !token.is_empty()),
            open: arguments.admin_open,
        }),
        faults: arguments.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default(),
        seed: arguments.seed,
        threads,
        state: arguments.state,
        history: arguments.history,
    };
    runtime()?.block_on(carry(config, arguments.faults))
}

async fn carry(config: Config, faults: Option<PathBuf>) -> Outcome {
    let mut signals = Signals::hear()?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut proxy = Proxy::bind(config).map_err(|error| match error {
        BindError::OpenAdmin(_)
        | BindError::TwoFaults(_)
        | BindError::Faults(_)
        | BindError::Tls { .. }
        | BindError::State { .. } => unusable(error),
        BindError::Listen { .. } | BindError::History { .. } | BindError::Route(..) => {
            not_started(error)
        }
    })?;
    if let Some(address) = proxy.address() {
        tell(format_args!("squall proxy listening on {scheme}://{address}"));
    }
    for (name, address) in proxy.routes() {
        tell(format_args!("route {name} on {address}"));
    }
    if let Some(admin) = proxy.admin_address() {
        tell(format_args!("admin API listening on http://{admin}"));
    }
    let watched = watch(faults, proxy.take_reloader());
    tokio::pin!(watched);
    let stop = CancellationToken::new();
    let run = proxy.run(stop.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => ended.map_err(not_started)?,
        () = &mut watched => {}
        _ = signals.next() => {
            stop.cancel();
            run.await.map_err(not_started)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How often the faults file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Applies the faults file whenever it changes. A file that cannot be used leaves the faults as they are.
/// It never ends.
async fn watch(file: Option<PathBuf>, reloader: Option<Reloader>) {
    let (Some(path), Some(mut reloader)) = (file, reloader) else {
        return std::future::pending().await;
    };
    let mut seen = stamp(&path);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp(&path);
        if now == seen {
            continue;
        }
        seen = now;
        let applied = read_faults(&path)
            .map_err(|failure| format!("{:#}", failure.error))
            .and_then(|faults| {
                let count = faults.len();
                reloader.reload(faults).map(|()| count).map_err(|error| error.to_string())
            });
        match applied {
            Ok(faults) => {
                tracing::info!(faults, path = %path.display(), "faults read again");
            }
            Err(error) => tracing::error!(%error, "the faults stay as they were"),
        }
    }
}

/// What changes when a file does, or another takes its place.
fn stamp(path: &Path) -> Option<(u64, u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

pub(super) fn read_faults(path: &Path) -> Result<Vec<Fault>, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the faults file {}", path.display()))
        .map_err(unusable)?;
    crate::drill::read_yaml(path, &text).map_err(unusable)
}

/// A proxy of Toxiproxy's configuration file. What else it has there is its own business.
#[derive(serde::Deserialize)]
struct ToxiproxyEntry {
    name: String,
    #[serde(default = "any_port")]
    listen: String,
    upstream: String,
    #[serde(default = "yes")]
    enabled: bool,
}

fn any_port() -> String {
    "localhost:0".to_owned()
}

fn yes() -> bool {
    true
}

fn read_toxiproxy(path: &Path) -> Result<Vec<TcpRoute>, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))
        .map_err(unusable)?;
    let entries: Vec<ToxiproxyEntry> = serde_json::from_str(&text)
        .with_context(|| format!("{} is no JSON array of proxies", path.display()))
        .map_err(unusable)?;
    let route = |entry: ToxiproxyEntry| {
        TcpRoute::new(&entry.name, &entry.listen, &entry.upstream, entry.enabled)
    };
    entries.into_iter().map(route).collect::<Result<_, _>>().map_err(unusable)
}
