//! Redis goes and comes back: refused at once meanwhile, and taken up again without a restart.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;

use crate::world::*;

const LATEST: &str = "2025-11-25";

/// Asserts that a server refuses for want of Redis, and says so wherever it is asked.
async fn is_without_redis(server: &TestServer, session: &str) {
    for answer in [server.ping(session).await, server.post(initialize(LATEST)).send().await] {
        answer.refuses(503, -32000, "unreachable");
        assert!(answer.header("retry-after").is_some());
    }
    let answer = server.probe("/readyz").await;
    answer.refuses(503, -32000, "unreachable");
    assert!(answer.header("retry-after").is_some());
    let health = server.probe("/healthz").await;
    assert_eq!(health.status, StatusCode::OK);
    assert_eq!(
        health.message()["store"],
        json!({ "kind": "redis", "up": false, "on_failure": "refuse" })
    );
    is_in_mode(server, "refuse").await;
}

/// Asserts what a server's metrics say becomes of requests.
async fn is_in_mode(server: &TestServer, expected: &str) {
    let text = server.probe("/metrics").await.text();
    for mode in ["up", "refuse", "degrade"] {
        let value = u8::from(mode == expected);
        let line = format!("squall_server_store_mode{{mode=\"{mode}\"}} {value}");
        assert!(text.lines().any(|one| one == line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn a_server_whose_redis_dies_refuses_and_recovers_by_itself() {
    let Some(mut redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    let mut stream = server.stream(&id).await;
    is_in_mode(&server, "up").await;
    redis.kill();
    is_without_redis(&server, &id).await;
    redis.start_again().await;
    server.is_ready().await;
    is_in_mode(&server, "up").await;
    server.ping(&id).await.refuses(404, -32001, "initialize");
    assert_eq!(stream.next_event().await, None);
    let id = server.session(LATEST).await;
    let _stream = server.stream(&id).await;
    let told = server.tool(&id, "trigger-notification", &json!({ "kind": "tools" })).await;
    assert_eq!((&told["streams"], &told["replicas"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn notifications_reach_every_server_again_once_redis_is_back() {
    let Some(mut redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    for _ in 0..3 {
        redis.kill();
        for server in [&a, &b] {
            server.is_unready().await;
        }
        redis.start_again().await;
        for server in [&a, &b] {
            server.is_ready().await;
        }
        let ids = [a.session(LATEST).await, b.session(LATEST).await];
        let mut streams = [b.stream(&ids[0]).await, a.stream(&ids[1]).await];
        let told = a.tool(&ids[0], "trigger-notification", &json!({ "kind": "tools" })).await;
        assert_eq!((&told["streams"], &told["replicas"]), (&json!(1), &json!(2)), "{told}");
        for stream in &mut streams {
            let message = stream.next_message().await.expect("a notification");
            assert_eq!(message["method"], "notifications/tools/list_changed");
        }
    }
}

#[tokio::test]
async fn a_death_of_redis_is_noticed_though_nobody_asks_for_anything() {
    let Some(mut redis) = redis().await else { return };
    let server = redis.server().await;
    redis.kill();
    server.is_unready().await;
}

#[tokio::test]
async fn nothing_waits_for_a_redis_that_hangs() {
    let Some(redis) = redis().await else { return };
    let half_a_second = |config: &mut squall_server::Config| {
        config.redis_deadline = Duration::from_millis(500);
    };
    let server = redis.server_with(half_a_second).await;
    let id = server.session(LATEST).await;
    redis.freeze();
    server.ping(&id).await.refuses(503, -32000, "unreachable");
    // Were each to wait for the deadline, these would take far longer than a test may.
    let refused = async {
        for _ in 0..200 {
            is_without_redis(&server, &id).await;
        }
    };
    soon(refused).await;
    redis.thaw();
    server.is_ready().await;
    assert_eq!(server.ping(&id).await.result(), json!({}));
}

#[tokio::test]
async fn a_paused_redis_is_refused_for_and_taken_up_again() {
    let Some(redis) = redis().await else { return };
    let short = |config: &mut squall_server::Config| {
        config.redis_deadline = Duration::from_millis(200);
    };
    let server = redis.server_with(short).await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["CLIENT", "PAUSE", "3000"]).await;
    server.ping(&id).await.refuses(503, -32000, "unreachable");
    is_without_redis(&server, &id).await;
    server.is_ready().await;
    assert_eq!(server.ping(&id).await.result(), json!({}));
}

#[tokio::test]
async fn a_redis_that_changes_nothing_is_as_good_as_none() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await; // of nobody: it answers, and only reads
    server.is_unready().await;
    is_without_redis(&server, &id).await;
    redis.run::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    server.is_ready().await;
    assert_eq!(server.ping(&id).await.result(), json!({}));
}

#[tokio::test]
async fn a_server_starts_without_redis_and_is_ready_once_it_is_there() {
    let Some(mut redis) = redis().await else { return };
    redis.kill();
    let server = redis.server().await;
    is_without_redis(&server, &"0".repeat(32)).await;
    redis.start_again().await;
    server.is_ready().await;
    server.session(LATEST).await;
}

#[tokio::test]
async fn a_connection_that_is_merely_dropped_costs_no_request() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    for _ in 0..20 {
        let killed: u32 = redis.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        assert!(killed > 0);
        for answer in join_all((0..8).map(|_| server.ping(&id))).await {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        }
        server.session(LATEST).await;
    }
}

#[tokio::test]
async fn a_lookup_that_is_cut_off_half_way_is_made_again() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    for _ in 0..5 {
        let id = server.session(LATEST).await;
        redis.run::<()>(&["CLIENT", "PAUSE", "60000", "WRITE"]).await; // GETEX is held up
        let cut = async {
            while !redis.run::<String>(&["CLIENT", "LIST"]).await.contains("cmd=getex") {
                tokio::task::yield_now().await;
            }
            let killed: u32 = redis.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
            assert!(killed > 0);
            redis.run::<()>(&["CLIENT", "UNPAUSE"]).await;
        };
        let pings = join_all((0..8).map(|_| server.ping(&id)));
        let (answers, ()) = tokio::join!(pings, soon(cut));
        for answer in answers {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_server_stops_in_order_whatever_became_of_its_redis() {
    let Some(redis) = redis().await else { return };
    let mut server = redis.server_with(|config| config.grace = Duration::from_secs(50)).await;
    let id = server.session(LATEST).await;
    let mut stream = server.stream(&id).await;
    redis.freeze();
    server.ask_to_stop();
    assert_eq!(stream.next_event().await, None);
    server.stopped().await.expect("in order");
}

fn degrading(config: &mut squall_server::Config) {
    config.on_store_failure = squall_server::OnStoreFailure::Degrade;
    config.session_cache = Duration::from_millis(500);
}

#[tokio::test]
async fn a_degrading_server_goes_on_with_the_sessions_that_it_knows_and_begins_none() {
    let Some(mut redis) = redis().await else { return };
    let (server, other) = (redis.server_with(degrading).await, redis.server().await);
    let id = server.session(LATEST).await;
    let stranger = other.session(LATEST).await;
    redis.kill();
    let degraded = async {
        while server.probe("/readyz").await.message()["status"] != "degraded" {
            tokio::task::yield_now().await;
        }
    };
    soon(degraded).await;
    let health = server.probe("/healthz").await.message();
    assert_eq!(health["store"], json!({ "kind": "redis", "up": false, "on_failure": "degrade" }));
    is_in_mode(&server, "degrade").await;
    let echo = call("fast-echo", &json!({ "message": "still here" }));
    assert_eq!(server.post(echo).session(&id).send().await.tool_text(), "still here");
    let stats =
        server.post(call("get-server-stats", &json!({}))).session(&id).send().await.result();
    assert_eq!(stats["structuredContent"]["store"], health["store"]);
    server.ping(&stranger).await.refuses(503, -32000, "unreachable");
    server.post(initialize(LATEST)).send().await.refuses(503, -32000, "unreachable");
    let lost = server.post(call("trigger-notification", &json!({ "kind": "tools" })));
    assert_eq!(lost.session(&id).send().await.result()["isError"], true);
    redis.start_again().await;
    let forgotten = async {
        while server.ping(&id).await.status != StatusCode::NOT_FOUND {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
}
