//! Developer commands: `cargo xtask test` and `cargo xtask ci`.

mod ci;
mod command;
mod group;
mod interrupt;
mod part;
mod peers;
mod replica;
mod setup;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use part::{all_well, table};

/// What developers of Squall run, and what CI runs.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test that this machine can run, and names those that it cannot.
    ///
    /// A part that is missing is skipped, unless `SQUALL_REQUIRE` (a comma-separated list, such as
    /// `python,node`) names it: then it is a failure.
    Test {
        /// Installs what the tests need first (as root on Debian; elsewhere it says what is missing)
        #[arg(long)]
        setup: bool,
    },
    /// Checks format and lints, and runs what `test --setup` runs.
    Ci,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = interrupt::hear() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let parts = match command {
        Command::Test { setup } => test::run(setup),
        Command::Ci => ci::run(),
    };
    interrupt::await_end_if_heard();
    println!("{}", table(&parts));
    if all_well(&parts) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().unwrap_or(crate_root).to_owned()
}
