//! Developer commands: `cargo xtask test`, `ci`, `images`, `docs` and `bench`.

mod bench;
mod binary;
mod ci;
mod command;
mod docs;
mod engine;
mod fuzz;
mod group;
mod images;
mod interrupt;
mod part;
mod peers;
mod replica;
mod setup;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use part::{Part, all_well, table};

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
    /// `python,node,docker,redis,browser,nightly`) names it: then it is a failure.
    Test {
        /// Installs what the tests need first, and starts a Docker engine until they have ended, if
        /// none answers (as root on Debian; elsewhere it says what is missing)
        #[arg(long)]
        setup: bool,
    },
    /// Checks format and lints, and runs what `test --setup` runs.
    Ci,
    /// Builds every image that compose/docker-compose.yml names, without an image registry.
    ///
    /// It needs a Docker engine, Debian's packages and, the first time, root. `compose/.env` then
    /// makes the Compose file use these images.
    Images(images::Arguments),
    /// Writes what docs/faults.md takes from the types, and docs/openapi.json.
    Docs,
    /// Measures, next to what others do.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = interrupt::hear() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let is_well = match command {
        Command::Test { setup } => tell(&test::run(setup)),
        Command::Ci => tell(&ci::run()),
        Command::Images(arguments) => build_images(&arguments),
        Command::Docs => write_docs(),
        Command::Bench(bench) => measure(&bench),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows how the parts of a run ended.
fn tell(parts: &[Part]) -> bool {
    interrupt::await_end_if_heard();
    println!("{}", table(parts));
    all_well(parts)
}

fn build_images(arguments: &images::Arguments) -> bool {
    let built = images::run(arguments);
    interrupt::await_end_if_heard();
    built.inspect_err(|error| eprintln!("error: {error:#}")).is_ok()
}

fn write_docs() -> bool {
    docs::write().inspect_err(|error| eprintln!("error: {error:#}")).is_ok()
}

fn measure(bench: &bench::Bench) -> bool {
    let measured = bench::run(bench);
    interrupt::await_end_if_heard();
    measured.inspect_err(|error| eprintln!("error: {error:#}")).is_ok()
}

/// The root of the workspace.
fn root() -> PathBuf {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().unwrap_or(crate_root).to_owned()
}
