//! `squall completions`: what a shell needs to complete the command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::put;

/// Print completions for a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  squall completions bash > /etc/bash_completion.d/squall")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut script = Vec::new();
    generate(arguments.shell, &mut super::Arguments::command(), "squall", &mut script);
    put(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
