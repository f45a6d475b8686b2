//! What some tests cannot do without: a test without it says that it is skipped, and fails where
//! `SQUALL_REQUIRE` names it, as CI does.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Whether `redis-server` is installed. Says so where a test is skipped for want of it.
pub(crate) fn has_redis() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| runs("redis-server", &["--version"]));
    has("redis", *FOUND, "redis-server is not installed")
}

/// Whether a Docker engine answers that has the images of the Compose stack, and a Compose tool is
/// installed.
pub(crate) fn has_docker() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        let images = ["squall:local", "squall-redis:local", "squall-nginx:local"];
        let has_image = |image: &&str| runs("docker", &["image", "inspect", image]);
        runs("docker", &["version"])
            && images.iter().all(has_image)
            && (runs("docker", &["compose", "version"]) || runs("docker-compose", &["version"]))
    });
    has(
        "docker",
        *FOUND,
        "no Docker engine answers, Compose is not installed, or the images are missing (cargo xtask images)",
    )
}

fn has(need: &str, found: bool, otherwise: &str) -> bool {
    let required = std::env::var("SQUALL_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|required| required.trim() == need);
    assert!(found || !is_required, "{otherwise}, and SQUALL_REQUIRE names {need}");
    if !found {
        eprintln!("skipped: {otherwise}");
    }
    found
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
