//! Notifications over Redis: raised on one server, heard on all, in one order.

use serde_json::{Value, json};

use crate::world::*;

const LATEST: &str = "2025-11-25";

async fn trigger(server: &TestServer, session: &str, arguments: Value) -> Value {
    server.tool(session, "trigger-notification", &arguments).await
}

#[tokio::test]
async fn what_is_raised_on_one_server_reaches_the_streams_of_all() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let ids = [a.session(LATEST).await, a.session(LATEST).await];
    let mut streams = [a.stream(&ids[0]).await, b.stream(&ids[1]).await];
    let told = trigger(&a, &ids[0], json!({ "kind": "tools" })).await;
    assert_eq!((&told["streams"], &told["replicas"]), (&json!(1), &json!(2)), "{told}");
    for stream in &mut streams {
        let message = stream.next_message().await.expect("a notification");
        assert_eq!(message["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn what_is_for_one_session_finds_its_stream_wherever_it_is() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let ids = [a.session(LATEST).await, a.session(LATEST).await];
    let mut own = b.stream(&ids[0]).await;
    let mut others = b.stream(&ids[1]).await;
    let told = trigger(&a, &ids[0], json!({ "kind": "custom", "to": "session" })).await;
    assert_eq!((&told["streams"], &told["replicas"]), (&json!(0), &json!(2)), "{told}");
    trigger(&a, &ids[1], json!({ "kind": "prompts" })).await;
    let method =
        async |stream: &mut Opened| stream.next_message().await.expect("one")["method"].clone();
    assert_eq!(method(&mut own).await, "notifications/squall/custom");
    assert_eq!(method(&mut own).await, "notifications/prompts/list_changed");
    assert_eq!(method(&mut others).await, "notifications/prompts/list_changed");
}

#[tokio::test]
async fn all_streams_hear_the_same_order() {
    let Some(redis) = redis().await else { return };
    let servers = [redis.server().await, redis.server().await];
    let ids = [servers[0].session(LATEST).await, servers[0].session(LATEST).await];
    let mut streams = [servers[0].stream(&ids[0]).await, servers[1].stream(&ids[1]).await];
    for number in 0..20 {
        let arguments = json!({ "kind": "custom", "data": { "number": number } });
        trigger(&servers[number % 2], &ids[0], arguments).await;
    }
    for stream in &mut streams {
        for number in 0..20 {
            let message = stream.next_message().await.expect("a notification");
            assert_eq!(message["params"]["data"]["number"], number);
        }
    }
}

#[tokio::test]
async fn whatever_else_is_on_the_channel_harms_nobody() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    let mut stream = server.stream(&id).await;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    let request = json!({ "notification": { "id": 1, "to": "all", "message": message } });
    let (open, close) = ("[".repeat(9000), "]".repeat(9000));
    let nested = format!(r#"{{"notification":{{"id":1,"to":"all","message":{open}{close}}}}}"#);
    let request = request.to_string();
    for garbage in ["", "nonsense", "{}", "null", &request, &nested, &"x".repeat(1 << 20)] {
        let heard: u32 = redis.run(&["PUBLISH", "squall:notifications", garbage]).await;
        assert_eq!(heard, 1);
    }
    let told = trigger(&server, &id, json!({ "kind": "resources" })).await;
    assert_eq!(told["streams"], 1, "{told}");
    let message = stream.next_message().await.expect("a notification");
    assert_eq!(message["method"], "notifications/resources/list_changed");
}

#[tokio::test]
async fn a_notification_that_redis_refuses_is_a_failure_and_is_counted() {
    let Some(redis) = redis().await else { return };
    let server = redis.server().await;
    let id = server.session(LATEST).await;
    redis.run::<()>(&["ACL", "SETUSER", "default", "-publish"]).await;
    let body = call("trigger-notification", &json!({ "kind": "tools" }));
    let result = server.post(body).session(&id).send().await.result();
    assert_eq!(result["isError"], true, "{result}");
    assert!(result.to_string().contains("run this command"), "{result}");
    let stats = server.tool(&id, "get-server-stats", &json!({})).await;
    assert_eq!(stats["notifications"], json!({ "sent": 0, "failed": 1 }));
}

#[tokio::test]
async fn a_server_whose_subscription_was_cut_off_hears_again() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session(LATEST).await;
    let mut stream = b.stream(&id).await;
    let cut: u32 = redis.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(cut, 2);
    let heard_again = async {
        while trigger(&a, &id, json!({ "kind": "tools" })).await["replicas"] != 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(heard_again).await;
    assert!(stream.next_message().await.is_some());
    b.is_ready().await;
}
