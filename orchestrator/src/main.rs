//! The `squall` binary: turns arguments into a checked config and calls the house.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "squall", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
        Command::Shim { command } => squall::shim::run(&command)?,
        Command::ShimExec { parent, command } => squall::shim::exec(parent, &command)?,
    }
    Ok(ExitCode::SUCCESS)
}
