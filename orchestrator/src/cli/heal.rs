//! `squall heal`: undoes what a drill that was killed could not undo itself.

use std::process::ExitCode;

use super::{Failure, Outcome, exit, not_started, say, tell};
use crate::heal::HealError;
use crate::state::{RunId, StateDir};

/// Undo what a drill that was killed could not undo itself.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The run, as the drill named it; default: all runs that need it
    #[arg(value_name = "RUN")]
    run: Option<RunId>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let state = StateDir::locate().map_err(not_started)?;
    let healed = crate::heal::heal(&state, arguments.run.as_ref()).map_err(failure)?;
    for run in &healed.runs {
        say(format_args!("run {} ({}):", run.run, run.drill));
        for line in &run.lines {
            say(format_args!("  {line}"));
        }
    }
    for alive in &healed.alive {
        say(format_args!("left alone: {alive}"));
    }
    for error in &healed.failed {
        tell(format_args!("squall: {error}"));
    }
    let code = if !healed.failed.is_empty() {
        exit::ROLLBACK_INCOMPLETE
    } else if !healed.alive.is_empty() {
        exit::NOT_STARTED
    } else {
        0
    };
    if healed.is_nothing() && code == 0 {
        say("nothing to heal");
    }
    Ok(ExitCode::from(code))
}

fn failure(error: HealError) -> Failure {
    let code = match &error {
        HealError::State(_) => exit::NOT_STARTED,
        _ => exit::ROLLBACK_INCOMPLETE,
    };
    Failure::new(code, error)
}
