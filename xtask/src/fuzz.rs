//! What reads bytes of strangers, held against any bytes for a while: the targets of model/fuzz.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{Counts, Ended, command, run, succeeds};
use crate::part::Part;
use crate::root;

/// THE list of targets.
const TARGETS: &[&str] = &["classifier", "events", "faults"];
/// The version of `cargo fuzz` that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";
/// How long each target runs, in seconds; its build is not counted.
const SECONDS: &str = "20";

const PROBE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Runs each target for a while. They need a nightly compiler: without one they are skipped.
pub(crate) fn run_all() -> Vec<Part> {
    let required = env::var("SQUALL_REQUIRE").unwrap_or_default();
    let tool = tool();
    let part = |target: &&str| {
        let name = format!("fuzz {target}");
        match &tool {
            Ok(tool) => Part::of(name, run_one(tool, target)),
            Err(why) => Part::lacking(name, "nightly", format!("{why:#}"), &required),
        }
    };
    TARGETS.iter().map(part).collect()
}

fn run_one(tool: &Path, target: &str) -> Result<Ended> {
    eprintln!("fuzzing {target} for {SECONDS} s");
    let corpus = format!("target/fuzz/corpus/{target}");
    fs::create_dir_all(root().join(&corpus)).context("cannot make a folder for the corpus")?;
    let time = format!("-max_total_time={SECONDS}");
    let limits = [&*time, "-timeout=5", "-rss_limit_mb=1024", "-verbosity=0"];
    let mut fuzz = command(tool);
    fuzz.args(["fuzz", "run", "--fuzz-dir", "model/fuzz", "--target-dir", "target/fuzz", target]);
    // What it finds worth keeping goes into the first folder; it begins with what is in both.
    fuzz.args([&corpus, &format!("model/fuzz/seeds/{target}")]).arg("--").args(limits);
    // It asks rustup for the compiler by this name.
    fuzz.env("RUSTUP_TOOLCHAIN", "nightly");
    let ended = run(&mut fuzz, DEADLINE)?;
    let counts = Counts { passed: ended.success.into(), failed: (!ended.success).into() };
    Ok(Ended { counts, failures: vec![format!("target {target}: see above")], ..ended })
}

/// Whether there is a compiler that they can be built with.
pub(crate) fn has_nightly() -> bool {
    succeeds(command("rustc").args(["+nightly", "--version"]), PROBE)
}

/// `cargo fuzz`, in a folder of this checkout.
fn tool() -> Result<PathBuf> {
    ensure!(has_nightly(), "no nightly compiler (rustup toolchain install nightly)");
    let folder = root().join("target/tools");
    let tool = folder.join("bin/cargo-fuzz");
    if !tool.exists() {
        eprintln!("installing cargo-fuzz {CARGO_FUZZ}");
        let mut cargo = command("cargo");
        cargo.args([
            "install",
            "--quiet",
            "--locked",
            "--version",
            CARGO_FUZZ,
            "cargo-fuzz",
            "--root",
        ]);
        let installed = run(cargo.arg(&folder), DEADLINE).context("cargo install")?;
        ensure!(installed.success, "cargo-fuzz could not be installed");
    }
    Ok(tool)
}
