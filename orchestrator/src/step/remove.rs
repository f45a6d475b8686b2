//! Remove: a fault on the wire ends before the phase does.

use serde::Deserialize;
use squall_model::fault::FaultId;

/// The id of a fault that an earlier step added.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Remove(pub(crate) FaultId);

impl Remove {
    pub(super) fn describe(&self) -> String {
        format!("remove fault `{}`", self.0)
    }
}
