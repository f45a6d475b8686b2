//! One session of a load: its handshakes, its operations one after the other, its losses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use serde_json::{Map, Value};
use squall_model::chance::DrawKey;
use squall_model::history::{Cause, Outcome};
use squall_model::operation::OperationId;
use tokio::time::Instant;

use crate::client::{Call, Capabilities, Client};
use crate::shared::{Job, Shared};
use crate::workload::Workload;

/// The first number of an operation that is not part of the workload. With numbers of their own,
/// handshakes shift no other operation's id, however many sessions are lost.
const SETUP: u32 = 1 << 31;

/// The first pause between two failed handshakes, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Whether an operation of a load belongs to a handshake or to the exploration of the server, and
/// not to the workload. Workload operations of a session count from 1, these from 2³¹ + 1.
pub fn is_setup(id: OperationId) -> bool {
    id.number() >= SETUP
}

pub(crate) struct Session {
    shared: Arc<Shared>,
    /// From 1.
    number: u32,
    client: Client,
    setups: u32,
    /// Handshakes that failed since the last good one.
    failures: u32,
    was_ready: bool,
    was_reinitialised: bool,
    /// When a lost session is to be asked for again.
    pub(crate) retry_at: Instant,
    /// What the server said it can do.
    pub(crate) capabilities: Capabilities,
}

impl Session {
    pub(crate) fn new(shared: &Arc<Shared>, number: u32) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            client: Client::new(Arc::clone(&shared.wire)),
            setups: 0,
            failures: 0,
            was_ready: false,
            was_reinitialised: false,
            retry_at: Instant::now(),
            capabilities: Capabilities::default(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.client.has_session()
    }

    /// The id of the session's workload operation `number`, from 1.
    pub(crate) fn id(&self, number: u64) -> OperationId {
        operation_id(&self.shared, self.number, number)
    }

    fn setup_job(&mut self) -> Job {
        self.setups = self.setups.wrapping_add(1) % SETUP;
        let number = SETUP | self.setups;
        Job {
            id: OperationId::new(self.shared.plan.seed, self.number, number),
            due: self.shared.clock().now(),
        }
    }

    /// Asks for a session once, and puts off the next attempt if that fails.
    pub(crate) async fn handshake(&mut self) {
        let job = self.setup_job();
        let (report, capabilities) = self.client.initialize(job.id).await;
        self.shared.record(job, "initialize".into(), report);
        if let Some(capabilities) = capabilities {
            self.capabilities = capabilities;
            let job = self.setup_job();
            let report = self.client.initialized(job.id).await;
            self.shared.record(job, "notifications/initialized".into(), report);
        }
        if self.is_ready() {
            self.became_ready();
        } else {
            self.put_off(job.id);
        }
    }

    fn became_ready(&mut self) {
        self.failures = 0;
        let population = &self.shared.population;
        population.ready.fetch_add(1, Ordering::Relaxed);
        if !self.was_ready {
            self.was_ready = true;
            population.ever_ready.send_modify(|sessions| *sessions += 1);
            return;
        }
        population.reinitialisations.fetch_add(1, Ordering::Relaxed);
        if !self.was_reinitialised {
            self.was_reinitialised = true;
            population.reinitialised.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// 100 ms, doubled with each failure up to 1 s, of which the seed draws a half to the whole.
    fn put_off(&mut self, attempt: OperationId) {
        let doubled = BACKOFF.0 * 2u32.pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let seed = self.shared.plan.seed;
        let mut draw = seed.draw("backoff", DrawKey::Operation(attempt));
        let pause = doubled.min(BACKOFF.1).mul_f64(draw.random_range(0.5..=1.0));
        self.retry_at = Instant::now() + pause;
    }

    /// Does one operation of the workload, whatever comes of it. It is not repeated.
    pub(crate) async fn perform(&mut self, job: Job, workload: &Workload) {
        let drawn = workload.draw(job.id);
        let call = Call {
            operation: job.id,
            method: drawn.action.method(),
            params: drawn.params,
            may_have_effects: drawn.action.may_have_effects(),
        };
        self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        let report = self.client.call(call).await;
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        let sent = u64::from(report.sent.is_some());
        self.shared.sent.fetch_add(sent, Ordering::Relaxed);
        self.shared.record(job, Arc::clone(drawn.name), report);
        self.note_loss();
    }

    /// Makes one request that explores the server.
    pub(crate) async fn explore(
        &mut self,
        method: &'static str,
        params: Map<String, Value>,
    ) -> Result<Bytes, Cause> {
        let job = self.setup_job();
        let call = Call { operation: job.id, method, params, may_have_effects: false };
        let (report, answer) = self.client.ask(call).await;
        let outcome = report.outcome.clone();
        self.shared.record(job, method.into(), report);
        self.note_loss();
        match (answer, outcome) {
            (Some(answer), _) => Ok(answer),
            (None, Outcome::Failed(cause) | Outcome::Unknown(cause)) => Err(cause),
            (None, Outcome::Ok) => Err(Cause::Closed),
        }
    }

    /// A session that the server no longer knows is asked for anew at once.
    fn note_loss(&mut self) {
        if !self.is_ready() {
            self.shared.population.ready.fetch_sub(1, Ordering::Relaxed);
            self.retry_at = Instant::now();
        }
    }

    /// Ends the session, where the plan says so.
    pub(crate) async fn close(mut self) {
        if self.is_ready() {
            self.shared.population.ready.fetch_sub(1, Ordering::Relaxed);
        }
        if self.shared.plan.end_sessions {
            self.client.close().await;
        }
    }
}

/// The id of a session's workload operation `number`, from 1. After 2³¹ - 1 they begin again.
pub(crate) fn operation_id(shared: &Shared, session: u32, number: u64) -> OperationId {
    let number = (number - 1) % u64::from(SETUP - 1) + 1;
    OperationId::new(shared.plan.seed, session, number as u32)
}
