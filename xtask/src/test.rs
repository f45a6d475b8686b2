//! `cargo xtask test`: the workspace's tests, then the peers'.

use std::time::Duration;

use crate::command::{cargo, run as run_command};
use crate::part::{Part, with_tests};
use crate::{peers, setup};

/// A first build of everything on a small machine is within.
const DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

/// Runs everything.
pub(crate) fn run(with_setup: bool) -> Vec<Part> {
    if with_setup {
        setup::install();
    }
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    let mut parts = vec![Part::of("workspace", with_tests(run_command(&mut tests, DEADLINE)))];
    parts.extend(peers::run_all());
    parts
}
