//! The course of a load: first handshakes, a look at the server, arrivals, the end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::discover::discover;
use crate::load::{NotReady, Ready};
use crate::pace::{Schedule, share};
use crate::plan::{Arrivals, Extent};
use crate::session::Session;
use crate::shared::Shared;
use crate::timer::Timer;
use crate::workload::offer::Offer;
use crate::workload::{Workload, needs_offer};
use crate::{pacer, worker};

/// How many sessions are asked what the server offers before it is given up.
const EXPLORERS: usize = 3;

/// Whether the load is ready, once that is known.
pub(crate) type Readiness = Option<Result<Ready, NotReady>>;

/// Runs the whole load. When it is stopped, what is in flight has the plan's grace.
pub(crate) async fn conduct(shared: Arc<Shared>, readiness: watch::Sender<Readiness>) {
    let cut_after_grace = async {
        shared.stop.cancelled().await;
        sleep(shared.plan.grace).await;
        shared.wire.cut.cancel();
        pending::<()>().await;
    };
    tokio::select! {
        () = run(&shared, &readiness) => {}
        () = cut_after_grace => {}
    }
    readiness.send_if_modified(|known| {
        let is_open = known.is_none();
        known.get_or_insert(Err(NotReady::Stopped));
        is_open
    });
}

async fn run(shared: &Arc<Shared>, readiness: &watch::Sender<Readiness>) {
    let begun = Instant::now();
    let deadline = begun + shared.plan.ready_timeout;
    let mut sessions = first_handshakes(shared, deadline).await;
    let workload = match prepare(shared, &mut sessions).await {
        Ok(workload) => Arc::new(workload),
        Err(error) => {
            readiness.send_replace(Some(Err(error)));
            close_all(sessions).await;
            return;
        }
    };
    *shared.mix.lock() = Some(workload.mix().to_string());
    let (crew, queues, go) = Crew::hire(shared, sessions, &workload);
    let all_ready = wait_until_ready(shared, deadline).await;
    let known =
        all_ready.map(|sessions| Ready { sessions, mix: workload.mix(), took: begun.elapsed() });
    readiness.send_replace(Some(known));
    go.cancel();
    if let Arrivals::Open { rate } = shared.plan.arrivals {
        let schedule = Schedule::new(rate, shared.plan.extent);
        pacer::run(Arc::clone(shared), schedule, queues, workload, Timer::precise()).await;
    }
    crew.finish(shared).await;
}

/// One attempt each, in the order of the sessions' numbers, as many at a time as the plan says.
async fn first_handshakes(shared: &Arc<Shared>, deadline: Instant) -> Vec<Session> {
    let attempt = |number| async move {
        let mut session = Session::new(shared, number);
        if Instant::now() < deadline && !shared.stop.is_cancelled() {
            session.handshake().await;
        }
        session
    };
    let at_a_time = shared.plan.connect_concurrency.get() as usize;
    let attempts = futures_util::stream::iter(1..=shared.plan.sessions.get()).map(attempt);
    attempts.buffered(at_a_time).collect().await
}

/// Fits the mix to the server. With no session at all there is nothing to fit it to.
async fn prepare(shared: &Arc<Shared>, sessions: &mut [Session]) -> Result<Workload, NotReady> {
    if shared.stop.is_cancelled() {
        return Err(NotReady::Stopped);
    }
    if !sessions.iter().any(Session::is_ready) {
        return Err(too_few(shared));
    }
    let offer = if needs_offer(&shared.plan.mix) {
        explore(shared, sessions).await?
    } else {
        Offer::default()
    };
    Ok(Workload::fit(&shared.plan.mix, &offer, shared.plan.seed)?)
}

