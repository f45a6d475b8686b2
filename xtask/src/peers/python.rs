//! The Python client, in a virtual environment under `target/`.

use anyhow::{Result, ensure};

use super::{Installed, Stamp, install_with, read};
use crate::command::command;
use crate::{root, setup};

pub(super) fn install() -> Result<Installed> {
    let home = root().join("target/peers/python");
    let python = home.join("bin/python");
    let wanted = read(&root().join("tests/peers/python/requirements.txt"))?;
    let stamp = Stamp(home.join("installed.txt"));
    let client = Installed(vec![python.clone(), "tests/peers/python/client.py".into()]);
    if python.exists() && stamp.says(&wanted) {
        return Ok(client);
    }
    ensure!(setup::has_python(), "python3 (3.10 or newer) with venv is missing");
    install_with(
        command("python3").args(["-m", "venv", "--clear"]).arg(&home),
        "python3 could not make a virtual environment under target/peers",
    )?;
    install_with(
        command(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--requirement", "tests/peers/python/requirements.txt"]),
        "pip could not install tests/peers/python/requirements.txt",
    )?;
    stamp.set(&wanted)?;
    Ok(client)
}
