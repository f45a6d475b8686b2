//! The leases of a drill's faults: renewed as long as the drill lives, and not a moment longer.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use squall_model::fault::{Fault, FaultId};
use squall_proxy::client::{AdminClient, CallError};
use tokio::task::JoinHandle;

use crate::step::LEASE;

/// The faults that a drill has on its proxy.
#[derive(Debug)]
pub(super) struct Leases {
    admin: AdminClient,
    held: Arc<Mutex<Vec<Held>>>,
}

#[derive(Debug)]
struct Held {
    id: FaultId,
    renewal: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Leases {
    pub(super) fn new(admin: AdminClient) -> Self {
        Self { admin, held: Arc::default() }
    }

    /// Adds the fault and renews its lease from now on.
    pub(super) async fn add(&self, fault: &Fault) -> Result<(), CallError> {
        self.admin.add(fault).await?;
        let renewal = renew(self.admin.clone(), fault.id.clone(), fault.lease.unwrap_or(LEASE) / 3);
        let held = Held { id: fault.id.clone(), renewal: tokio::spawn(renewal) };
        self.held.lock().push(held);
        Ok(())
    }

    /// Removes the fault.
    pub(super) async fn remove(&self, id: &FaultId) -> Result<(), CallError> {
        let removed = self.admin.remove(id).await;
        // No longer renewed in any case: what cannot be removed ends with its lease.
        self.held.lock().retain(|held| held.id != *id);
        removed.map(drop)
    }

    /// Ends all faults, newest first, and says of each whether that went well.
    pub(super) async fn remove_all(&self) -> Vec<(FaultId, Result<(), CallError>)> {
        let mut removed = Vec::new();
        loop {
            let last = self.held.lock().last().map(|held| held.id.clone());
            let Some(id) = last else { return removed };
            let outcome = self.remove(&id).await;
            removed.push((id, outcome));
        }
    }
}

async fn renew(admin: AdminClient, id: FaultId, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = admin.renew(&id).await {
            tracing::warn!(fault = %id, %error, "the lease could not be renewed");
        }
    }
}
