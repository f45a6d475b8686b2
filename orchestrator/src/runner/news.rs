//! What a run tells while it is under way.

use std::path::Path;
use std::time::Duration;

use squall_loadgen::Progress;

use crate::state::RunId;

/// One piece of news.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// The run has its name and its folder.
    Begun {
        /// Its name.
        run: &'a RunId,
        /// Its folder.
        out: &'a Path,
    },
    /// Something is being set up.
    Setting(&'a str),
    /// The load has begun.
    Loaded {
        /// How many sessions.
        sessions: u32,
        /// What they do, in words.
        mix: String,
    },
    /// A phase begins.
    Phase {
        /// Its name.
        name: &'static str,
        /// How long it takes, as far as that is known.
        lasts: Duration,
    },
    /// A step is done.
    Step(&'a str),
    /// Where the load stands, several times a second.
    Progress(Progress),
    /// Everything is being taken down.
    Striking,
}

/// Who hears of it.
pub(crate) trait Watch: Send + Sync {
    /// Takes a piece of news. Must not block.
    fn news(&self, news: News<'_>);
}
