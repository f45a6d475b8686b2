//! `compose/.env`: which images the Compose file takes on this machine.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{NGINX, REDIS, SQUALL, debian};

/// The first line of a file that may be written over.
const MARK: &str =
    "# Written by `cargo xtask images`, which leaves the file alone without this line.";

/// Writes the file, unless a person wrote it.
pub(super) fn write(path: &Path) -> Result<()> {
    if is_somebody_elses(path)? {
        eprintln!("{} is left as it is: it does not begin with `{MARK}`", path.display());
        return Ok(());
    }
    eprintln!("writing {}", path.display());
    fs::write(path, text()).with_context(|| format!("cannot write {}", path.display()))
}

fn is_somebody_elses(path: &Path) -> Result<bool> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().next() != Some(MARK)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn text() -> String {
    let base = debian::IMAGE;
    format!(
        "{MARK}\n\
         SQUALL_IMAGE={SQUALL}\n\
         SQUALL_BASE_IMAGE={base}\n\
         SQUALL_REDIS_IMAGE={REDIS}\n\
         SQUALL_NGINX_IMAGE={NGINX}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_written_over_only_if_it_was_written_here() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        for (found, is_written) in [
            (None, true),
            (Some(text()), true),
            (Some(format!("{MARK}\nSQUALL_IMAGE=old:one\n")), true),
            (Some("SQUALL_IMAGE=mine:1\n".to_owned()), false),
            (Some(format!("\n{MARK}\n")), false),
            (Some(String::new()), false),
        ] {
            if let Some(found) = &found {
                fs::write(&path, found).expect("a file");
            }
            write(&path).expect("it can be read and written");
            let expected = if is_written { text() } else { found.clone().unwrap_or_default() };
            assert_eq!(fs::read_to_string(&path).expect("a file"), expected, "{found:?}");
        }
    }

    #[test]
    fn every_image_that_the_compose_file_takes_from_outside_is_named() {
        let compose = fs::read_to_string(crate::root().join("compose/docker-compose.yml"));
        let compose = compose.expect("a Compose file");
        let text = text();
        let names: Vec<_> =
            text.lines().skip(1).filter_map(|line| Some(line.split_once('=')?.0)).collect();
        for name in &names {
            assert!(compose.contains(&format!("${{{name}:-")), "{name}");
        }
        let images = compose.lines().filter(|line| line.trim().starts_with("image: "));
        for line in images {
            assert!(names.iter().any(|name| line.contains(name)), "{line}");
        }
    }
}
