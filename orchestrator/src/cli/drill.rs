//! `squall drill`: run, plan, check and list drills.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use squall_model::chance::Seed;

use super::progress::Terminal;
use super::signals::Signals;
use super::{Failure, Outcome, exit, not_started, put, runtime, say, tell, unusable};
use crate::causes::in_words;
use crate::drill::{self, Drill, Override};
use crate::report::Report;
use crate::report::terminal::{self, View};
use crate::runner::{self, Finished, Interrupt, Options, Plan, RunError};
use crate::state::StateDir;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run a drill: steady state, fault, recovery, rollback, verdict
    Run(Run),
    /// Show what a drill would do, with every choice made; touches nothing
    Plan(Look),
    /// Check runbooks; errors carry file, line, column and the accepted names
    Check {
        /// The runbooks
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the runbooks of a folder, a line each
    List {
        /// The folder
        #[arg(default_value = "runbooks", value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
pub(super) struct Look {
    /// The runbook
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What every choice is drawn from; default: drawn anew
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
    /// Replace a value for this run, such as load.sessions=500 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<Override>,
}

#[derive(clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    look: Look,
    /// The folder for reports, histories and logs; default: squall-out/DRILL-SEED-N
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print report.json instead of the report for people
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> Outcome {
    match command {
        Command::Run(run) => run_one(&run),
        Command::Plan(look) => plan(&look),
        Command::Check { files } => Ok(check(&files)),
        Command::List { folder } => list(&folder),
    }
}

fn run_one(run: &Run) -> Outcome {
    let drill = drill::load(&run.look.file, &run.look.overrides).map_err(unusable)?;
    let seed = seed(run.look.seed)?;
    let options = Options {
        seed,
        out: match &run.out {
            Some(out) => out.clone(),
            None => free_folder(Path::new("squall-out"), &drill, seed),
        },
        state: StateDir::locate().map_err(not_started)?,
        squall: std::env::current_exe().map_err(not_started)?,
    };
    let colour = std::io::stdout().is_terminal();
    let interrupt = Interrupt::new();
    let outcome = runtime()?.block_on(async {
        let mut signals = Signals::hear()?;
        let heard = interrupt.clone();
        tokio::spawn(async move {
            loop {
                let name = signals.next().await;
                heard.happen(name);
            }
        });
        let watch = Terminal::new(&drill, run.json);
        Ok(runner::run(&drill, &options, &interrupt, &watch).await)
    })?;
    match outcome {
        Ok(Finished { report, out, unwritten }) => {
            show(&report, &out, run.json, colour);
            if let Some(error) = unwritten {
                tell(format_args!("squall: {}", in_words(&error)));
            }
            Ok(ExitCode::from(report.exit_code))
        }
        Err(RunError::RollbackIncomplete { run: id, why, report }) => {
            if let Some(report) = &report {
                show(report, &options.out, run.json, colour);
            }
            let error = RunError::RollbackIncomplete { run: id, why, report: None };
            Err(Failure::new(exit::ROLLBACK_INCOMPLETE, error))
        }
        Err(error) => {
            let code = match &error {
                RunError::Plan(_) => exit::UNUSABLE,
                RunError::Interrupted(_) => exit::STOPPED,
                _ => exit::NOT_STARTED,
            };
            Err(Failure::new(code, error))
        }
    }
}

fn show(report: &Report, out: &Path, json: bool, colour: bool) {
    if json {
        put(&report.to_json().unwrap_or_default());
        return;
    }
    let files: Vec<PathBuf> =
        ["report.html", "report.json", "history.jsonl", "proxy.jsonl", "logs"]
            .into_iter()
            .map(|name| out.join(name))
            .filter(|path| path.exists())
            .collect();
    let view = View { color: colour, width: width(), files };
    put(&terminal::render(report, &view));
}

/// The terminal's width, or what fits most places.
fn width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |size| size.ws_col)
}

fn plan(look: &Look) -> Outcome {
    let drill = drill::load(&look.file, &look.overrides).map_err(unusable)?;
    let seed = seed(look.seed)?;
    let plan = Plan::resolve(&drill, seed).map_err(unusable)?;
    say(format_args!("{} ({}), seed {seed}", drill.title, drill.name.as_str()));
    say(format_args!("world     {}: {}", drill.world.name(), plan.replicas.join(", ")));
    say(format_args!("load      {}", drill.load.describe()));
    say(format_args!("baseline  {}", humantime::format_duration(drill.phases.baseline.lasts)));
    say("impact");
    for (place, planned) in plan.steps.iter().enumerate() {
        let victims = match &planned.victims[..] {
            [] => String::new(),
            victims => format!(": {}", victims.join(", ")),
        };
        say(format_args!("  {}. {}{victims}", place + 1, planned.step.describe()));
        if let Some(undo) = planned.step.describe_undo() {
            say(format_args!("     undo: {undo}"));
        }
    }
    say(format_args!("recovery  {}", humantime::format_duration(drill.phases.recovery.lasts)));
    say("at last   take the replicas and the proxy down");
    say(format_args!("takes about {}", humantime::format_duration(drill.length())));
    Ok(ExitCode::SUCCESS)
}

fn check(files: &[PathBuf]) -> ExitCode {
    let mut failed = false;
    for file in files {
        match drill::load(file, &[]) {
            Ok(drill) => say(format_args!("{}: ok: {}", file.display(), drill.title)),
            Err(error) => {
                failed = true;
                tell(format_args!("squall: {}", in_words(&error)));
            }
        }
    }
    ExitCode::from(if failed { exit::UNUSABLE } else { 0 })
}

fn list(folder: &Path) -> Outcome {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        unusable(anyhow::anyhow!("cannot read the folder {}: {error}", folder.display()))
    })?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    for file in files {
        // A page without a drill is no runbook.
        match drill::load(&file, &[]) {
            Ok(drill) => say(format_args!("{:40} {}", file.display(), drill.title)),
            Err(drill::DrillError::NoDrill { .. }) => {}
            Err(error) => say(format_args!("{:40} ! {}", file.display(), in_words(&error))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn seed(given: Option<Seed>) -> Result<Seed, Failure> {
    match given {
        Some(seed) => Ok(seed),
        // Short enough to be typed again.
        None => getrandom::u32().map(|number| Seed::new(number.into())).map_err(not_started),
    }
}

/// The first folder of this name that is not there yet.
fn free_folder(parent: &Path, drill: &Drill, seed: Seed) -> PathBuf {
    let name = |number: u32| parent.join(format!("{}-{seed}-{number}", drill.name.as_str()));
    (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}
