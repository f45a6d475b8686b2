//! The course of a load: what is due, when it ends, and that it repeats.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use squall_loadgen::{Arrivals, Clock, Extent, History, Load, Plan, is_setup};
use squall_model::chance::Seed;
use squall_model::history::{Cause, Outcome};

use crate::run::{all_numbers, open, plan, run};
use crate::server::{Act, Seen, server, tool};

#[tokio::test]
async fn every_due_operation_is_recorded_exactly_once() {
    let server = server().run().await;
    let run = run(plan(&server.target, 5, 100)).await;
    assert_eq!(run.numbers(), all_numbers(5, 20));
    assert_eq!((run.summary.totals.operations, run.summary.totals.ok), (100, 100));
    let latency = run.summary.operations[0].latency_ms.expect("latencies");
    assert!(latency.p50 <= latency.max);
}

#[tokio::test]
async fn due_times_keep_the_rate_however_late_the_answers_are() {
    let server = server().run().await;
    let run = run(plan(&server.target, 5, 50)).await;
    let mut due: Vec<_> = run.workload().iter().map(|op| op.due).collect();
    due.sort_unstable();
    let gaps = due.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.into_iter().all(|gap| gap == Duration::from_millis(1)));
    assert!(run.workload().iter().all(|op| op.sent >= Some(op.due)), "never early");
}

async fn ids_and_names(seed: u64, forget_at: u64) -> BTreeSet<(String, String)> {
    let tools = ["fast-echo", "slow-computation", "fetch-data"].map(tool).to_vec();
    let server = server().with_tools(tools).that(move |seen: &Seen| {
        if seen.is_call() && seen.nth == forget_at { Act::Forget } else { Act::AsUsual }
    });
    let server = server.run().await;
    let run = run(Plan { seed: Seed::new(seed), ..plan(&server.target, 5, 60) }).await;
    let pairs = run.workload().into_iter();
    pairs.map(|op| (op.id.to_string(), op.name.to_string())).collect()
}

#[tokio::test]
async fn the_same_seed_does_the_same_operations_even_if_sessions_are_lost() {
    let first = ids_and_names(7, 0).await;
    assert_eq!(first.len(), 60);
    assert_eq!(first, ids_and_names(7, 13).await);
    assert!(first.is_disjoint(&ids_and_names(8, 0).await));
}

#[tokio::test]
async fn a_closed_model_shares_the_operations_among_its_sessions() {
    let server = server().run().await;
    let run = run(Plan {
        arrivals: Arrivals::Closed { think: Duration::from_millis(1) },
        ..plan(&server.target, 3, 12)
    })
    .await;
    assert_eq!(run.numbers(), all_numbers(3, 4));
    assert_eq!(run.summary.totals.ok, 12);
}

#[tokio::test]
async fn a_closed_model_survives_the_loss_of_its_sessions() {
    let server =
        server().that(
            |seen: &Seen| {
                if seen.is_call() && seen.nth == 4 { Act::Forget } else { Act::AsUsual }
            },
        );
    let server = server.run().await;
    let run = run(Plan {
        arrivals: Arrivals::Closed { think: Duration::ZERO },
        ..plan(&server.target, 2, 20)
    })
    .await;
    assert_eq!(run.numbers(), all_numbers(2, 10));
    assert_eq!(run.summary.errors["HTTP 404"], 2);
}

#[tokio::test]
async fn a_load_for_a_time_sends_what_is_due_in_that_time() {
    let server = server().run().await;
    let run =
        run(Plan { extent: Extent::For(Duration::from_millis(100)), ..plan(&server.target, 2, 0) })
            .await;
    assert_eq!(run.numbers(), all_numbers(2, 50));
}

#[tokio::test]
async fn a_drain_sends_what_is_due_already_and_loses_nothing() {
    let first = AtomicBool::new(true);
    let server = server().that(move |seen: &Seen| {
        let hangs = seen.is_call() && first.swap(false, Ordering::Relaxed);
        if hangs { Act::Hang } else { Act::AsUsual }
    });
    let server = server.run().await;
    let history = Arc::new(History::default());
    let plan = Plan {
        arrivals: open(1000.0),
        extent: Extent::UntilStopped,
        timeout: Duration::from_millis(300),
        ..plan(&server.target, 1, 0)
    };
    let load = Load::start(plan, Clock::start(), Arc::clone(&history) as _);
    server.until(|seen| seen.iter().any(Seen::is_call)).await;
    load.drain().await;
    let operations = history.take();
    let workload = operations.iter().filter(|op| !is_setup(op.id));
    let (first, rest): (Vec<_>, Vec<_>) = workload.partition(|op| op.id.number() == 1);
    assert_eq!(first[0].outcome, Outcome::Unknown(Cause::Timeout));
    assert!(rest.iter().all(|op| op.outcome.is_ok()), "{rest:?}");
}

#[tokio::test]
async fn a_stop_records_what_was_in_flight_and_what_was_never_sent() {
    let server = server().that(|seen: &Seen| if seen.is_call() { Act::Hang } else { Act::AsUsual });
    let server = server.run().await;
    let history = Arc::new(History::default());
    let plan = Plan {
        arrivals: open(1000.0),
        extent: Extent::UntilStopped,
        grace: Duration::from_millis(10),
        ..plan(&server.target, 1, 0)
    };
    let load = Load::start(plan, Clock::start(), Arc::clone(&history) as _);
    server.until(|seen| seen.iter().any(Seen::is_call)).await;
    let summary = load.stop().await;
    let operations = history.take();
    let workload: Vec<_> = operations.iter().filter(|op| !is_setup(op.id)).collect();
    let mut numbers: Vec<_> = workload.iter().map(|op| op.id.number()).collect();
    numbers.sort_unstable();
    let contiguous = numbers.iter().copied().eq(1..=workload.len() as u32);
    assert!(contiguous, "nothing vanished: {numbers:?}");
    let (first, rest): (Vec<_>, Vec<_>) = workload.into_iter().partition(|op| op.id.number() == 1);
    assert_eq!(first[0].outcome, Outcome::Unknown(Cause::Timeout));
    assert!(rest.iter().all(|op| op.outcome == Outcome::Failed(Cause::NotSent)));
    assert_eq!(summary.totals.operations, numbers.len() as u64);
    assert_eq!(summary.totals.unknown, 1);
}

#[tokio::test]
async fn a_load_that_is_stopped_before_it_is_ready_says_so() {
    let server = server().that(|_: &Seen| Act::Hang).run().await;
    let plan = Plan { grace: Duration::from_millis(10), ..plan(&server.target, 3, 9) };
    let load = Load::start(plan, Clock::start(), Arc::new(()));
    server.until(|seen| !seen.is_empty()).await;
    let summary = load.stop().await;
    assert_eq!((summary.totals.operations, summary.sessions.never_ready), (0, 3));
}

#[tokio::test]
async fn progress_adds_up() {
    let server = server().run().await;
    let plan = plan(&server.target, 3, 30);
    let mut load = Load::start(plan, Clock::start(), Arc::new(()));
    load.ready().await.expect("ready");
    load.finished().await;
    let progress = load.progress();
    assert_eq!((progress.sessions, progress.sent, progress.ok), (3, 30, 30));
    assert_eq!((progress.in_flight, progress.ready), (0, 0));
}
