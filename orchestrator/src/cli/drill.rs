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
use crate::check::Verdict;
use crate::drill::{self, Ask, Drill, Override};
use crate::report::Report;
use crate::report::terminal::{self, View};
use crate::runner::{self, Finished, Interrupt, Options, Plan, RunError, StageError};
use crate::state::StateDir;
use crate::world::spec::{WorldKind, WorldSpec};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run drills: steady state, fault, recovery, rollback, verdict
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

/// How a drill is asked for, beyond its file.
#[derive(clap::Args)]
struct Ways {
    /// Where the servers live: process, docker or external; default: the first that the drill knows
    #[arg(long, value_name = "WORLD")]
    world: Option<WorldKind>,
    /// A variant of the drill, as its page names it
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Replace a value for this run, such as load.sessions=500 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<Override>,
}

impl Ways {
    fn ask(&self) -> Ask {
        Ask { variant: self.variant.clone(), world: self.world, overrides: self.overrides.clone() }
    }
}

#[derive(clap::Args)]
pub(super) struct Look {
    /// The runbook
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What every choice is drawn from; default: drawn anew
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
    #[command(flatten)]
    ways: Ways,
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// The runbooks, run one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What every choice is drawn from; default: drawn anew
    #[arg(long, value_name = "N")]
    seed: Option<Seed>,
    #[command(flatten)]
    ways: Ways,
    /// The folder for reports, histories and logs; default: squall-out/DRILL-SEED-N
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print report.json instead of the report for people
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> Outcome {
    match command {
        Command::Run(run) => run_all(&run),
        Command::Plan(look) => plan(&look),
        Command::Check { files } => Ok(check(&files)),
        Command::List { folder } => list(&folder),
    }
}

/// Runs the drills one after the other. All are read before the first begins.
fn run_all(run: &Run) -> Outcome {
    let read = |file: &PathBuf| drill::load(file, &run.ways.ask()).map_err(unusable);
    let drills = run.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let seed = seed(run.seed)?;
    let state = StateDir::locate().map_err(not_started)?;
    let squall = std::env::current_exe().map_err(not_started)?;
    runtime()?.block_on(async {
        let interrupt = hear_interrupts()?;
        let mut worst = 0;
        for drill in &drills {
            let out = run.folder(drill, seed);
            let options = Options { seed, out, state: state.clone(), squall: squall.clone() };
            let code = run_one(drill, &options, run.json, &interrupt).await;
            worst = worse(worst, code);
            if interrupt.has_happened() {
                break;
            }
        }
        Ok(ExitCode::from(worst))
    })
}

fn hear_interrupts() -> Result<Interrupt, Failure> {
    let mut signals = Signals::hear()?;
    let interrupt = Interrupt::new();
    let heard = interrupt.clone();
    tokio::spawn(async move {
        loop {
            heard.happen(signals.next().await);
        }
    });
    Ok(interrupt)
}

/// Runs one drill, shows what came of it, and gives its exit code.
async fn run_one(drill: &Drill, options: &Options, json: bool, interrupt: &Interrupt) -> u8 {
    let watch = Terminal::new(drill, json);
    let outcome = runner::run(drill, options, interrupt, &watch).await;
    drop(watch);
    let mut shown = false;
    let error = match outcome {
        Ok(Finished { report, out, unwritten }) => {
            show(&report, &out, json);
            if let Some(error) = unwritten {
                tell(format_args!("squall: {}", in_words(&error)));
            }
            return report.exit_code;
        }
        Err(RunError::RollbackIncomplete { run, why, report }) => {
            if let Some(report) = &report {
                show(report, &options.out, json);
                shown = true;
            }
            RunError::RollbackIncomplete { run, why, report: None }
        }
        Err(error) => error,
    };
    tell(format_args!("squall: {}", in_words(&error)));
    let verdict = match error {
        RunError::Interrupted(_) => Verdict::Stopped,
        RunError::RollbackIncomplete { .. } => Verdict::RollbackIncomplete,
        _ => Verdict::NotStarted,
    };
    let code = match &error {
        RunError::Plan(_) => exit::UNUSABLE,
        RunError::Stage(StageError::World(error)) if error.is_of_a_file() => exit::UNUSABLE,
        _ => verdict.exit_code(),
    };
    if json && !shown {
        let (name, reason) = (drill.name.as_str(), in_words(&error));
        say(Report::of_none(name, options.seed, verdict, code, &reason));
    }
    code
}

/// Of two exit codes, the one that counts for both: 4 over 2 over 5 over 1 over 3 over 0.
fn worse(one: u8, other: u8) -> u8 {
    const ORDER: [u8; 6] = [
        0,
        exit::NOT_STARTED,
        exit::BROKEN,
        exit::STOPPED,
        exit::UNUSABLE,
        exit::ROLLBACK_INCOMPLETE,
    ];
    let severity = |code: u8| ORDER.iter().position(|known| *known == code);
    if severity(other) > severity(one) { other } else { one }
}

impl Run {
    /// Where a drill's files go: with several drills, each into a folder of its own.
    fn folder(&self, drill: &Drill, seed: Seed) -> PathBuf {
        match &self.out {
            None => free_folder(Path::new("squall-out"), drill, seed),
            Some(out) if self.files.len() == 1 => out.clone(),
            Some(out) => free_folder(out, drill, seed),
        }
    }
}

fn show(report: &Report, out: &Path, json: bool) {
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
    let view = View { color: std::io::stdout().is_terminal(), width: width(), files };
    put(&terminal::render(report, &view));
}

/// The terminal's width, or what fits most places.
fn width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |size| size.ws_col)
}

