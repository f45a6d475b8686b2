//! What becomes of sessions that are lost: a new `initialize`, and nothing hidden.

use std::collections::HashMap;
use std::time::Duration;

use squall_loadgen::{NotReady, Plan};
use squall_model::history::{Cause, Outcome};

use crate::run::{all_numbers, plan, run};
use crate::server::{Act, Seen, server};

fn forgets_at(nth: u64) -> impl Fn(&Seen) -> Act {
    move |seen| {
        if seen.is_call() && seen.nth == nth { Act::Forget } else { Act::AsUsual }
    }
}

#[tokio::test]
async fn each_lost_session_is_initialised_again_exactly_once_without_its_old_id() {
    let server = server().that(forgets_at(9)).run().await;
    let run = run(plan(&server.target, 4, 40)).await;
    let initialize = server.seen_of("initialize");
    let mut times: HashMap<u32, u32> = HashMap::new();
    for seen in &initialize {
        assert_eq!(seen.header("mcp-session-id"), None);
        *times.entry(seen.operation().session()).or_default() += 1;
    }
    assert_eq!(times, HashMap::from([(1, 2), (2, 2), (3, 2), (4, 2)]));
    assert_eq!(server.seen_of("notifications/initialized").len(), 8);
    let sessions = run.summary.sessions;
    assert_eq!((sessions.reinitialised, sessions.reinitialisations), (4, 4));
}

#[tokio::test]
async fn the_operation_that_met_the_404_is_recorded_and_never_repeated() {
    let server = server().that(forgets_at(9)).run().await;
    let run = run(plan(&server.target, 4, 40)).await;
    assert_eq!(run.numbers(), all_numbers(4, 10), "each once");
    let lost = run.workload().into_iter();
    let lost: Vec<_> = lost.filter(|op| op.outcome == Outcome::Failed(Cause::Http(404))).collect();
    assert_eq!(lost.len(), 4);
    assert!(lost.iter().all(|op| op.session.is_some()), "the id that was lost");
    assert_eq!(run.summary.totals.ok, 36);
    let mut sent: Vec<_> = server.seen_of("tools/call").iter().map(Seen::operation).collect();
    let all = sent.len();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!((all, sent.len()), (40, 40), "no id was sent twice");
}

#[tokio::test]
async fn the_new_session_is_another_one() {
    let server = server().that(forgets_at(3)).run().await;
    let run = run(plan(&server.target, 1, 6)).await;
    let sessions: Vec<_> = run.workload().iter().map(|op| op.session.clone()).collect();
    let ids: Vec<_> = sessions.iter().flatten().map(|id| &**id).collect();
    let (old, new) = ("session-1", "session-2");
    assert_eq!(ids, [old, old, old, new, new, new]);
}

#[tokio::test]
async fn a_400_or_500_where_404_is_due_starts_no_new_session() {
    for code in [400, 500] {
        let server = server().that(move |seen: &Seen| {
            if seen.is_call() && seen.nth > 2 { Act::Status(code) } else { Act::AsUsual }
        });
        let server = server.run().await;
        let run = run(plan(&server.target, 1, 6)).await;
        assert_eq!(server.seen_of("initialize").len(), 1);
        assert_eq!(run.summary.errors[&format!("HTTP {code}")], 4);
        assert_eq!(run.summary.sessions.reinitialised, 0);
    }
}

#[tokio::test]
async fn a_broken_connection_is_replaced_and_the_session_goes_on() {
    let server =
        server().that(
            |seen: &Seen| {
                if seen.is_call() && seen.nth == 2 { Act::Reset } else { Act::AsUsual }
            },
        );
    let server = server.run().await;
    let run = run(plan(&server.target, 1, 4)).await;
    assert_eq!(run.outcomes(), ["Ok", "Unknown(Reset)", "Ok", "Ok"]);
    let calls = server.seen_of("tools/call");
    let connections: Vec<_> = calls.iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1, 2, 2]);
    assert!(calls.iter().all(|seen| seen.header("mcp-session-id") == Some("session-1")));
}

#[tokio::test]
async fn a_session_that_cannot_be_had_again_fails_what_is_due_and_nothing_vanishes() {
    let server = server().that(|seen: &Seen| match seen.method() {
        "tools/call" if seen.nth == 3 => Act::Forget,
        "initialize" if seen.nth > 1 => Act::Status(503),
        _ => Act::AsUsual,
    });
    let server = server.run().await;
    let run = run(plan(&server.target, 1, 8)).await;
    let gone = "Failed(NoSession)";
    let expected = ["Ok", "Ok", "Failed(Http(404))", gone, gone, gone, gone, gone];
    assert_eq!(run.outcomes(), expected);
    assert!(run.handshakes().contains(&("initialize", "Failed(Http(503))".into())));
    assert_eq!(server.seen_of("tools/call").len(), 3);
}

#[tokio::test]
async fn a_failed_handshake_is_tried_again_until_there_is_a_session() {
    let server = server().that(|seen: &Seen| match seen.method() {
        "initialize" if [2, 3].contains(&seen.nth) => Act::Status(503),
        _ => Act::AsUsual,
    });
    let server = server.run().await;
    let run = run(plan(&server.target, 2, 10)).await;
    assert_eq!(run.ready.as_ref().expect("ready in the end").sessions, 2);
    assert_eq!(run.summary.totals.ok, 10);
    let failed = run.handshakes().into_iter().filter(|(_, outcome)| outcome != "Ok");
    assert_eq!(failed.count(), 2, "and every attempt is on record");
}

#[tokio::test]
async fn a_load_goes_on_without_the_sessions_that_are_never_ready() {
    let server = server().that(|seen: &Seen| match seen.method() {
        "initialize" if seen.operation().session() == 2 => Act::Status(500),
        _ => Act::AsUsual,
    });
    let server = server.run().await;
    let run =
        run(Plan { ready_timeout: Duration::from_secs(1), ..plan(&server.target, 3, 9) }).await;
    let error = run.ready.as_ref().expect_err("one is missing").to_string();
    assert!(error.starts_with("2 of 3 sessions"), "{error}");
    assert!(error.ends_with("HTTP 500"), "{error}");
    assert_eq!(run.summary.sessions.never_ready, 1);
    assert_eq!((run.summary.totals.ok, run.summary.errors["no session"]), (6, 3));
}

#[tokio::test]
async fn a_server_that_is_down_is_said_to_be_in_one_line() {
    let target = server().run().await.target.clone();
    let run = run(plan(&target, 10, 10)).await;
    let error = run.ready.as_ref().expect_err("nobody is there");
    assert!(matches!(error, NotReady::TooFew { ready: 0, total: 10, .. }), "{error:?}");
    let says = format!("0 of 10 sessions could be initialised at {target}: connection refused");
    assert_eq!(error.to_string(), says);
    assert_eq!(run.handshakes().len(), 10);
    assert!(run.summary.success_ratio() < f64::EPSILON);
}
