//! `cargo xtask ci`: what has to hold before a change is taken.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Ended, cargo, run as run_command};
use crate::part::Part;
use crate::{setup, test};

const DEADLINE: Duration = Duration::from_secs(60 * 60);

const FORMAT: &[&str] = &["fmt", "--all", "--", "--check"];
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// Runs the checks in the order of their cost. All of them run, so that one run says everything.
pub(crate) fn run() -> Vec<Part> {
    setup::install_components();
    let mut parts = vec![Part::of("format", check(FORMAT)), Part::of("lints", check(LINTS))];
    parts.extend(test::run(true));
    parts
}

fn check(arguments: &[&str]) -> Result<Ended> {
    eprintln!("cargo {}", arguments.join(" "));
    run_command(cargo().args(arguments), DEADLINE).context("it did not run")
}
