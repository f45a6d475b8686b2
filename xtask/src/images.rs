//! `cargo xtask images`: every image that the Compose file names, from Debian packages and a binary
//! alone, on a machine that reaches no image registry.

mod debian;
mod dotenv;

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use debian::Debian;
use tokio::time::Instant;

use crate::command::{Ended, command, run as run_command};
use crate::engine::Engine;
use crate::{binary, root};

const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// For people, who put a release build there.
const SQUALL: &str = "squall:local";
/// For the tests, whose build is not to take the place of people's.
const SQUALL_FOR_TESTS: &str = "squall:test";
const REDIS: &str = "squall-redis:local";
const NGINX: &str = "squall-nginx:local";

/// Where things are laid out for an image; .dockerignore lets `squall` through.
const FOLDER: &str = "target/images";

const HOW_TO_GO_ON: &str = "\
bring the stack up (compose/README.md says more):
  export SQUALL_ADMIN_TOKEN=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')
  docker-compose -f compose/docker-compose.yml up --detach";

/// Which images are wanted.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The `squall` to put into its image, instead of a release build
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Makes what the tests use instead: `squall:test`, of the build that they use
    #[arg(long, conflicts_with = "binary")]
    for_tests: bool,
    #[command(flatten)]
    debian: Debian,
}

/// Builds them, and tells how to go on.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begin = Instant::now();
    let _engine = Engine::find()?;
    if arguments.for_tests {
        return build_for_tests(&arguments.debian);
    }
    let squall = match &arguments.binary {
        Some(path) => check(path)?.to_owned(),
        None => binary::release()?,
    };
    build(&squall, SQUALL, &arguments.debian)?;
    dotenv::write(&root().join("compose/.env"))?;
    println!("built {SQUALL}, {REDIS} and {NGINX} in {} s", begin.elapsed().as_secs());
    println!("{HOW_TO_GO_ON}");
    Ok(())
}

/// The images that the tests use: with the binary that the tests use, which is there sooner than a
/// release build. The `squall:local` of a person stays what it is.
pub(crate) fn for_tests() -> Result<Ended> {
    build_for_tests(&Debian::default())?;
    Ok(Ended::well())
}

fn build_for_tests(debian: &Debian) -> Result<()> {
    build(&binary::for_tests()?, SQUALL_FOR_TESTS, debian)
}

/// Whether this can be a `squall` at all, which is cheaper to tell here than in a container.
fn check(binary: &Path) -> Result<&Path> {
    let found = fs::metadata(binary).ok().filter(Metadata::is_file);
    let Some(found) = found else {
        bail!("no file at {}: --binary takes a `squall` built for Linux", binary.display())
    };
    ensure!(
        found.permissions().mode() & 0o111 != 0,
        "{} may not be executed: --binary takes a `squall` built for Linux (chmod +x)",
        binary.display()
    );
    Ok(binary)
}

/// Looks for what takes long to make, and needs root.
pub(crate) fn ensure_their_root() -> Result<()> {
    ensure!(
        Debian::default().is_there(),
        "no {} holds what is wanted: `cargo xtask images` makes it",
        debian::IMAGE
    );
    Ok(())
}

fn build(squall: &Path, name: &str, debian: &Debian) -> Result<()> {
    debian.provide()?;
    for service in [REDIS, NGINX] {
        step(
            &format!("tagging {service}"),
            command("docker").args(["tag", debian::IMAGE, service]),
        )?;
    }
    build_squall(squall, name, &debian.suite())?;
    clear_up()
}

fn build_squall(squall: &Path, name: &str, suite: &str) -> Result<()> {
    let inside = format!("{FOLDER}/squall");
    let copy = root().join(&inside);
    make_folder()?;
    fs::copy(squall, &copy)
        .with_context(|| format!("cannot copy {} to {}", squall.display(), copy.display()))?;
    let mut build = command("docker");
    build.args(["build", "--file", "compose/Dockerfile", "--target", "binary", "--tag", name]);
    build.args(["--build-arg", &format!("BASE={}", debian::IMAGE)]);
    build.args(["--build-arg", &format!("BINARY={inside}"), "."]);
    step(&format!("building {name}"), &mut build)?;
    let mut version = command("docker");
    version.args(["run", "--rm", "--network", "none", name, "--version"]);
    // What docker says comes first: it knows, and the rest is a guess.
    step(&format!("running {name}"), &mut version).map_err(|error| {
        anyhow!(
            "{error:#}. The binary has to be built for Linux on this processor, on nothing newer than \
             Debian {suite} (SQUALL_DEBIAN_SUITE names another release)"
        )
    })
}

/// Removes images of ours that have lost their names to newer ones, but none of a build under way.
fn clear_up() -> Result<()> {
    let mut prune = command("docker");
    prune.args(["image", "prune", "--force", "--filter", "until=1h", "--filter"]);
    step("removing what older builds left", prune.arg(format!("label={}", debian::LABEL)))
}

fn make_folder() -> Result<()> {
    let folder = root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Says what is done, and does it.
fn step(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("{what}");
    ensure!(run_command(command, DEADLINE)?.success, "{what} failed: see above");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn what_cannot_be_executed_is_refused_before_anything_is_built() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("squall");
        let refused = || format!("{:#}", check(&path).expect_err("no program"));
        assert!(refused().contains("no file at"), "{}", refused());
        fs::write(&path, "#!/bin/sh\n").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
        assert!(refused().contains("chmod +x"), "{}", refused());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
        assert!(check(&path).is_ok());
    }
}