fn plan(look: &Look) -> Outcome {
    let drill = drill::load(&look.file, &look.ways.ask()).map_err(unusable)?;
    let seed = seed(look.seed)?;
    let world = drill.world();
    let cast = runtime()?.block_on(world.cast()).map_err(not_started)?;
    let plan = Plan::resolve(&drill, cast, seed).map_err(unusable)?;
    say(format_args!("{} ({}), seed {seed}", drill.title, drill.name.as_str()));
    say(format_args!("world     {}: {}", world.name(), world.targets(&plan.cast).join(", ")));
    say(format_args!("load      {}", drill.load.describe()));
    say(format_args!("baseline  {}", humantime::format_duration(drill.phases.baseline.lasts)));
    say("impact");
    for (place, planned) in plan.steps.iter().enumerate() {
        say(format_args!("  {}. {}", place + 1, planned.describe()));
        if let Some(undo) = planned.step.describe_undo(world.is_own()) {
            say(format_args!("     undo: {undo}"));
        }
    }
    say(format_args!("recovery  {}", humantime::format_duration(drill.phases.recovery.lasts)));
    say(format_args!("at last   {}", at_last(world)));
    say(format_args!("takes about {}", humantime::format_duration(drill.length())));
    Ok(ExitCode::SUCCESS)
}

/// How the run ends, whatever happens in it.
fn at_last(world: &WorldSpec) -> &'static str {
    match world {
        WorldSpec::Process(_) => "take the replicas and the proxy down",
        WorldSpec::Docker(_) if world.is_own() => "take the stack and the proxy down",
        WorldSpec::Docker(_) => "put the containers back as they were, take the proxy down",
        WorldSpec::External(_) => "take the proxy down",
    }
}

fn check(files: &[PathBuf]) -> ExitCode {
    let mut failed = false;
    for file in files {
        match drill::load_all_ways(file) {
            Ok(drill) => {
                say(format_args!("{}: ok: {}{}", file.display(), drill.title, ways(&drill)));
            }
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
        match drill::load_all_ways(&file) {
            Ok(drill) => {
                say(format_args!("{:40} {}{}", file.display(), drill.title, ways(&drill)));
            }
            Err(drill::DrillError::NoDrill { .. }) => {}
            Err(error) => say(format_args!("{:40} ! {}", file.display(), in_words(&error))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// In which worlds and variants a drill can be run.
fn ways(drill: &Drill) -> String {
    let worlds: Vec<_> = drill.worlds.kinds().into_iter().map(WorldKind::name).collect();
    let variants: Vec<_> = drill.variants.keys().map(drill::Name::as_str).collect();
    let variants = match &variants[..] {
        [] => String::new(),
        variants => format!("; variants: {}", variants.join(", ")),
    };
    format!(" ({}{variants})", worlds.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_code_counts_for_several_drills() {
        for (one, other, expected) in
            [(0, 3, 3), (3, 1, 1), (1, 5, 5), (5, 2, 2), (2, 4, 4), (1, 0, 1), (4, 1, 4)]
        {
            assert_eq!((worse(one, other), worse(other, one)), (expected, expected));
        }
    }
}
