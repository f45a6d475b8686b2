//! `squall proxy`: the fault-injecting proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use squall_model::chance::Seed;
use squall_model::fault::Fault;
use squall_proxy::config::UpstreamAddress;
use squall_proxy::{AdminConfig, BindError, Config, Proxy};
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::{Failure, Outcome, not_started, runtime, tell, unusable};

/// Put a fault-injecting proxy in front of MCP servers.
#[derive(clap::Args)]
#[command(after_help = "\
Sessions stay on the replica that made them and fail over when it cannot be reached. Faults come
from a file, or are added while it runs: see `squall fault`. The log goes to stderr;
SQUALL_LOG=warn leaves out what is injected.")]
pub(super) struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A replica behind the proxy (repeatable)
    #[arg(long, required = true, value_name = "http://HOST:PORT")]
    upstream: Vec<UpstreamAddress>,
    /// Where the admin API listens
    #[arg(long, default_value = super::fault::ADMIN, value_name = "ADDRESS")]
    admin: SocketAddr,
    /// The token that calls of the admin API must carry; needed beyond loopback
    #[arg(long, env = "SQUALL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// Let everybody who can reach it use the admin API, without a token
    #[arg(long)]
    admin_open: bool,
    /// A YAML list of faults that are live from the start
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// What decisions are drawn from
    #[arg(long, default_value = "0", value_name = "N")]
    seed: Seed,
    /// Threads that carry traffic; default: one for each core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Append every injection to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let config = Config {
        listen: arguments.listen,
        upstreams: arguments.upstream,
        admin: Some(AdminConfig {
            listen: arguments.admin,
            token: arguments.admin_token.filter(|token| !token.is_empty()),
            open: arguments.admin_open,
        }),
        faults: arguments.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default(),
        seed: arguments.seed,
        threads,
        history: arguments.history,
    };
    runtime()?.block_on(carry(config))
}

async fn carry(config: Config) -> Outcome {
    let mut signals = Signals::hear()?;
    let proxy = Proxy::bind(config).map_err(|error| match error {
        BindError::OpenAdmin(_) | BindError::NoUpstream | BindError::TwoFaults(_) => {
            unusable(error)
        }
        BindError::Listen { .. } | BindError::History { .. } => not_started(error),
    })?;
    tell(format_args!("squall proxy listening on http://{}", proxy.address()));
    if let Some(admin) = proxy.admin_address() {
        tell(format_args!("admin API on http://{admin}"));
    }
    let stop = CancellationToken::new();
    let run = proxy.run(stop.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => ended.map_err(not_started)?,
        _ = signals.next() => {
            stop.cancel();
            run.await.map_err(not_started)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_faults(path: &Path) -> Result<Vec<Fault>, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the faults file {}", path.display()))
        .map_err(unusable)?;
    crate::drill::read_yaml(path, &text).map_err(unusable)
}
