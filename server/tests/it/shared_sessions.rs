//! Sessions in Redis: one session for all servers, whatever becomes of one of them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::world::*;

const LATEST: &str = "2025-11-25";

fn key(session: &str) -> String {
    format!("squall:session:{session}")
}

async fn end(server: &TestServer, session: &str) -> StatusCode {
    server.ask(Method::DELETE).session(session).send().await.status
}

#[tokio::test]
async fn a_session_of_one_server_works_on_the_other() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session("2025-03-26").await;
    assert_eq!(b.ping(&id).await.result(), json!({}));
    let batch = b.post(format!("[{PING}]")).session(&id).send().await;
    assert_eq!(batch.status, StatusCode::OK, "it speaks the version that was settled elsewhere");
    b.stream(&id).await;
}

#[tokio::test]
async fn a_session_survives_the_restart_of_its_server() {
    let Some(redis) = redis().await else { return };
    let mut server = redis.server().await;
    let id = server.session(LATEST).await;
    server.ask_to_stop();
    server.stopped().await.expect("in order");
    assert_eq!(redis.server().await.ping(&id).await.result(), json!({}));
}

#[tokio::test]
async fn a_session_that_ends_on_one_server_ends_on_all_and_so_does_its_stream() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let (id, other) = (a.session(LATEST).await, a.session(LATEST).await);
    let mut stream = b.stream(&id).await;
    let _other = b.stream(&other).await;
    assert_eq!(end(&a, &id).await, StatusCode::NO_CONTENT);
    b.ping(&id).await.refuses(404, -32001, "initialize");
    assert_eq!(end(&b, &id).await, StatusCode::NOT_FOUND);
    assert_eq!(stream.next_event().await, None);
    let stats = b.tool(&other, "get-server-stats", &json!({})).await;
    assert_eq!((&stats["open_streams"], &stats["sessions"]["active"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_flush_ends_every_session_at_once_and_every_stream_soon() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    let mut stream = server.stream(&id).await;
    redis.run::<()>(&["FLUSHALL"]).await;
    server.ping(&id).await.refuses(404, -32001, "initialize");
    assert_eq!(stream.next_event().await, None);
}

#[tokio::test]
async fn use_and_an_open_stream_give_a_session_another_ttl() {
    let Some(redis) = redis().await else { return };
    let hour = |config: &mut squall_server::Config| {
        config.session_ttl = Duration::from_secs(3600);
        config.heartbeat = Duration::from_millis(5);
    };
    let server = redis.server_with(hour).await;
    let id = server.session(LATEST).await;
    let shorten = async || {
        let set: bool = redis.run(&["PEXPIRE", &key(&id), "60000"]).await;
        assert!(set);
    };
    let ttl = async || redis.run::<u64>(&["PTTL", &key(&id)]).await;
    assert!((60_001..=3_600_000).contains(&ttl().await));
    shorten().await;
    server.ping(&id).await.result();
    assert!((60_001..=3_600_000).contains(&ttl().await));
    let mut stream = server.stream(&id).await;
    shorten().await;
    while ttl().await <= 60_000 {
        assert_eq!(stream.next_event().await.as_deref(), Some(&b": heartbeat\n\n"[..]));
    }
}

#[tokio::test]
async fn an_expired_session_is_gone_and_its_stream_ends() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    let mut stream = server.stream(&id).await;
    redis.run::<bool>(&["PEXPIRE", &key(&id), "1"]).await;
    assert_eq!(stream.next_event().await, None);
    server.ping(&id).await.refuses(404, -32001, "initialize");
}

#[tokio::test]
async fn an_id_that_was_never_given_out_does_not_reach_redis() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    let mut seen = redis.monitor().await;
    let upper = "ABCDEF0123456789ABCDEF0123456789";
    let long = format!("{id}{id}");
    for hostile in ["*", "hostile", "squall:session:x", upper, &id[1..], &long, "a\"$1'\\"] {
        server.ping(hostile).await.refuses(404, -32001, "initialize");
        server.post(initialize(LATEST)).session(hostile).send().await.refuses(404, -32001, "");
        assert_eq!(end(&server, hostile).await, StatusCode::NOT_FOUND);
    }
    server.ping(&id).await.result();
    // The one lookup of a session that Redis was asked for since is that of the real one.
    let lookup = loop {
        let line = seen.next_line().await.expect("a line").expect("Redis runs");
        let is_upkeep = line.contains("squall:session:probe") || line.contains("\"PING\"");
        assert!(is_upkeep || line.contains("GETEX"), "{line}");
        if line.contains("GETEX") {
            break line;
        }
    };
    assert!(lookup.contains(&format!(r#""GETEX" "{}""#, key(&id))), "{lookup}");
    assert_eq!(redis.run::<Vec<String>>(&["KEYS", "*"]).await, [key(&id)]);
}

#[tokio::test]
async fn a_value_that_is_no_version_is_no_session() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    for value in ["", "1", "2025-11-25", "{}", r#"{"version":"2026-07-28"}"#, &"x".repeat(100_000)]
    {
        redis.run::<()>(&["SET", &key(&id), value]).await;
        server.ping(&id).await.refuses(404, -32001, "initialize");
    }
    redis.run::<()>(&["SET", &key(&id), r#"{"version":"2025-06-18"}"#]).await;
    let mut stream = server.stream(&id).await;
    redis.run::<()>(&["DEL", &key(&id)]).await;
    redis.run::<()>(&["RPUSH", &key(&id), "2025-11-25"]).await;
    server.ping(&id).await.refuses(404, -32001, "initialize");
    assert_eq!(stream.next_event().await, None);
}

#[tokio::test]
async fn the_limit_holds_for_all_servers_together() {
    let Some(redis) = redis().await else { return };
    let two = |config: &mut squall_server::Config| config.max_sessions = 2;
    let (a, b) = (redis.server_with(two).await, redis.server_with(two).await);
    let first = a.session(LATEST).await;
    b.session(LATEST).await;
    for server in [&a, &b] {
        let answer = server.post(initialize(LATEST)).send().await;
        answer.refuses(503, -32000, "all 2 sessions");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(end(&b, &first).await, StatusCode::NO_CONTENT);
    a.session(LATEST).await;
}

#[tokio::test]
async fn a_server_tells_where_its_sessions_are() {
    let Some(redis) = redis().await else { return };
    for (server, expected) in [
        (server().await, json!({ "kind": "memory", "up": true })),
        (redis.server().await, json!({ "kind": "redis", "up": true, "on_failure": "refuse" })),
    ] {
        assert_eq!(server.probe("/healthz").await.message()["store"], expected);
        assert_eq!(server.probe("/readyz").await.status, StatusCode::OK);
        let id = server.session(LATEST).await;
        let stats = server.tool(&id, "get-server-stats", &json!({})).await;
        assert_eq!(stats["store"], expected);
    }
}

fn believing(config: &mut squall_server::Config) {
    config.session_cache = Duration::from_secs(3600);
}

#[tokio::test]
async fn a_server_that_has_just_seen_a_session_does_not_ask_for_it_again() {
    let Some(redis) = redis().await else { return };
    let server = redis.server_with(believing).await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["FLUSHALL"]).await;
    server.ping(&id).await.result();
}

#[tokio::test]
async fn what_another_server_does_to_a_session_is_known_at_once() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server_with(believing).await, redis.server_with(believing).await);
    let id = a.session(LATEST).await;
    b.ping(&id).await.result();
    let quiet = request("logging/setLevel", &json!({ "level": "error" }));
    a.post(quiet).session(&id).send().await.result();
    let quietly = async {
        loop {
            let body = call_with_progress("fetch-data", &json!({ "delay_ms": 0 }));
            let messages = b.post(body).session(&id).send().await.messages();
            if messages.iter().all(|one| one["method"] != "notifications/message") {
                return;
            }
        }
    };
    soon(quietly).await;
    assert_eq!(end(&a, &id).await, StatusCode::NO_CONTENT);
    let ended = async { while b.ping(&id).await.status != StatusCode::NOT_FOUND {} };
    soon(ended).await;
}

#[tokio::test]
async fn a_session_that_is_ended_in_redis_is_gone_within_a_moment() {
    let Some(redis) = redis().await else { return };
    let moment = |config: &mut squall_server::Config| {
        config.session_cache = Duration::from_millis(100);
    };
    let server = redis.server_with(moment).await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["FLUSHALL"]).await;
    let ended = async { while server.ping(&id).await.status != StatusCode::NOT_FOUND {} };
    soon(ended).await;
}
