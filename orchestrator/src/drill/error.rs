//! What can be wrong with a runbook, said with file, line, column, and the name that was meant.

use std::fmt;
use std::path::{Path, PathBuf};

use squall_model::nearest::nearest;

/// Why a runbook cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrillError {
    /// The file cannot be read.
    #[error("cannot read the runbook {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no drill in it.
    #[error(
        "{}: there is no drill in this runbook: a fenced block marked ```yaml drill was expected", .path.display()
    )]
    NoDrill {
        /// The file.
        path: PathBuf,
    },
    /// There are two.
    #[error(
        "{}:{second}: a second drill begins here, the first is in line {first}: one runbook holds one drill", .path.display()
    )]
    TwoDrills {
        /// The file.
        path: PathBuf,
        /// Line of the first block.
        first: usize,
        /// Line of the second block.
        second: usize,
    },
    /// The block says something that means nothing.
    #[error("{}:{line}:{column}: {what}", .path.display())]
    Meaningless {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: u64,
        /// Column in the line, from 1.
        column: u64,
        /// What is wrong.
        what: Wrong,
    },
    /// An override says something that means nothing.
    #[error("--set {key}: {what}")]
    Override {
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// What a variant says otherwise means nothing.
    #[error("{}: variant `{variant}`, {key}: {what}", .path.display())]
    Variant {
        /// The file.
        path: PathBuf,
        /// The variant.
        variant: String,
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// There is no such variant.
    #[error("{}: there is no variant `{asked}`{}", .path.display(), known_variants(.asked, .known))]
    NoVariant {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The parts do not fit together.
    #[error("{}: {what}", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What does not fit, and what to do.
        what: String,
    },
}

fn known_variants(asked: &str, known: &[String]) -> String {
    if known.is_empty() {
        return ": this drill has none".to_owned();
    }
    let meant = nearest(asked, known.iter().map(String::as_str));
    let meant = meant.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
    format!("{meant} (there are: {})", known.join(", "))
}

/// What is wrong at one place.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A name that is not known there.
    Name {
        /// `key` or `name`.
        kind: &'static str,
        /// What was found.
        found: String,
        /// What would have been accepted.
        accepted: Vec<&'static str>,
    },
    /// Anything else, in the reader's words.
    Other(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { kind, found, accepted } => {
                write!(f, "unknown {kind} `{found}`")?;
                if let Some(meant) = nearest(found, accepted.iter().copied()) {
                    write!(f, ", did you mean `{meant}`?")?;
                }
                write!(f, " (accepted here: {})", accepted.join(", "))
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl DrillError {
    /// The reader's error, at its place in the file. `before` is how many lines stand before the
    /// block.
    pub(super) fn at(path: &Path, before: usize, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let place = error.location();
        let what = match error {
            serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
                Wrong::Name { kind: "key", found: field.clone(), accepted: expected.clone() }
            }
            serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
                Wrong::Name { kind: "name", found: variant.clone(), accepted: expected.clone() }
            }
            other => Wrong::Other(advised(without_place(&other.to_string()))),
        };
        Self::Meaningless {
            path: path.to_owned(),
            line: place.map_or(1, |place| place.line()) + before as u64,
            column: place.map_or(1, |place| place.column()),
            what,
        }
    }
}

/// The reader's words, with an example where people need one most often.
fn advised(words: String) -> String {
    if words.ends_with("expected a duration") {
        return words + " with a unit, such as 10s or 200ms";
    }
    words
}

/// The reader ends its words with the place in the block, which is not the place in the file.
fn without_place(text: &str) -> String {
    match text.rsplit_once(" at line ") {
        Some((what, place)) if place.contains(", column ") => what.to_owned(),
        _ => text.to_owned(),
    }
}
