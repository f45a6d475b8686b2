//! Runs a drill from its first file to its verdict, and always unwinds what it did.
//!
//! `stage` sets everything up (world, proxy, load), `play` goes through the phases, and whatever
//! happens in between (success, failure, panic, SIGINT, SIGTERM), the stage is struck again and the
//! journal closed. What a SIGKILL leaves behind is for `heal`.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use futures_util::FutureExt as _;
use squall_loadgen::Clock;
use squall_model::chance::Seed;

use crate::causes::in_words;
use crate::check::Verdict;
use crate::drill::Drill;
use crate::journal::{Journal, JournalError};
use crate::report::Report;
use crate::state::{RunDir, StateDir, StateError};

mod act;
mod evidence;
mod interrupt;
mod leases;
mod news;
mod plan;
mod play;
mod proxy;
mod recording;
mod stage;
mod stop;

pub(crate) use interrupt::Interrupt;
pub(crate) use news::{News, Watch};
pub(crate) use plan::Plan;

use play::Played;
use recording::{Recording, RecordingError};
use stage::Stage;
pub(crate) use stage::StageError;

/// How a drill is run, beyond what it says itself.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// What every choice is drawn from.
    pub(crate) seed: Seed,
    /// Where the run's files go.
    pub(crate) out: PathBuf,
    /// Where the journal and the locks are.
    pub(crate) state: StateDir,
    /// Our own executable: it holds the shim, the server and the proxy.
    pub(crate) squall: PathBuf,
}

/// A run that has come to an end, with everything taken down.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What came of it.
    pub(crate) report: Report,
    /// The folder of its files.
    pub(crate) out: PathBuf,
    /// Why the report could not be written there, if it could not.
    pub(crate) unwritten: Option<RecordingError>,
}

/// Why a run came to no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Its plan makes no sense in its world.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// The state could not be locked or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal could not be written, so that nothing was begun.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run's files could not be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// What was recorded could not be read.
    #[error(transparent)]
    Evidence(#[from] evidence::EvidenceError),
    /// The world, the proxy or the load did not start.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// It was interrupted before the first phase.
    #[error("stopped by {0} before the first phase; everything was taken down")]
    Interrupted(String),
    /// Something could not be taken down.
    #[error(
        "the run ended, but not everything could be taken down: {why}; run `squall heal {run}`"
    )]
    RollbackIncomplete {
        /// The run.
        run: String,
        /// What is left.
        why: String,
        /// The report, if it came to one.
        report: Option<Box<Report>>,
    },
}

/// Runs a drill. Everything it started is gone when this returns, or the error says what is not.
pub(crate) async fn run(
    drill: &Drill,
    options: &Options,
    interrupt: &Interrupt,
    watch: &dyn Watch,
) -> Result<Finished, RunError> {
    let world = drill.world();
    let cast = world.cast().await.map_err(StageError::from)?;
    let plan = Plan::resolve(drill, cast, options.seed)?;
    let clock = Clock::start();
    // The lock comes first: the folder may be that of a drill that is alive.
    let run = options.state.begin(world.name())?;
    let recording = Recording::create(&options.out, clock)?;
    let journal = Journal::create(&run, drill.name.as_str(), world.name())?;
    watch.news(News::Begun { run: run.id(), out: &options.out });
    let mut stage = Stage::empty(&run, &journal, &options.out, &options.squall)?;

    let played =
        AssertUnwindSafe(perform(&plan, options, &mut stage, &recording, interrupt, watch))
            .catch_unwind()
            .await;
    watch.news(News::Striking);
    let struck = stage.strike().await;
    let rolled_back = struck
        .map_err(|error| in_words(&error))
        .and_then(|()| journal.end().map_err(|error| in_words(&error)));
    let played = match played {
        Ok(played) => played,
        Err(panic) => {
            if let Err(why) = &rolled_back {
                tracing::error!(run = %run.id(), "not everything could be taken down: {why}; run `squall heal`");
            }
            std::panic::resume_unwind(panic)
        }
    };
    conclude(drill, &plan, options, &run, &recording, played, rolled_back)
}

/// Sets the stage and plays the drill on it.
async fn perform(
    plan: &Plan<'_>,
    options: &Options,
    stage: &mut Stage,
    recording: &Recording,
    interrupt: &Interrupt,
    watch: &dyn Watch,
) -> Result<Played, RunError> {
    tokio::select! {
        set = stage.set(plan, options, recording, watch) => set?,
        reason = interrupt.wait() => return Err(RunError::Interrupted(reason)),
    }
    let played = play::play(plan, stage, recording, interrupt, watch).await;
    stage.end_load(played.stopped.is_some(), watch).await;
    Ok(played)
}

/// Turns what was recorded into a report.
fn conclude(
    drill: &Drill,
    plan: &Plan<'_>,
    options: &Options,
    run: &RunDir,
    recording: &Recording,
    played: Result<Played, RunError>,
    rolled_back: Result<(), String>,
) -> Result<Finished, RunError> {
    let incomplete =
        |why, report| RunError::RollbackIncomplete { run: run.id().to_string(), why, report };
    let played = match (played, rolled_back.clone()) {
        (Ok(played), _) => played,
        (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(why)) => {
            return Err(incomplete(format!("{why} (after: {})", in_words(&error)), None));
        }
    };
    let evidence = match evidence::gather(drill, plan, options, run.id(), recording, played) {
        Ok(evidence) => evidence,
        // What is still there is worse than what cannot be read.
        Err(error) => {
            let why = rolled_back.err();
            return Err(why.map_or_else(|| error.into(), |why| incomplete(why, None)));
        }
    };
    let mut report = Report::from(&evidence);
    if let Err(why) = &rolled_back {
        report.overrule(Verdict::RollbackIncomplete, why);
    }
    let unwritten = recording.write_reports(&report).err();
    if unwritten.is_some() {
        report.overrule(Verdict::Unknown, "The report could not be written.");
    }
    match rolled_back {
        Ok(()) => Ok(Finished { report, out: options.out.clone(), unwritten }),
        Err(why) => Err(incomplete(why, Some(Box::new(report)))),
    }
}
