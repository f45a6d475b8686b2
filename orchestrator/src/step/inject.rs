//! Inject: a fault on the wire, on a lease, so that it ends by itself when the drill dies.

use std::time::Duration;

use serde::Deserialize;
use squall_model::fault::Fault;

/// The lease of a fault that names none. The drill renews it three times as often.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The fault, as the proxy's admin API takes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Inject(pub(crate) Fault);

impl Inject {
    /// The fault with a lease in any case.
    pub(crate) fn leased(&self) -> Fault {
        Fault { lease: self.0.lease.or(Some(LEASE)), ..self.0.clone() }
    }

    pub(super) fn describe(&self) -> String {
        format!("inject {} as `{}`", self.0.effect.name(), self.0.id)
    }

    pub(super) fn describe_undo(&self) -> String {
        format!("remove fault `{}`", self.0.id)
    }
}
