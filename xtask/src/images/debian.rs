//! The Debian root that all images are made of: the packages that the services of the Compose file
//! need, and nothing else.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::geteuid;

use super::{FOLDER, make_folder, step};
use crate::command::{answer, command, succeeds};
use crate::{root, setup};

pub(super) const IMAGE: &str = "squall-debian:local";

const PACKAGES: [&str; 3] = ["ca-certificates", "nginx-light", "redis-server"];
/// What an image was made of, to be compared with what is wanted.
pub(super) const LABEL: &str = "squall.root";
const SUITE: &str = "bookworm";

const PROBE_DEADLINE: Duration = Duration::from_secs(60);

/// Which root is wanted.
#[derive(clap::Args)]
pub(super) struct Debian {
    /// The Debian release that the images are made of
    #[arg(long, env = "SQUALL_DEBIAN_SUITE", default_value = SUITE, value_name = "NAME")]
    suite: String,
    /// Where its packages come from; default: the mirror that debootstrap knows
    #[arg(long, env = "SQUALL_DEBIAN_MIRROR", value_name = "URL")]
    mirror: Option<String>,
    /// Makes the root anew, even if there is one that holds what is wanted
    #[arg(long)]
    fresh: bool,
}

/// As the environment says.
impl Default for Debian {
    fn default() -> Self {
        let suite = env::var("SQUALL_DEBIAN_SUITE").unwrap_or_else(|_| SUITE.to_owned());
        Self { suite, mirror: env::var("SQUALL_DEBIAN_MIRROR").ok(), fresh: false }
    }
}

impl Debian {
    /// Makes the image, unless there is one that holds what is wanted.
    pub(super) fn provide(&self) -> Result<()> {
        if !self.fresh && self.is_there() {
            eprintln!("{IMAGE} holds what is wanted ({}): --fresh makes it anew", self.stamp());
            return Ok(());
        }
        ensure!(geteuid().is_root(), "only root can make {IMAGE}: debootstrap makes device files");
        setup::install_debootstrap();
        ensure!(
            setup::has_debootstrap(),
            "no debootstrap is found: install it, and have /usr/sbin in PATH"
        );
        make_folder()?;
        let folder = root().join(FOLDER).join("debian");
        let archive = folder.with_extension("tar");
        remove(&folder)?;
        self.bootstrap(&folder)?;
        pack(&folder, &archive)?;
        remove(&folder)?;
        self.import(&archive)?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
    }

    /// Whether the image holds what is wanted.
    pub(super) fn is_there(&self) -> bool {
        let format = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
        let mut inspect = command("docker");
        inspect.args(["image", "inspect", "--format", &format, IMAGE]);
        answer(&mut inspect, PROBE_DEADLINE).is_some_and(|label| label == self.stamp())
    }

    fn stamp(&self) -> String {
        format!("{} {}", self.suite, PACKAGES.join(" "))
    }

    fn bootstrap(&self, folder: &Path) -> Result<()> {
        let mut debootstrap = command("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={}", PACKAGES.join(","))]);
        debootstrap.arg(&self.suite).arg(folder).args(self.mirror.as_slice());
        step(&format!("fetching and unpacking Debian {}", self.suite), &mut debootstrap)
    }

    fn import(&self, archive: &Path) -> Result<()> {
        let label = format!("LABEL {LABEL}={:?}", self.stamp());
        let mut import = command("docker");
        import.args(["import", "--change", &label, "--change", "CMD [\"bash\"]"]);
        step(&format!("importing {IMAGE}"), import.arg(archive).arg(IMAGE))
    }
}

/// Without what apt has fetched.
fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut tar = command("tar");
    tar.args(["--create", "--one-file-system", "--numeric-owner"]);
    tar.args(["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*"]);
    tar.arg("--file").arg(archive).arg("--directory").arg(folder).arg(".");
    step("packing it", &mut tar)
}

/// With what a debootstrap that was cut short has left mounted there.
fn remove(folder: &Path) -> Result<()> {
    for mounted in ["proc", "sys"] {
        succeeds(command("umount").arg(folder.join(mounted)), PROBE_DEADLINE);
    }
    let mut remove = command("rm");
    step("clearing up", remove.args(["--recursive", "--force", "--one-file-system"]).arg(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_is_another_root_and_another_mirror_is_not() {
        let of = |suite: &str, mirror: Option<&str>| {
            let (suite, mirror) = (suite.to_owned(), mirror.map(str::to_owned));
            Debian { suite, mirror, fresh: false }.stamp()
        };
        assert_eq!(of("bookworm", None), "bookworm ca-certificates nginx-light redis-server");
        assert_eq!(of("bookworm", None), of("bookworm", Some("http://mirror.example/debian")));
        assert_ne!(of("bookworm", None), of("trixie", None));
    }
}
