//! The command line: arguments become a checked config, and a library does the work.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod admin;
mod completions;
mod drill;
mod fault;
mod heal;
mod load;
mod progress;
mod proxy;
mod route;
mod schema;
mod server;
mod sessions;
mod signals;
mod upstream;

/// Exit codes, the same everywhere.
mod exit {
    /// A hypothesis or a threshold failed.
    pub(super) const BROKEN: u8 = 1;
    /// Arguments or a file cannot be used.
    pub(super) const UNUSABLE: u8 = 2;
    /// It could not be told, or could not begin.
    pub(super) const NOT_STARTED: u8 = 3;
    /// Something could not be put back.
    pub(super) const ROLLBACK_INCOMPLETE: u8 = 4;
    /// A stop condition or an interrupt; all was put back.
    pub(super) const STOPPED: u8 = 5;
}

/// Chaos drills for MCP servers and clients.
///
/// Exit codes: 0 held, 1 broken, 2 unusable arguments or file, 3 unknown or not started,
/// 4 rollback incomplete, 5 stopped.
#[derive(Parser)]
#[command(name = "squall", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run and check drills: steady state, fault, recovery, verdict.
    #[command(subcommand)]
    Drill(drill::Command),
    /// Undo what a drill that was killed could not undo itself.
    Heal(heal::Arguments),
    /// Put a fault-injecting proxy in front of MCP servers.
    Proxy(proxy::Arguments),
    /// Add, list and remove the faults of a running proxy.
    Fault(fault::Arguments),
    /// Show what a running proxy knows of sessions, from the wire alone.
    Sessions(sessions::Arguments),
    /// Make, change and remove the TCP routes of a running proxy.
    Route(route::Arguments),
    /// List and drain the replicas behind a running proxy.
    Upstream(upstream::Arguments),
    /// Run the MCP test server: Streamable HTTP with sessions, at /mcp.
    Server(server::Arguments),
    /// Drive load against any MCP server.
    #[command(subcommand)]
    Load(load::Command),
    /// Print the JSON Schema of what people write.
    Schema(schema::Arguments),
    /// Print completions for a shell.
    Completions(completions::Arguments),
    /// Run a command and take its whole tree along when it goes.
    #[command(hide = true)]
    Shim {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// The shim's second stage.
    #[command(hide = true)]
    ShimExec {
        parent: u32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Something that ends a command, with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}")]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }
}

/// Arguments or a file that cannot be used.
fn unusable(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(exit::UNUSABLE, error)
}

/// What could not begin.
fn not_started(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(exit::NOT_STARTED, error)
}

type Outcome = Result<ExitCode, Failure>;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Shim { command } => squall_shim(crate::shim::run(&command)),
        Command::ShimExec { parent, command } => squall_shim(crate::shim::exec(parent, &command)),
        command => run(command),
    };
    outcome.unwrap_or_else(|failure| {
        tell(format_args!("squall: {failure}"));
        ExitCode::from(failure.code)
    })
}

fn run(command: Command) -> Outcome {
    log_to_stderr();
    match command {
        Command::Drill(command) => drill::run(command),
        Command::Heal(arguments) => heal::run(&arguments),
        Command::Proxy(arguments) => proxy::run(arguments),
        Command::Fault(arguments) => fault::run(arguments),
        Command::Sessions(arguments) => sessions::run(arguments),
        Command::Route(arguments) => route::run(arguments),
        Command::Upstream(arguments) => upstream::run(arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
        Command::Server(arguments) => server::run(arguments),
        Command::Load(command) => load::run(command),
        Command::Shim { .. } | Command::ShimExec { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn squall_shim<T>(outcome: Result<T, impl Into<anyhow::Error>>) -> Outcome {
    outcome.map(|_| ExitCode::SUCCESS).map_err(|error| Failure::new(exit::BROKEN, error))
}

/// `SQUALL_LOG` chooses what is logged, such as `debug` or `squall_proxy=info`; default: warnings,
/// and what the proxy injects. `SQUALL_LOG_FORMAT=json` writes a JSON object a line.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SQUALL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,squall_proxy=info,squall_server=info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let logs = logs.with_target(false).log_internal_errors(false);
    if std::env::var("SQUALL_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().flatten_event(true).init();
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

/// Prints a line on stdout. A reader that has gone away, such as `head`, is no error.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints a text on stdout that ends its own lines.
fn put(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints a line on stderr. A drill goes on, and takes everything down, though nobody reads it.
fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A runtime for commands that mostly wait.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(not_started)
}
