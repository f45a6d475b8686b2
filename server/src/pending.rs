//! Requests to clients that wait for their answers (session era: the client POSTs them, to any replica).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::store::SessionId;

/// What a client answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAnswer {
    Result(Value),
    /// JSON-RPC's error object.
    Error(Value),
}

/// The requests that wait.
pub(crate) struct Pending {
    /// Tells this replica's requests from those of others.
    replica: u64,
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

struct Waiting {
    session: SessionId,
    answer: oneshot::Sender<ClientAnswer>,
}

/// One request that waits, until it is dropped.
pub(crate) struct Question<'a> {
    pending: &'a Pending,
    number: u64,
    answer: oneshot::Receiver<ClientAnswer>,
}

impl Pending {
    pub(crate) fn new(replica: u64) -> Self {
        Self { replica, asked: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Begins to wait for an answer from that session.
    pub(crate) fn ask(&self, session: SessionId) -> Question<'_> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(number, Waiting { session, answer: sender });
        Question { pending: self, number, answer }
    }

    /// Hands an answer to whoever waits for it, and says whether somebody here did. Another session's
    /// answer is none.
    pub(crate) fn deliver(&self, session: SessionId, id: &str, answer: ClientAnswer) -> bool {
        let Some(number) = self.number_of(id) else { return false };
        let mut waiting = self.waiting.lock();
        if waiting.get(&number).is_none_or(|one| one.session != session) {
            return false;
        }
        let found = waiting.remove(&number);
        found.is_some_and(|one| one.answer.send(answer).is_ok())
    }

    fn number_of(&self, id: &str) -> Option<u64> {
        let (replica, number) = id.strip_prefix("squall-")?.split_once('-')?;
        let is_ours = u64::from_str_radix(replica, 16) == Ok(self.replica);
        number.parse().ok().filter(|_| is_ours)
    }
}

/// Whether an id is one that a server of this kind gives out.
pub(crate) fn is_of_a_server(id: &str) -> bool {
    id.starts_with("squall-")
}

impl Question<'_> {
    /// The request's id.
    pub(crate) fn id(&self) -> String {
        format!("squall-{:x}-{}", self.pending.replica, self.number)
    }

    /// The answer; `None` if it cannot come any more.
    pub(crate) async fn answer(&mut self) -> Option<ClientAnswer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.pending.waiting.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId::of(0xa);
    const B: SessionId = SessionId::of(0xb);

    #[tokio::test]
    async fn an_answer_reaches_who_asked_and_nobody_else() {
        let pending = Pending::new(7);
        let (mut first, second) = (pending.ask(A), pending.ask(A));
        let answer = ClientAnswer::Result(Value::Null);
        assert_ne!(first.id(), second.id());
        assert!(!pending.deliver(B, &first.id(), answer.clone()), "another session's");
        assert!(!Pending::new(8).deliver(A, &first.id(), answer.clone()), "another replica's");
        for foreign in ["", "1", "squall-7", "squall-7-9", "squall-7--0"] {
            assert!(!pending.deliver(A, foreign, answer.clone()), "{foreign}");
        }
        assert!(pending.deliver(A, &first.id(), answer.clone()));
        assert_eq!(first.answer().await, Some(answer.clone()));
        assert!(!pending.deliver(A, &first.id(), answer), "it was answered");
    }

    #[test]
    fn who_does_not_wait_any_more_is_forgotten() {
        let pending = Pending::new(7);
        drop(pending.ask(A));
        assert!(pending.waiting.lock().is_empty());
    }
}
