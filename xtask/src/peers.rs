//! Clients that somebody else wrote, against `squall server`, directly and through `squall proxy`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{Ended, cargo, command, run};
use crate::part::Part;
use crate::replica::Replica;
use crate::{root, setup};

const DIRECT: &str = "python client, direct";
const PROXIED: &str = "python client, through the proxy";
/// The word for this in `SQUALL_REQUIRE`.
const NEED: &str = "python";

const BUILD_DEADLINE: Duration = Duration::from_secs(60 * 60);
const INSTALL_DEADLINE: Duration = Duration::from_secs(10 * 60);
const CLIENT_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Runs the Python client against both.
pub(crate) fn run_all() -> Vec<Part> {
    let python = match python() {
        Ok(python) => python,
        Err(error) => {
            let why = format!("{error:#}");
            let required = env::var("SQUALL_REQUIRE").unwrap_or_default();
            return [DIRECT, PROXIED]
                .map(|name| Part::lacking(name, NEED, why.clone(), &required))
                .into();
        }
    };
    let started = squall().and_then(|squall| {
        let server = Replica::start(&squall, &["server", "--listen", "127.0.0.1:0"])?;
        Ok((squall, server))
    });
    let (squall, server) = match started {
        Ok(started) => started,
        Err(error) => return [DIRECT, PROXIED].map(|name| failure(name, &error)).into(),
    };
    vec![
        Part::of(DIRECT, client(&python, &server)),
        Part::of(PROXIED, through_proxy(&python, &squall, &server)),
    ]
}

fn failure(name: &'static str, error: &anyhow::Error) -> Part {
    Part::of(name, Err(anyhow::anyhow!("{error:#}")))
}

fn through_proxy(python: &Path, squall: &Path, server: &Replica) -> Result<Ended> {
    let arguments =
        ["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &server.base];
    let proxy = Replica::start(squall, &arguments)?;
    client(python, &proxy)
}

fn client(python: &Path, target: &Replica) -> Result<Ended> {
    let url = format!("{}/mcp", target.base);
    let mut client = command(python);
    client.arg("tests/peers/python_client.py").arg(url);
    let ended = run(&mut client, CLIENT_DEADLINE)?;
    ensure!(ended.counts.passed + ended.counts.failed > 0, "the client ended without a check");
    Ok(ended)
}

/// Builds the `squall` binary, which cargo puts beside this one.
fn squall() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "squall", "--bin", "squall"]);
    ensure!(run(&mut build, BUILD_DEADLINE)?.success, "`squall` does not build");
    let here = env::current_exe().context("cannot tell where this program lies")?;
    let squall = here.with_file_name(format!("squall{}", env::consts::EXE_SUFFIX));
    ensure!(squall.exists(), "no `squall` at {}", squall.display());
    Ok(squall)
}

/// The interpreter of a virtual environment under `target/` that has what the client needs.
fn python() -> Result<PathBuf> {
    let home = root().join("target/peers/python");
    let python = home.join("bin/python");
    let wanted = read(&root().join("tests/peers/requirements.txt"))?;
    let stamp = home.join("installed.txt");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if !setup::has_python() {
        bail!("python3 with venv is missing (Debian: python3-venv)");
    }
    let mut create = command("python3");
    create.args(["-m", "venv", "--clear"]).arg(&home);
    let created = run(&mut create, INSTALL_DEADLINE)?;
    ensure!(created.success, "no virtual environment at {}", home.display());
    let mut install = command(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--requirement", "tests/peers/requirements.txt"]);
    let installed = run(&mut install, INSTALL_DEADLINE)?;
    ensure!(installed.success, "pip could not install tests/peers/requirements.txt");
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
