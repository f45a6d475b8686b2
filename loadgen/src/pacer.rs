//! The one task that says, in the open model, what is due now.

use std::sync::Arc;

use squall_model::history::Cause;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use crate::pace::{Pace, Schedule};
use crate::session::operation_id;
use crate::shared::{Job, Shared};
use crate::timer::Timer;
use crate::workload::Workload;

/// How many due operations all queues together hold at most, but each at least [`SHORTEST_QUEUE`].
const MOST_QUEUED: usize = 1_000_000;
const SHORTEST_QUEUE: usize = 64;
const LONGEST_QUEUE: usize = 65_536;
/// How many are handed out before other tasks get a turn.
const BURST: u64 = 64;

/// How many due operations may wait for one session.
pub(crate) fn queue_length(sessions: u32) -> usize {
    (MOST_QUEUED / sessions.max(1) as usize).clamp(SHORTEST_QUEUE, LONGEST_QUEUE)
}

/// Hands out operations when they are due, until the schedule ends or it is enough.
///
/// What is due goes to a queue even if it comes too late: it is for the session to say what became
/// of it. A queue that is full means that the server is far behind; the operation is recorded as not
/// sent.
pub(crate) async fn run(
    shared: Arc<Shared>,
    schedule: Schedule,
    queues: Vec<mpsc::Sender<Job>>,
    workload: Arc<Workload>,
    mut timer: Timer,
) {
    let start = Instant::now();
    let mut stopped_at = None;
    let mut sent = 0;
    loop {
        if stopped_at.is_none() && shared.enough.is_cancelled() {
            stopped_at = Some(start.elapsed());
        }
        match schedule.next(stopped_at.unwrap_or_else(|| start.elapsed()), sent) {
            Pace::Send => {
                dispatch(&shared, &schedule, &queues, &workload, start, sent);
                sent += 1;
                if sent % BURST == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Pace::Wait(until) if stopped_at.is_none() => {
                let Some(deadline) = start.checked_add(until) else {
                    break;
                };
                tokio::select! {
                    () = timer.wait_until(deadline) => {}
                    () = shared.enough.cancelled() => {}
                }
            }
            Pace::Wait(_) | Pace::Stop => break,
        }
    }
}

fn dispatch(
    shared: &Shared,
    schedule: &Schedule,
    queues: &[mpsc::Sender<Job>],
    workload: &Workload,
    start: Instant,
    number: u64,
) {
    let sessions = queues.len() as u64;
    let index = (number % sessions) as usize;
    let job = Job {
        id: operation_id(shared, index as u32 + 1, number / sessions + 1),
        due: shared.clock().at(start).plus(schedule.due(number)),
    };
    match queues[index].try_send(job) {
        Ok(()) => {}
        Err(TrySendError::Full(job) | TrySendError::Closed(job)) => {
            shared.skip(job, workload, Cause::NotSent);
        }
    }
}
