//! The TypeScript client, beside its packages under `target/`.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{Installed, Stamp, install_with, read};
use crate::command::command;
use crate::{root, setup};

const LOCK: &str = "package-lock.json";
const FILES: [&str; 4] = ["package.json", LOCK, ".npmrc", "client.mjs"];

pub(super) fn install() -> Result<Installed> {
    ensure!(setup::has_node(), "node (18 or newer) or npm is missing");
    let source = root().join("tests/peers/typescript");
    let home = root().join("target/peers/typescript");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    for name in FILES {
        fs::copy(source.join(name), home.join(name))
            .with_context(|| format!("cannot copy {name} to {}", home.display()))?;
    }
    let wanted = read(&source.join(LOCK))?;
    let stamp = Stamp(home.join("installed.json"));
    if !stamp.says(&wanted) {
        install_with(
            command("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&home),
            "npm could not install the packages of tests/peers/typescript",
        )?;
        stamp.set(&wanted)?;
    }
    Ok(Installed(vec!["node".into(), home.join("client.mjs")]))
}
