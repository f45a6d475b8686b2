//! The GET stream of a session: kept open, kept alive, one at a time, ended with the session.

use std::time::Duration;

use http::{Method, StatusCode};
use squall_model::mcp::header::EVENT_STREAM;

use crate::world::*;

#[tokio::test]
async fn a_stream_ends_in_order_when_its_session_is_ended() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let mut stream = server.ask_for_stream(&id).open().await;
    assert_eq!(stream.status, StatusCode::OK);
    assert_eq!(stream.headers["content-type"], EVENT_STREAM);
    server.ask(Method::DELETE).session(&id).send().await;
    assert_eq!(stream.next_event().await, None);
}

#[tokio::test]
async fn an_idle_stream_carries_heartbeats_and_keeps_its_session() {
    let change = |config: &mut squall_server::Config| {
        config.heartbeat = Duration::from_millis(5);
    };
    let server = server_with(change).await;
    let id = server.session("2025-11-25").await;
    let mut stream = server.ask_for_stream(&id).open().await;
    for _ in 0..3 {
        assert_eq!(stream.next_event().await.as_deref(), Some(&b": heartbeat\n\n"[..]));
    }
    assert_eq!(server.post(PING).session(&id).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_has_one_stream_at_a_time() {
    let server = server_with(|config| config.heartbeat = Duration::from_millis(5)).await;
    let id = server.session("2025-11-25").await;
    let first = server.ask_for_stream(&id).open().await;
    server.ask_for_stream(&id).send().await.refuses(409, -32000, "close the other");
    drop(first);
    let again = async {
        while server.ask_for_stream(&id).open().await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn the_streams_of_two_sessions_do_not_touch() {
    let server = server().await;
    let ids = [server.session("2025-11-25").await, server.session("2025-11-25").await];
    let mut first = server.ask_for_stream(&ids[0]).open().await;
    let mut second = server.ask_for_stream(&ids[1]).open().await;
    server.ask(Method::DELETE).session(&ids[0]).send().await;
    assert_eq!(first.next_event().await, None);
    let silence = tokio::time::timeout(Duration::ZERO, second.next_event()).await;
    assert!(silence.is_err(), "{silence:?}");
}
