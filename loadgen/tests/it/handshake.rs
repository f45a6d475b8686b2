//! What every request carries, and how sessions are opened and ended.

use std::collections::HashSet;

use http::Method;
use squall_loadgen::{Mix, Plan};

use crate::run::{plan, run};
use crate::server::{Act, server, tool};

#[tokio::test]
async fn every_post_accepts_both_json_and_event_streams() {
    let server = server().run().await;
    run(plan(&server.target, 3, 12)).await;
    let seen = server.seen();
    let posts = seen.iter().filter(|seen| seen.http == Method::POST);
    let accepts: Vec<_> = posts.map(|seen| seen.header("accept")).collect();
    assert_eq!(accepts.len(), 3 * 2 + 1 + 12);
    let both = Some("application/json, text/event-stream");
    assert!(accepts.iter().all(|accept| *accept == both), "{accepts:?}");
}

#[tokio::test]
async fn header_and_meta_carry_the_operations_id() {
    let server = server().run().await;
    let run = run(plan(&server.target, 2, 10)).await;
    let sent: HashSet<_> = server
        .seen_of("tools/call")
        .iter()
        .map(|seen| {
            let meta = &seen.body["params"]["_meta"]["traceparent"];
            assert_eq!(meta.as_str(), seen.header("traceparent"));
            seen.operation()
        })
        .collect();
    let recorded: HashSet<_> = run.workload().iter().map(|operation| operation.id).collect();
    assert_eq!(sent, recorded);
    let initialize = &server.seen_of("initialize")[0];
    assert_eq!(initialize.operation(), run.operations[0].id);
}

#[tokio::test]
async fn session_and_version_are_sent_on_all_but_initialize() {
    let server = server().run().await;
    run(plan(&server.target, 2, 4)).await;
    for seen in server.seen() {
        let found = (seen.header("mcp-session-id"), seen.header("mcp-protocol-version"));
        if seen.method() == "initialize" {
            assert_eq!(found, (None, None));
        } else {
            assert!(found.0.is_some_and(|id| id.starts_with("session-")), "{seen:?}");
            assert_eq!(found.1, Some("2025-06-18"));
        }
    }
}

#[tokio::test]
async fn sessions_are_opened_in_the_order_of_their_numbers() {
    let server = server().run().await;
    run(plan(&server.target, 8, 1)).await;
    let opened = server.seen_of("initialize");
    let order: Vec<_> = opened.iter().map(|seen| seen.operation().session()).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn several_handshakes_at_a_time_open_all_sessions_too() {
    let server = server().run().await;
    let run = run(Plan {
        connect_concurrency: 4.try_into().expect("not zero"),
        ..plan(&server.target, 20, 20)
    })
    .await;
    assert_eq!(run.ready.expect("ready").sessions, 20);
    assert_eq!(server.seen_of("initialize").len(), 20);
}

#[tokio::test]
async fn a_server_without_session_ids_is_spoken_to_without_them() {
    let refuses = |seen: &crate::server::Seen| {
        if seen.is_call() && seen.nth == 2 { Act::Status(404) } else { Act::AsUsual }
    };
    let server = server().without_session_ids().that(refuses).run().await;
    let run = run(plan(&server.target, 1, 4)).await;
    assert!(server.seen().iter().all(|seen| seen.header("mcp-session-id").is_none()));
    assert_eq!(run.outcomes(), ["Ok", "Failed(Http(404))", "Ok", "Ok"]);
    assert_eq!(server.seen_of("initialize").len(), 1, "there was no session to lose");
}

#[tokio::test]
async fn sessions_are_ended_with_delete_and_405_is_fine() {
    let server = server().run().await;
    let run = run(plan(&server.target, 3, 3)).await;
    let mut deleted = server.seen();
    deleted.retain(|seen| seen.http == Method::DELETE);
    let ids: HashSet<_> = deleted.iter().filter_map(|seen| seen.header("mcp-session-id")).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(run.summary.totals.ok, 3);
}

#[tokio::test]
async fn sessions_are_left_alone_where_the_plan_says_so() {
    let server = server().run().await;
    run(Plan { end_sessions: false, ..plan(&server.target, 3, 3) }).await;
    assert!(server.seen().iter().all(|seen| seen.http != Method::DELETE));
}

#[tokio::test]
async fn a_200_to_initialized_is_a_breach_that_ends_no_session() {
    let sloppy = |seen: &crate::server::Seen| match seen.method() {
        "notifications/initialized" => Act::Status(200),
        _ => Act::AsUsual,
    };
    let server = server().that(sloppy).run().await;
    let run = run(plan(&server.target, 1, 2)).await;
    let handshakes = run.handshakes();
    assert!(handshakes[1].1.contains("HTTP 200 to a notification"), "{handshakes:?}");
    assert_eq!(run.summary.totals.ok, 2);
}

#[tokio::test]
async fn all_pages_of_the_tools_are_read_and_the_mix_is_fitted_to_them() {
    let tools = ["other", "fast-echo", "more", "slow-computation"].map(tool).to_vec();
    let server = server().with_tools(tools).in_pages_of(1).run().await;
    let run = run(plan(&server.target, 2, 4)).await;
    let mix = run.ready.expect("ready").mix.to_string();
    assert_eq!(mix, "tools/call fast-echo=40,tools/call slow-computation=20");
    assert_eq!(server.seen_of("tools/list").len(), 4);
}

#[tokio::test]
async fn a_server_that_is_not_ours_has_its_own_tools_called() {
    let server = server().with_tools(vec![tool("theirs")]).run().await;
    let run = run(plan(&server.target, 1, 3)).await;
    assert_eq!(run.summary.mix, "tools/call theirs=1");
    let call = &server.seen_of("tools/call")[0];
    assert_eq!(call.body["params"]["name"], "theirs");
    assert!(call.body["params"]["arguments"]["message"].is_string());
}

#[tokio::test]
async fn a_mix_that_names_what_is_not_offered_is_refused() {
    let server = server().run().await;
    let mix: Mix = "fast-ecko=1".parse().expect("a mix");
    let run = run(Plan { mix, ..plan(&server.target, 2, 4) }).await;
    let error = run.ready.expect_err("not offered").to_string();
    assert!(error.contains("did you mean `fast-echo`"), "{error}");
    assert_eq!(run.summary.totals.operations, 0);
}
