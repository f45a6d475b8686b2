//! Where a load's operations go as they end.

use std::sync::Arc;

use parking_lot::Mutex;
use squall_model::history::Operation;

/// Takes every operation once, as soon as its outcome is known, handshakes included.
///
/// It is called from many tasks and must return at once.
pub trait Sink: Send + Sync + 'static {
    /// Takes one.
    fn record(&self, operation: Operation);
}

/// Keeps nothing.
impl Sink for () {
    fn record(&self, _: Operation) {}
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn record(&self, operation: Operation) {
        (**self).record(operation);
    }
}

/// Keeps all operations in memory, in the order in which they ended.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Operation>>);

impl History {
    /// A copy of what has been recorded so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.0.lock().clone()
    }

    /// Looks at what has been recorded so far, without a copy. Recording waits meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&[Operation]) -> T) -> T {
        look(&self.0.lock())
    }

    /// Takes out what has been recorded so far.
    pub fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Sink for History {
    fn record(&self, operation: Operation) {
        self.0.lock().push(operation);
    }
}
