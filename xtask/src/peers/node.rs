//! Clients for Node, each beside its packages under `target/`.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{Installed, Stamp, install_with, read};
use crate::command::command;
use crate::{root, setup};

const LOCK: &str = "package-lock.json";
const FILES: [&str; 4] = ["package.json", LOCK, ".npmrc", "client.mjs"];

/// Installs the client in `tests/peers/NAME`.
pub(super) fn install(name: &str) -> Result<Installed> {
    ensure!(setup::has_node(), "node (18 or newer) or npm is missing");
    let source = root().join("tests/peers").join(name);
    let home = root().join("target/peers").join(name);
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    for file in FILES {
        fs::copy(source.join(file), home.join(file))
            .with_context(|| format!("cannot copy {file} to {}", home.display()))?;
    }
    let wanted = read(&source.join(LOCK))?;
    let stamp = Stamp(home.join("installed.json"));
    if !stamp.says(&wanted) {
        install_with(
            command("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&home),
            &format!("npm could not install the packages of tests/peers/{name}"),
        )?;
        stamp.set(&wanted)?;
    }
    Ok(Installed(vec!["node".into(), home.join("client.mjs")]))
}
