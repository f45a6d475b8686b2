//! What everything that carries traffic shares.

use std::sync::Arc;

use crate::board::Board;
use crate::delay::Delay;
use crate::ledger::Ledger;
use crate::record::Recorder;
use crate::upstream::Upstreams;

/// What one thread's connections share with all others.
#[derive(Clone, Debug)]
pub(crate) struct Proxying {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) recorder: Arc<Recorder>,
    /// This thread's own.
    pub(crate) delay: Delay,
}
