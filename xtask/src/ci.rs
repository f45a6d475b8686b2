//! `cargo xtask ci`: what has to hold before a change is taken.

use std::time::Duration;

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::test;

const DEADLINE: Duration = Duration::from_secs(60 * 60);

const FORMAT: &[&str] = &["fmt", "--all", "--", "--check"];
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

/// Runs the checks in the order of their cost; false at the first that fails.
pub(crate) fn run() -> Result<bool> {
    for check in [FORMAT, LINTS] {
        eprintln!("cargo {}", check.join(" "));
        if !run_command(cargo().args(check), DEADLINE)?.success {
            eprintln!("error: `cargo {}` failed", check.join(" "));
            return Ok(false);
        }
    }
    Ok(test::run(true))
}
