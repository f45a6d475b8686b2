//! What the tests need beyond Rust: looked for, and on Debian installed.

use std::path::Path;
use std::time::Duration;

use crate::command::{command, run, succeeds};

const PROBE_DEADLINE: Duration = Duration::from_secs(60);
const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The packages that bring Python with virtual environments on Debian.
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// Whether virtual environments can be made here.
pub(crate) fn has_python() -> bool {
    let mut probe = command("python3");
    succeeds(probe.args(["-c", "import venv, ensurepip"]), PROBE_DEADLINE)
}

/// Installs what is missing, or says what it is. Whether that helped shows when it is needed.
pub(crate) fn install() {
    if has_python() {
        return;
    }
    let packages = PACKAGES.join(" ");
    if !is_debian_root() {
        eprintln!("missing: {packages} (installed by --setup as root on Debian only)");
        return;
    }
    eprintln!("installing {packages}");
    apt_get(&["update"]);
    apt_get(&[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat());
}

fn is_debian_root() -> bool {
    let is_root = succeeds(command("sh").args(["-c", "test $(id -u) = 0"]), PROBE_DEADLINE);
    is_root && Path::new("/etc/debian_version").exists()
}

fn apt_get(arguments: &[&str]) {
    let mut apt_get = command("apt-get");
    apt_get.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    match run(&mut apt_get, INSTALL_DEADLINE) {
        Ok(ended) if ended.success => {}
        Ok(_) => eprintln!("apt-get {} failed", arguments.join(" ")),
        Err(error) => eprintln!("{error:#}"),
    }
}
