//! Something from outside that ends a run before its time: SIGINT or SIGTERM.

use std::sync::Arc;

use tokio::sync::watch;

/// Clones are the same interrupt.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<watch::Sender<Option<String>>>);

impl Interrupt {
    /// One that has not happened.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// It happens now, for this reason. The first reason counts.
    pub(crate) fn happen(&self, reason: &str) {
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason.to_owned());
            }
            first
        });
    }

    /// Whether it has happened.
    pub(crate) fn has_happened(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Resolves when it has happened, with the reason.
    pub(crate) async fn wait(&self) -> String {
        let mut reason = self.0.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}
