//! What the tests need beyond Rust: looked for, and on Debian installed.

use std::path::Path;
use std::time::Duration;

use crate::command::{cargo, command, run, succeeds};
use crate::engine::Engine;
use crate::fuzz;

const PROBE_DEADLINE: Duration = Duration::from_secs(60);
const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Python 3.10 or newer, which can make virtual environments.
const PYTHON: [&str; 2] =
    ["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"];
/// Node 18 or newer.
const NODE: [&str; 2] = ["-e", "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)"];

/// Whether virtual environments can be made here.
pub(crate) fn has_python() -> bool {
    probe("python3", &PYTHON)
}

/// Whether packages of npm can be installed and run here.
pub(crate) fn has_node() -> bool {
    has_node_itself() && has_npm()
}

fn has_node_itself() -> bool {
    probe("node", &NODE)
}

fn has_npm() -> bool {
    probe("npm", &["--version"])
}

fn probe(program: &str, arguments: &[&str]) -> bool {
    succeeds(command(program).args(arguments), PROBE_DEADLINE)
}

/// Whether a Debian root can be made here.
pub(crate) fn has_debootstrap() -> bool {
    probe("debootstrap", &["--version"])
}

fn has_redis() -> bool {
    probe("redis-server", &["--version"])
}

fn has_browser() -> bool {
    probe("chromedriver", &["--version"])
}

fn has_docker() -> bool {
    probe("docker", &["--version"])
}

/// Whether an engine answers, or could be started.
fn has_engine() -> bool {
    Engine::find().is_ok() || probe("dockerd", &["--version"])
}

fn has_compose() -> bool {
    probe("docker-compose", &["version"]) || probe("docker", &["compose", "version"])
}

/// Installs what is missing, or says what it is. Whether that helped shows when it is needed.
pub(crate) fn install() {
    let had_redis = has_redis();
    install_packages(&missing_packages());
    if !had_redis && has_redis() {
        retire_redis();
    }
    if !has_docker() {
        install_packages(&["docker-cli"]); // a part of docker.io before Debian 13
    }
    if !fuzz::has_nightly() {
        eprintln!("installing a nightly compiler");
        let mut rustup = command("rustup");
        rustup.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        report("rustup toolchain install nightly", run(&mut rustup, INSTALL_DEADLINE));
    }
}

/// Installs what makes a Debian root, if it is missing.
pub(crate) fn install_debootstrap() {
    if !has_debootstrap() {
        install_packages(&["debootstrap"]);
    }
}

fn install_packages(packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    let names = packages.join(" ");
    if !is_debian_root() {
        eprintln!("missing: {names} (installed as root on Debian only)");
        return;
    }
    eprintln!("installing {names}");
    apt_get(&["update"]);
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat());
}

/// The package has started it where services are started, and has it start with the machine. The
/// tests bring their own.
fn retire_redis() {
    probe("service", &["redis-server", "stop"]);
    probe("update-rc.d", &["redis-server", "disable"]); // systemd's service, too
}

/// The Debian packages that bring what is missing, and nothing that is there from elsewhere.
fn missing_packages() -> Vec<&'static str> {
    let parts: [(bool, &[&str]); 9] = [
        (has_python(), &["python3", "python3-venv"]),
        (has_node_itself(), &["nodejs"]),
        (has_npm(), &["npm"]),
        (has_redis(), &["redis-server"]),
        (has_browser(), &["chromium", "chromium-driver"]),
        (probe("curl", &["--version"]), &["curl"]),
        (has_engine(), &["docker.io", "apparmor"]), // some kernels start no container without it
        (has_compose(), &["docker-compose"]),
        (has_debootstrap(), &["debootstrap"]),
    ];
    let missing = parts.into_iter().filter(|(is_there, _)| !is_there);
    missing.flat_map(|(_, packages)| packages.iter().copied()).collect()
}

/// Installs the parts of the toolchain that format and lint, where rustup has left them out.
pub(crate) fn install_components() {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if succeeds(cargo().args([subcommand, "--version"]), PROBE_DEADLINE) {
            continue;
        }
        eprintln!("installing {component}");
        let mut rustup = command("rustup");
        report(&format!("rustup component add {component}"), {
            run(rustup.args(["component", "add", component]), INSTALL_DEADLINE)
        });
    }
}

fn is_debian_root() -> bool {
    probe("sh", &["-c", "test $(id -u) = 0"]) && Path::new("/etc/debian_version").exists()
}

fn apt_get(arguments: &[&str]) {
    let mut apt_get = command("apt-get");
    apt_get.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let name = format!("apt-get {}", arguments.join(" "));
    report(&name, run(&mut apt_get, INSTALL_DEADLINE));
}

fn report(name: &str, ended: anyhow::Result<crate::command::Ended>) {
    match ended {
        Ok(ended) if ended.success => {}
        Ok(_) => eprintln!("`{name}` failed"),
        Err(error) => eprintln!("{error:#}"),
    }
}
