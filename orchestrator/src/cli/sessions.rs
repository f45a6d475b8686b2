//! `squall sessions`: what a running proxy knows of sessions.

use std::process::ExitCode;
use std::time::Duration;

use squall_proxy::client::{LedgerView, SessionState, SessionView};

use super::admin::{AdminArguments, failure, say_json, table};
use super::{Outcome, runtime, say};

/// Show what a running proxy knows of sessions, from the wire alone.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Only sessions in this state
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// So many at most, those that were used last
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Show them again each second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// A state, as people type it.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum State {
    Open,
    Deleted,
    Expired,
    Gone,
}

impl State {
    fn is(self, state: SessionState) -> bool {
        matches!(
            (self, state),
            (Self::Open, SessionState::Open)
                | (Self::Deleted, SessionState::Deleted)
                | (Self::Expired, SessionState::Expired)
                | (Self::Gone, SessionState::Gone)
        )
    }
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    runtime()?.block_on(call(arguments))
}

async fn call(arguments: Arguments) -> Outcome {
    let client = arguments.admin.client();
    loop {
        let mut ledger = client.sessions().await.map_err(failure)?;
        if let Some(state) = arguments.state {
            ledger.sessions.retain(|session| state.is(session.state));
        }
        let found = ledger.sessions.len();
        ledger.sessions.truncate(arguments.limit);
        if arguments.admin.json {
            say_json(&ledger)?;
        } else {
            print(&ledger, found);
        }
        if !arguments.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn print(ledger: &LedgerView, found: usize) {
    let mut rows = table([
        "SESSION", "STATE", "CLIENT", "UPSTREAM", "AGE", "IDLE", "REQUESTS", "ERRORS", "STREAMS",
        "BECAME", "WAY BACK",
    ]);
    for session in &ledger.sessions {
        rows.add_row(row(session));
    }
    if !ledger.sessions.is_empty() {
        say(rows);
    }
    let shown = ledger.sessions.len();
    say(format_args!(
        "{shown} of {found} sessions; {} known, {} made room",
        ledger.known, ledger.evicted
    ));
}

fn row(session: &SessionView) -> [String; 11] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match session.state {
        SessionState::Open => "open",
        SessionState::Deleted => "deleted",
        SessionState::Expired => "expired",
        SessionState::Gone => "gone",
    };
    let client = session.client.as_ref().map(|name| match &session.client_version {
        Some(version) => format!("{name} {version}"),
        None => name.clone(),
    });
    let streams = &session.streams;
    [
        short(&session.id),
        state.to_owned(),
        or_dash(client),
        or_dash(
            session.upstream.as_deref().map(|url| url.trim_start_matches("http://").to_owned()),
        ),
        time(session.age_ms),
        time(session.idle_ms),
        session.requests.to_string(),
        session.errors.to_string(),
        format!("{} open, {} cut", streams.open, streams.cut),
        or_dash(session.successor.as_deref().map(short)),
        or_dash(session.way_back.total_ms.map(time)),
    ]
}

/// The beginning of an id, which is long and random.
fn short(id: &str) -> String {
    let head: String = id.chars().take(8).collect();
    if head.len() < id.len() { format!("{head}…") } else { head }
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{:.0} min", ms / 60_000.0),
    }
}
