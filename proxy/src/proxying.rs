//! What everything that carries traffic shares.

use std::sync::Arc;

use crate::board::Board;
use crate::delay::Delay;
use crate::event_ids::EventIds;
use crate::ledger::Ledger;
use crate::link::Traffic;
use crate::meter::Meter;
use crate::record::Recorder;
use crate::upstream::Upstreams;

/// What one thread's connections share with all others.
#[derive(Clone, Debug)]
pub(crate) struct Proxying {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) event_ids: Arc<EventIds>,
    pub(crate) traffic: Arc<Traffic>,
    /// This thread's own, both.
    pub(crate) meter: Arc<Meter>,
    pub(crate) delay: Delay,
}
