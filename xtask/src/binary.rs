//! The `squall` binary: built as it is wanted, and found where cargo put it.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{cargo, run};

const BUILD_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// As the tests use it: of the whole workspace, with the features that its tests were built with.
pub(crate) fn for_tests() -> Result<PathBuf> {
    build("debug", &["build", "--workspace", "--bin", "squall"])
}

/// As people use it.
pub(crate) fn release() -> Result<PathBuf> {
    build("release", &["build", "--release", "--package", "squall"])
}

fn build(profile: &str, arguments: &[&str]) -> Result<PathBuf> {
    eprintln!("cargo {}", arguments.join(" "));
    ensure!(run(cargo().args(arguments), BUILD_DEADLINE)?.success, "`squall` does not build");
    let here = env::current_exe().context("cannot tell where this program lies")?;
    let target = here.ancestors().nth(2).context("this program lies in no target folder")?;
    let squall = target.join(profile).join(format!("squall{}", env::consts::EXE_SUFFIX));
    ensure!(squall.exists(), "no `squall` at {}", squall.display());
    Ok(squall)
}
