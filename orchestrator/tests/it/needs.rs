//! What some tests cannot do without: a test without it says that it is skipped, and fails where
//! `SQUALL_REQUIRE` names it, as CI does.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The build of Squall that the tests run in containers, by a name of its own: `squall:local` is a
/// person's.
pub(crate) const IMAGE: &str = "squall:test";

/// The Redis that they run.
pub(crate) const REDIS_IMAGE: &str = "squall-redis:local";

/// What has the Compose file take the tests' images, whatever `compose/.env` names.
pub(crate) const IMAGES: [(&str, &str); 3] = [
    ("SQUALL_IMAGE", IMAGE),
    ("SQUALL_REDIS_IMAGE", REDIS_IMAGE),
    ("SQUALL_NGINX_IMAGE", "squall-nginx:local"),
];

/// The Compose tools that are looked for, the newer first.
const COMPOSE: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

/// Whether `redis-server` is installed. Says so where a test is skipped for want of it.
pub(crate) fn has_redis() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| runs("redis-server", &["--version"]));
    has("redis", *FOUND, "redis-server is not installed")
}

/// Whether curl is installed.
pub(crate) fn has_curl() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| runs("curl", &["--version"]));
    has("curl", *FOUND, "curl is not installed")
}

/// Whether a browser is installed that tests can drive.
pub(crate) fn has_browser() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| runs("chromedriver", &["--version"]));
    has("browser", *FOUND, "chromium and chromedriver are not installed")
}

/// Whether a Docker engine answers that has the images of the Compose stack, and a Compose tool is
/// installed.
pub(crate) fn has_docker() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        let has_image = |(_, image): &(_, &str)| runs("docker", &["image", "inspect", image]);
        runs("docker", &["version"]) && IMAGES.iter().all(has_image) && compose().is_some()
    });
    has(
        "docker",
        *FOUND,
        "no Docker engine answers, Compose is not installed, or the images are missing (cargo xtask images --for-tests)",
    )
}

/// The words that the installed Compose tool's command lines begin with.
pub(crate) fn compose() -> Option<&'static [&'static str]> {
    let answers = |tool: &&[&str]| runs(tool[0], &[&tool[1..], &["version"]].concat());
    COMPOSE.into_iter().find(answers)
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
