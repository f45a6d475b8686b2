//! What everything that carries traffic shares.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;

use crate::board::Board;
use crate::config::Limits;
use crate::delay::Delay;
use crate::event_ids::EventIds;
use crate::ledger::Ledger;
use crate::link::Traffic;
use crate::meter::Meter;
use crate::record::Recorder;
use crate::upstream::Upstreams;

/// What one thread's connections share with all others.
#[derive(Clone)]
pub(crate) struct Proxying {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) event_ids: Arc<EventIds>,
    pub(crate) traffic: Arc<Traffic>,
    /// What clients meet that speak TLS, if they have to.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: Limits,
    /// This thread's own, both.
    pub(crate) meter: Arc<Meter>,
    pub(crate) delay: Delay,
}

impl std::fmt::Debug for Proxying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxying").finish_non_exhaustive()
    }
}
