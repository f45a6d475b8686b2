//! One downstream connection, as the exchanges on it and its socket see it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::upstream::Pool;

/// One downstream connection, as the exchanges on it see it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    reset: AtomicBool,
    /// While it is stalled, nothing is read for the exchanges or written.
    stalled: AtomicBool,
    pub(crate) pool: Pool,
}

impl Link {
    /// When the connection ends, which it should soon, it ends with a TCP RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Whether it ends with a TCP RST.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Stops reading and writing, or lets them go on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whether nothing is read or written.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}
