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
        self.admin.remove(id).await?;
        self.held.lock().retain(|held| held.id != *id);
        Ok(())
    }

    /// Removes every fault that is left, the last one first, and names them.
    pub(super) async fn remove_all(&self) -> Result<Vec<FaultId>, CallError> {
        let mut removed = Vec::new();
        loop {
            let last = self.held.lock().last().map(|held| held.id.clone());
            let Some(id) = last else { return Ok(removed) };
            self.remove(&id).await?;
            removed.push(id);
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