/// Asks on the first session that is ready; where that fails, on the next. Every attempt is recorded.
async fn explore(shared: &Shared, sessions: &mut [Session]) -> Result<Offer, NotReady> {
    let mut last = NotReady::Stopped;
    let ready = sessions.iter_mut().filter(|session| session.is_ready());
    for session in ready.take(EXPLORERS) {
        match discover(session).await {
            Ok(offer) => return Ok(offer),
            Err((method, cause)) => {
                last = NotReady::Unexplored {
                    target: shared.plan.target.to_string(),
                    method,
                    cause: cause.to_string(),
                };
            }
        }
    }
    Err(last)
}

async fn wait_until_ready(shared: &Shared, deadline: Instant) -> Result<u32, NotReady> {
    let total = shared.plan.sessions.get();
    let mut ready = shared.population.ever_ready.subscribe();
    let all = ready.wait_for(|ready| *ready >= total);
    tokio::select! {
        biased;
        _ = all => Ok(total),
        () = shared.stop.cancelled() => Err(NotReady::Stopped),
        () = sleep_until(deadline) => Err(too_few(shared)),
    }
}

fn too_few(shared: &Shared) -> NotReady {
    let cause = shared.with_stats(crate::stats::Stats::commonest_setup_error);
    let cause = cause.unwrap_or_else(|| "there was no time left to try".to_owned());
    let note = shared.wire.notes.first();
    NotReady::TooFew {
        ready: *shared.population.ever_ready.borrow(),
        total: shared.plan.sessions.get(),
        target: shared.plan.target.to_string(),
        cause: note.map_or(cause.clone(), |note| format!("{cause} ({note})")),
    }
}

async fn close_all(sessions: Vec<Session>) {
    let mut closing = JoinSet::new();
    for session in sessions {
        closing.spawn(session.close());
    }
    // Not `join_all`: it panics when the runtime goes first.
    while closing.join_next().await.is_some() {}
}

/// The tasks of all sessions.
struct Crew(JoinSet<()>);

impl Crew {
    /// Gives each session a task, in the open model with a queue.
    fn hire(
        shared: &Arc<Shared>,
        sessions: Vec<Session>,
        workload: &Arc<Workload>,
    ) -> (Self, Vec<mpsc::Sender<crate::shared::Job>>, CancellationToken) {
        let go = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        let length = pacer::queue_length(shared.plan.sessions.get());
        for (session, number) in sessions.into_iter().zip(1..) {
            let (shared, workload) = (Arc::clone(shared), Arc::clone(workload));
            match shared.plan.arrivals {
                Arrivals::Open { .. } => {
                    let (queue, due) = mpsc::channel(length);
                    queues.push(queue);
                    tasks.spawn(worker::run_open(shared, session, workload, due));
                }
                Arrivals::Closed { think } => {
                    let quota = quota(&shared, number);
                    let go = go.clone();
                    tasks.spawn(worker::run_closed(shared, session, workload, think, quota, go));
                }
            }
        }
        (Self(tasks), queues, go)
    }

    /// Waits for all. When arrivals have ended by themselves, what is still queued has the plan's
    /// grace before it counts as not sent.
    async fn finish(mut self, shared: &Shared) {
        let patience = match (shared.plan.arrivals, shared.plan.extent) {
            (Arrivals::Open { .. }, _) => Some(Duration::ZERO),
            (Arrivals::Closed { .. }, Extent::For(duration)) => Some(duration),
            (Arrivals::Closed { .. }, _) => None,
        };
        tokio::select! {
            () = self.join() => return,
            () = after(patience.map(|time| time.saturating_add(shared.plan.grace))) => {}
        }
        shared.stop.cancel();
        self.join().await;
    }

    async fn join(&mut self) {
        while let Some(ended) = self.0.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a session's task ended by itself");
            }
        }
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

fn quota(shared: &Shared, session: u32) -> worker::Quota {
    let (operations, duration) = match shared.plan.extent {
        Extent::UntilStopped => (None, None),
        Extent::For(duration) => (None, Some(duration)),
        Extent::Operations(total) => {
            (Some(share(total, session, shared.plan.sessions.get())), None)
        }
    };
    worker::Quota { operations, duration }
}
