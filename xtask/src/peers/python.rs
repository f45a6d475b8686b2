//! Clients in Python, each in a virtual environment under `target/`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::{Installed, Stamp, install_with, read};
use crate::command::command;
use crate::{root, setup};

/// Installs the client in `tests/peers/NAME`.
pub(super) fn install(name: &str) -> Result<Installed> {
    let home = root().join("target/peers").join(name);
    let python = home.join("bin/python");
    let source = PathBuf::from("tests/peers").join(name);
    let requirements = source.join("requirements.txt");
    let wanted = read(&root().join(&requirements))?;
    let stamp = Stamp(home.join("installed.txt"));
    let client = Installed(vec![python.clone(), source.join("client.py")]);
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
            .arg("--requirement")
            .arg(&requirements),
        &format!("pip could not install {}", requirements.display()),
    )?;
    stamp.set(&wanted)?;
    Ok(client)
}
