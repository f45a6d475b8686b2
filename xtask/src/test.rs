//! `cargo xtask test`: the workspace's tests, then the peers'.

use std::time::Duration;

use crate::command::{cargo, run as run_command};
use crate::part::{Part, all_well, table};
use crate::{peers, setup};

/// A first build of everything on a small machine is within.
const DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

/// Runs everything; false if a part failed.
pub(crate) fn run(with_setup: bool) -> bool {
    if with_setup {
        setup::install();
    }
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    let mut parts = vec![Part::of("workspace", run_command(&mut tests, DEADLINE))];
    parts.extend(peers::run_all());
    println!("{}", table(&parts));
    all_well(&parts)
}
