//! The `squall` binary: turns arguments into a checked config and calls the house.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use squall::state::{RunId, StateDir};

/// Exit code: something could not be rolled back.
const INCOMPLETE: u8 = 4;

#[derive(Parser)]
#[command(name = "squall", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Undoes what a drill that was killed could not undo itself.
    Heal {
        /// The run, as the drill named it; without it, all runs that need it.
        run: Option<RunId>,
    },
    /// Runs a command and takes its whole tree along when it goes.
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

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("squall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Heal { run } => return heal(run.as_ref()),
        Command::Shim { command } => squall::shim::run(&command)?,
        Command::ShimExec { parent, command } => squall::shim::exec(parent, &command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn heal(run: Option<&RunId>) -> anyhow::Result<ExitCode> {
    let healed = squall::heal::heal(&StateDir::locate()?, run)?;
    for run in &healed.runs {
        println!("run {} ({}):", run.run, run.drill);
        run.lines.iter().for_each(|line| println!("  {line}"));
    }
    for alive in &healed.alive {
        println!("left alone: {alive}");
    }
    if healed.is_nothing() {
        println!("nothing to heal");
    }
    let code = if healed.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INCOMPLETE)
    };
    for error in healed.failed {
        eprintln!("squall: {:#}", anyhow::Error::new(error));
    }
    Ok(code)
}
