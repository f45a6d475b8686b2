//! The stream of a session over several servers: one at a time, the newest (basic/transports, multiple
//! connections).

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::world::*;

const LATEST: &str = "2025-11-25";

/// Sends a numbered notification to the stream of a session.
async fn send(server: &TestServer, session: &str, number: usize) -> Value {
    let arguments = json!({ "kind": "custom", "to": "session", "data": { "number": number } });
    server.tool(session, "trigger-notification", &arguments).await
}

/// Asserts what a stream brings next.
async fn brings(stream: &mut Opened, number: usize) {
    let message = stream.next_message().await.expect("a notification");
    assert_eq!(message["params"]["data"]["number"], number, "{message}");
}

fn takeover(fields: &Value) -> String {
    json!({ "takeover": fields }).to_string()
}

#[tokio::test]
async fn a_stream_that_is_opened_elsewhere_ends_in_order_and_the_new_one_alone_goes_on() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session(LATEST).await;
    let mut on_a = a.stream(&id).await;
    send(&b, &id, 0).await;
    for turn in 0..5 {
        let mut on_b = b.stream(&id).await;
        brings(&mut on_a, 2 * turn).await;
        assert_eq!(send(&a, &id, 2 * turn + 1).await["streams"], 0);
        assert_eq!(on_a.next_event().await, None);
        on_a = a.stream(&id).await;
        brings(&mut on_b, 2 * turn + 1).await;
        assert_eq!(send(&a, &id, 2 * turn + 2).await["streams"], 1);
        assert_eq!(on_b.next_event().await, None);
    }
    brings(&mut on_a, 10).await;
}

#[tokio::test]
async fn a_second_stream_on_one_server_is_refused_and_ends_nothing() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session(LATEST).await;
    let _before = b.stream(&id).await;
    let mut stream = a.stream(&id).await;
    a.ask_for_stream(&id).send().await.refuses(409, -32000, "close the other");
    assert_eq!(send(&a, &id, 1).await["streams"], 1);
    brings(&mut stream, 1).await;
}

#[tokio::test]
async fn a_stream_whose_client_left_is_opened_again_where_it_was() {
    let Some(redis) = redis().await else { return };
    let server = redis.server_with(|config| config.heartbeat = Duration::from_millis(5)).await;
    let id = server.session(LATEST).await;
    drop(server.stream(&id).await);
    let again = async {
        loop {
            let stream = server.ask_for_stream(&id).open().await;
            if stream.status == StatusCode::OK {
                break stream;
            }
        }
    };
    let mut stream = soon(again).await;
    send(&server, &id, 1).await;
    brings(&mut stream, 1).await;
}

#[tokio::test]
async fn sessions_that_move_do_not_disturb_the_others() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let (id, other) = (a.session(LATEST).await, a.session(LATEST).await);
    let mut moving = a.stream(&id).await;
    let mut resting = a.stream(&other).await;
    let mut moved = b.stream(&id).await;
    assert_eq!(moving.next_event().await, None);
    for (session, stream) in [(&id, &mut moved), (&other, &mut resting)] {
        send(&a, session, 1).await;
        brings(stream, 1).await;
    }
}

#[tokio::test]
async fn of_two_streams_that_are_opened_at_a_time_one_stays() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    for _ in 0..50 {
        let id = a.session(LATEST).await;
        let (mut on_a, mut on_b) = tokio::join!(a.stream(&id), b.stream(&id));
        send(&a, &id, 1).await;
        send(&b, &id, 2).await;
        let mut stays = match (on_a.next_message().await, on_b.next_message().await) {
            (Some(_), None) => on_a,
            (None, Some(_)) => on_b,
            (on_a, on_b) => panic!("one of two was expected: {on_a:?}, {on_b:?}"),
        };
        brings(&mut stays, 2).await;
    }
}

#[tokio::test]
async fn a_takeover_that_redis_refuses_is_no_stream_and_leaves_none_behind() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["ACL", "SETUSER", "default", "-publish"]).await;
    for _ in 0..2 {
        let answer = server.ask_for_stream(&id).send().await;
        answer.refuses(503, -32000, "run this command");
        assert!(answer.header("retry-after").is_some());
    }
    redis.run::<()>(&["ACL", "SETUSER", "default", "+publish"]).await;
    let mut stream = server.stream(&id).await;
    assert_eq!(send(&server, &id, 1).await["streams"], 1);
    brings(&mut stream, 1).await;
}

#[tokio::test]
async fn a_takeover_of_nobody_ends_the_stream_that_it_names_and_no_other() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let (id, other) = (server.session(LATEST).await, server.session(LATEST).await);
    let (mut named, mut spared) = (server.stream(&id).await, server.stream(&other).await);
    for forged in [
        takeover(&json!(null)),
        takeover(&json!({ "id": 1, "session": "*", "by": 1 })),
        takeover(&json!({ "id": 1, "session": id, "by": "all" })),
        takeover(&json!({ "id": 1, "session": id, "by": -1 })),
        takeover(&json!({ "id": 1, "session": format!("{id}\u{0}"), "by": 1 })),
        takeover(&json!({ "id": 1, "session": "0".repeat(32), "by": 1 })),
    ] {
        let heard: u32 = redis.run(&["PUBLISH", "squall:notifications", &forged]).await;
        assert_eq!(heard, 1);
    }
    send(&server, &id, 1).await;
    brings(&mut named, 1).await;
    let forged = takeover(&json!({ "id": 1, "session": id, "by": 1 }));
    redis.run::<u32>(&["PUBLISH", "squall:notifications", &forged]).await;
    assert_eq!(named.next_event().await, None);
    let mut again = server.stream(&id).await;
    for (session, stream) in [(&id, &mut again), (&other, &mut spared)] {
        send(&server, session, 2).await;
        brings(stream, 2).await;
    }
}

#[tokio::test]
async fn a_server_that_hears_nothing_opens_no_stream_and_makes_up_for_the_takeover_it_missed() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server_of("a").await, redis.server().await);
    let (id, other) = (a.session(LATEST).await, a.session(LATEST).await);
    let mut on_a = a.stream(&id).await;
    redis.run::<()>(&["ACL", "SETUSER", "a", "resetchannels"]).await;
    a.is_unready().await;
    a.ask_for_stream(&other).send().await.refuses(503, -32000, "does not hear");
    let mut on_b = b.stream(&id).await;
    redis.run::<()>(&["ACL", "SETUSER", "a", "allchannels"]).await;
    a.is_ready().await;
    assert_eq!(on_b.next_event().await, None);
    assert_eq!(send(&b, &id, 1).await["streams"], 0);
    brings(&mut on_a, 1).await;
    a.stream(&other).await;
}
