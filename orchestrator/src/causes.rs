//! An error in one line: what failed, and why, down to the last cause.

use std::iter::successors;

/// The error and its causes, from the outermost inwards.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let causes = successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
