//! What drives one session: a queue of due operations (open model), or its own thinking (closed).

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use squall_model::chance::DrawKey;
use squall_model::history::Cause;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::session::Session;
use crate::shared::{Job, Shared};
use crate::workload::Workload;

/// Open model: does what falls due, in order, until the queue is closed and empty.
pub(crate) async fn run_open(
    shared: Arc<Shared>,
    mut session: Session,
    workload: Arc<Workload>,
    mut queue: mpsc::Receiver<Job>,
) {
    loop {
        let next = if session.is_ready() {
            queue.recv().await.map(|job| (job, true))
        } else {
            match wait_for_session(&shared, &mut session, &mut queue).await {
                Wait::Tried => continue,
                Wait::Due(job) => Some((job, false)),
                Wait::Over => None,
            }
        };
        match next {
            Some((job, _)) if shared.stop.is_cancelled() => {
                shared.skip(job, &workload, Cause::NotSent);
            }
            Some((job, true)) => session.perform(job, &workload).await,
            Some((job, false)) => shared.skip(job, &workload, Cause::NoSession),
            None => break,
        }
    }
    session.close().await;
}

enum Wait {
    /// The session was asked for again, with or without success.
    Tried,
    /// An operation fell due that there is no session for.
    Due(Job),
    /// There will be no more operations.
    Over,
}

/// Operations that fall due while the handshake runs wait for it; those that fall due between two
/// attempts fail.
async fn wait_for_session(
    shared: &Shared,
    session: &mut Session,
    queue: &mut mpsc::Receiver<Job>,
) -> Wait {
    // Asked first, since a timer for now fires up to a millisecond late.
    let may_try = !shared.stop.is_cancelled();
    if may_try && Instant::now() >= session.retry_at {
        session.handshake().await;
        return Wait::Tried;
    }
    tokio::select! {
        biased;
        () = sleep_until(session.retry_at), if may_try => {
            session.handshake().await;
            Wait::Tried
        }
        job = queue.recv() => job.map_or(Wait::Over, Wait::Due),
    }
}

/// When a closed model's session is through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) operations: Option<u64>,
    pub(crate) duration: Option<Duration>,
}

/// Closed model: does an operation, thinks, does the next one.
pub(crate) async fn run_closed(
    shared: Arc<Shared>,
    mut session: Session,
    workload: Arc<Workload>,
    think: Duration,
    quota: Quota,
    go: CancellationToken,
) {
    // Workers are told to stop by one signal, wherever they are; what is in flight ends by itself.
    wait_for_go(&shared, &mut session, &go).await;
    let end = quota.duration.map(|duration| Instant::now() + duration);
    let mut done = 0;
    let first = session.id(1);
    let mut pause = drawn_pause(&shared, think, DrawKey::Operation(first), 0.0..=1.0);
    while quota.operations.is_none_or(|most| done < most) {
        tokio::select! {
            biased;
            () = shared.enough.cancelled() => break,
            () = sleep_until(end.unwrap_or_else(far_away)), if end.is_some() => break,
            () = sleep(pause), if session.is_ready() => {}
            () = sleep_until(session.retry_at), if !session.is_ready() => {}
        }
        if !session.is_ready() {
            session.handshake().await;
            pause = Duration::ZERO;
            continue;
        }
        done += 1;
        let id = session.id(done);
        let due = shared.clock().now();
        session.perform(Job { id, due }, &workload).await;
        pause = drawn_pause(&shared, think, DrawKey::Operation(id), 0.5..=1.5);
    }
    session.close().await;
}

async fn wait_for_go(shared: &Shared, session: &mut Session, go: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = go.cancelled() => return,
            () = sleep_until(session.retry_at), if !session.is_ready() => {
                session.handshake().await;
            }
        }
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn drawn_pause(
    shared: &Shared,
    think: Duration,
    key: DrawKey,
    factors: std::ops::RangeInclusive<f64>,
) -> Duration {
    let mut draw = shared.plan.seed.draw("think", key);
    think.mul_f64(draw.random_range(factors))
}
