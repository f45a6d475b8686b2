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
/// The release where none runs here.
const SUITE: &str = "bookworm";
const OS_RELEASE: &str = "/etc/os-release";

const PROBE_DEADLINE: Duration = Duration::from_secs(60);

/// Which root is wanted.
#[derive(clap::Args)]
pub(super) struct Debian {
    /// The Debian release that the images are made of; default: the one that runs here, or bookworm
    #[arg(long, env = "SQUALL_DEBIAN_SUITE", value_name = "NAME")]
    suite: Option<String>,
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
        let said = |name| env::var(name).ok();
        let (suite, mirror) = (said("SQUALL_DEBIAN_SUITE"), said("SQUALL_DEBIAN_MIRROR"));
        Self { suite, mirror, fresh: false }
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
        format!("{} {}", self.suite(), PACKAGES.join(" "))
    }

    pub(super) fn suite(&self) -> String {
        set(self.suite.as_deref()).map_or_else(own_suite, str::to_owned)
    }

    fn bootstrap(&self, folder: &Path) -> Result<()> {
        let mut debootstrap = command("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={}", PACKAGES.join(","))]);
        debootstrap.arg(self.suite()).arg(folder).args(set(self.mirror.as_deref()));
        step(&format!("fetching and unpacking Debian {}", self.suite()), &mut debootstrap)
    }

    fn import(&self, archive: &Path) -> Result<()> {
        let label = format!("LABEL {LABEL}={:?}", self.stamp());
        let mut import = command("docker");
        import.args(["import", "--change", &label, "--change", "CMD [\"bash\"]"]);
        step(&format!("importing {IMAGE}"), import.arg(archive).arg(IMAGE))
    }
}

/// Empty is not set: that is how scripts pass on what they do not have.
fn set(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// What is built on this machine runs on its own release, and perhaps on no older one.
fn own_suite() -> String {
    let release = fs::read_to_string(OS_RELEASE).unwrap_or_default();
    suite_of(&release).unwrap_or(SUITE).to_owned()
}

/// The code name in an os-release(5) of Debian itself.
fn suite_of(release: &str) -> Option<&str> {
    let field = |name: &str| {
        let mut pairs = release.lines().filter_map(|line| line.trim().split_once('='));
        pairs.find_map(|(key, value)| (key == name).then(|| value.trim_matches(['"', '\''])))
    };
    set(field("VERSION_CODENAME")).filter(|_| field("ID") == Some("debian"))
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
            let (suite, mirror) = (Some(suite.to_owned()), mirror.map(str::to_owned));
            Debian { suite, mirror, fresh: false }.stamp()
        };
        assert_eq!(of("bookworm", None), "bookworm ca-certificates nginx-light redis-server");
        assert_eq!(of("bookworm", None), of("bookworm", Some("http://mirror.example/debian")));
        assert_ne!(of("bookworm", None), of("trixie", None));
    }

    #[test]
    fn a_release_that_is_not_said_or_is_empty_is_the_one_that_runs_here() {
        for (suite, expected) in [
            (None, own_suite()),
            (Some(String::new()), own_suite()),
            (Some("trixie".to_owned()), "trixie".to_owned()),
        ] {
            assert_eq!(Debian { suite, mirror: None, fresh: false }.suite(), expected);
        }
    }

    #[test]
    fn only_debian_itself_names_a_release_of_debian() {
        for (release, expected) in [
            ("ID=debian\nVERSION_CODENAME=trixie\n", Some("trixie")),
            ("VERSION_CODENAME=\"trixie\"\nID='debian'\n", Some("trixie")),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", None),
            ("ID=debian\n", None),
            ("ID=debian\nVERSION_CODENAME=\n", None),
            ("", None),
        ] {
            assert_eq!(suite_of(release), expected, "{release}");
        }
    }
}
