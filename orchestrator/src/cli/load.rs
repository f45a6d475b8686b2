//! `squall load run`: the load generator against any MCP server.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use parking_lot::Mutex;
use serde_json::json;
use squall_loadgen::{
    Arrivals, Clock, Extent, Load, Mix, OperationSummary, Plan, Rate, Sample, Sessions, Sink,
    Summary, Target, Threshold, Verdict,
};
use squall_model::chance::Seed;
use squall_model::history::Operation;
use squall_model::mcp::era::ProtocolVersion;

use super::progress::{bar, in_words};
use super::signals::Signals;
use super::{Outcome, exit, not_started, runtime, say, tell};

/// How often the line of progress moves.
const TELL_EVERY: Duration = Duration::from_millis(200);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run sessions against a server and sum up what they met
    Run(Run),
}

/// Run sessions against a server and sum up what they met.
#[derive(clap::Args)]
#[command(after_help = "\
With a rate, operations are due at fixed times whether or not earlier ones were answered, and
latency counts from when they were due. With --think, each session waits for its answer first.

On a server other than `squall server`, the default mix is its tools: those annotated as read-only,
if there are any, else all that are not annotated as destructive. --mix names what may be called.")]
pub(super) struct Run {
    /// The MCP endpoint
    #[arg(value_name = "URL")]
    target: Target,
    /// How many sessions, each a client of its own
    #[arg(long, default_value = "10", value_name = "N")]
    sessions: Sessions,
    /// Operations a second, over all sessions
    #[arg(long, default_value = "50", value_name = "N")]
    rate: Rate,
    /// Each session waits for its answer, thinks about so long, and goes on; replaces --rate
    #[arg(long, conflicts_with = "rate", value_parser = humantime::parse_duration, value_name = "TIME")]
    think: Option<Duration>,
    /// For how long
    #[arg(long, short, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Duration,
    /// What operations do: default, or names with weights, such as fast-echo=80,tools/list=20
    #[arg(long, default_value = "default", value_name = "MIX")]
    mix: Mix,
    /// How long one request may take
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// What everything is drawn from
    #[arg(long, default_value = "0", value_name = "N")]
    seed: Seed,
    /// The protocol version that clients ask for
    #[arg(long, default_value_t = ProtocolVersion::LATEST, value_name = "VERSION")]
    protocol: ProtocolVersion,
    /// What must hold, in k6's notation, such as "p(95)<500" (repeatable); default: rate<0.01
    #[arg(long = "threshold", value_name = "THRESHOLD")]
    thresholds: Vec<Threshold>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> Outcome {
    let Command::Run(run) = command;
    runtime()?.block_on(drive(run))
}

async fn drive(run: Run) -> Outcome {
    let mut signals = Signals::hear()?;
    let samples = Arc::new(Samples::default());
    let mut load = Load::start(plan(&run), Clock::start(), samples.clone());
    let interrupted = tokio::select! {
        ready = load.ready() => {
            let ready = ready.map_err(not_started)?;
            if !run.json {
                tell(format_args!("{} sessions are open; they do {}", ready.sessions, ready.mix));
            }
            until_ended(&mut load, &run, &mut signals).await
        }
        name = signals.next() => Some(name),
    };
    let summary = load.stop().await;
    let verdicts = samples.judge(&run.thresholds());
    print(&summary, &verdicts, run.json)?;
    if let Some(name) = interrupted {
        tell(format_args!("squall: stopped by {name}"));
        return Ok(ExitCode::from(exit::STOPPED));
    }
    let holds = summary.totals.operations > 0 && verdicts.iter().all(|(_, verdict)| verdict.holds);
    Ok(ExitCode::from(if holds { 0 } else { exit::BROKEN }))
}

fn plan(run: &Run) -> Plan {
    let mut plan = Plan::new(run.target.clone(), run.seed);
    plan.sessions = run.sessions;
    plan.arrivals = match run.think {
        Some(think) => Arrivals::Closed { think },
        None => Arrivals::Open { rate: run.rate },
    };
    plan.extent = Extent::For(run.duration);
    plan.mix = run.mix.clone();
    plan.timeout = run.timeout;
    plan.grace = run.timeout;
    plan.version = run.protocol;
    plan
}

/// Shows where the load stands until it ends, or until a signal, whose name comes back.
async fn until_ended(load: &mut Load, run: &Run, signals: &mut Signals) -> Option<&'static str> {
    let bar = bar(std::io::stderr().is_terminal() && !run.json);
    let interrupted = loop {
        tokio::select! {
            () = load.finished() => break None,
            name = signals.next() => break Some(name),
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
        bar.set_message(in_words(load.progress()));
    };
    bar.finish_and_clear();
    interrupted
}

impl Run {
    fn thresholds(&self) -> Vec<Threshold> {
        if self.thresholds.is_empty() {
            vec![Threshold::standard()]
        } else {
            self.thresholds.clone()
        }
    }
}

/// What thresholds need of each operation, and no more.
#[derive(Debug, Default)]
struct Samples(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    names: BTreeSet<Arc<str>>,
    samples: Vec<(Arc<str>, Option<Duration>, bool)>,
}

impl Sink for Samples {
    fn record(&self, operation: Operation) {
        if operation.is_handshake() || squall_loadgen::is_setup(operation.id) {
            return;
        }
        let sample = Sample::of(&operation, None);
        let (duration, failed) = (sample.duration, sample.failed);
        let mut kept = self.0.lock();
        // One text for each name, however many operations have it.
        let name = if let Some(name) = kept.names.get(&operation.name) {
            name.clone()
        } else {
            kept.names.insert(operation.name.clone());
            operation.name
        };
        kept.samples.push((name, duration, failed));
    }
}

impl Samples {
    fn judge(&self, thresholds: &[Threshold]) -> Vec<(Threshold, Verdict)> {
        let kept = self.0.lock();
        let samples = || {
            kept.samples.iter().map(|(name, duration, failed)| Sample {
                operation: name,
                phase: None,
                duration: *duration,
                failed: *failed,
            })
        };
        thresholds
            .iter()
            .map(|threshold| (threshold.clone(), threshold.evaluate(samples())))
            .collect()
    }
}

fn print(
    summary: &Summary,
    verdicts: &[(Threshold, Verdict)],
    as_json: bool,
) -> Result<(), super::Failure> {
    if as_json {
        let mut value = serde_json::to_value(summary).map_err(not_started)?;
        value["thresholds"] = verdicts
            .iter()
            .map(|(threshold, verdict)| {
                json!({
                    "threshold": threshold.to_string(),
                    "observed": verdict.observed,
                    "holds": verdict.holds,
                })
            })
            .collect();
        say(format_args!("{}", serde_json::to_string_pretty(&value).map_err(not_started)?));
        return Ok(());
    }
    let totals = &summary.totals;
    say(format_args!(
        "{} operations in {:.1} s ({:.1}/s): {} ok, {} failed, {} unknown ({:.2} % ok)",
        totals.operations,
        summary.seconds,
        summary.rate,
        totals.ok,
        totals.failed,
        totals.unknown,
        summary.success_ratio() * 100.0
    ));
    let sessions = &summary.sessions;
    say(format_args!(
        "{} sessions, {} re-initialised, {} never ready",
        sessions.total, sessions.reinitialised, sessions.never_ready
    ));
    say(format_args!("\n{}", table(summary)));
    if !summary.errors.is_empty() {
        say("\nerrors by cause");
        for (cause, count) in &summary.errors {
            say(format_args!("  {count:>8}  {cause}"));
        }
    }
    say("\nthresholds");
    for (threshold, verdict) in verdicts {
        let mark = if verdict.holds { "✓" } else { "✗" };
        let observed = verdict.observed.map_or("nothing".to_owned(), |value| format!("{value:.3}"));
        say(format_args!("  {mark} {threshold} (observed {observed})"));
    }
    Ok(())
}

fn table(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "operation, ms from due",
        "count",
        "failed",
        "unknown",
        "p50",
        "p90",
        "p95",
        "p99",
        "p99.9",
        "max",
    ]);
    for operation in summary.operations.iter().chain(&summary.setup) {
        table.add_row(row(operation));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(operation: &OperationSummary) -> Vec<String> {
    let counts = &operation.counts;
    let mut row = vec![operation.name.clone()];
    row.extend([counts.operations, counts.failed, counts.unknown].map(|count| count.to_string()));
    let latency = operation.latency_ms.as_ref();
    let values = latency.map(|l| [l.p50, l.p90, l.p95, l.p99, l.p99_9, l.max]);
    match values {
        Some(values) => row.extend(values.map(|value| format!("{value:.2}"))),
        None => row.extend(["-"; 6].map(str::to_owned)),
    }
    row
}
