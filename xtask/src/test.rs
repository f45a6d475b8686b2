//! `cargo xtask test`: the images that tests use, the workspace's tests, the peers', then the fuzz targets.

use std::env;
use std::time::Duration;

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::engine::Engine;
use crate::part::{Part, with_tests};
use crate::{fuzz, images, peers, setup};

/// A first build of everything on a small machine is within. CI has to end by itself to say what failed.
const DEADLINE: Duration = Duration::from_secs(45 * 60);

/// Runs everything. The engine is there to the end.
pub(crate) fn run(with_setup: bool) -> Vec<Part> {
    let engine = if with_setup { set_up() } else { find() };
    let mut parts = vec![images_part(engine.as_ref())];
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    parts.push(Part::of("workspace", with_tests(run_command(&mut tests, DEADLINE))));
    parts.extend(peers::run_all());
    parts.extend(fuzz::run_all());
    parts
}

fn set_up() -> Result<Engine> {
    setup::install();
    Engine::find_or_start()
}

/// An engine that has what only `--setup` brings.
fn find() -> Result<Engine> {
    let engine = Engine::find()?;
    images::ensure_their_root()?;
    Ok(engine)
}

fn images_part(engine: Result<&Engine, &anyhow::Error>) -> Part {
    let required = env::var("SQUALL_REQUIRE").unwrap_or_default();
    match engine {
        Ok(_) => Part::of("images", images::for_tests()),
        Err(why) => Part::lacking("images".to_owned(), "docker", format!("{why:#}"), &required),
    }
}
