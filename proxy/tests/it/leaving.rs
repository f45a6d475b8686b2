//! A client that leaves is gone for everybody: whatever its request waits for, nothing is left of it.

use crate::fixture::{self, Connections, Running, by_hand, run};
use crate::wire::{DEADLINE, Wire, call, post};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";

async fn proxy() -> (Running, Connections) {
    let (address, connections) = by_hand().await;
    (run(fixture::config(&[address])), connections)
}

async fn server(connections: &mut Connections) -> Wire {
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server
}

#[tokio::test]
async fn while_the_server_thinks() {
    let (proxy, mut connections) = proxy().await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = server(&mut connections).await;
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn while_the_answer_is_under_way() {
    let (proxy, mut connections) = proxy().await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = server(&mut connections).await;
    server.send(HEAD).await;
    client.head().await.expect("a head");
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn while_the_answer_is_held() {
    for effect in [r#"{"drop":{}}"#, r#"{"latency":{"delay":"1h"}}"#] {
        let (proxy, mut connections) = proxy().await;
        let scope = r#"{"direction":"response"}"#;
        proxy.add(&format!(r#"{{"id":"f","match":{scope},"effect":{effect}}}"#)).await;
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        let mut server = server(&mut connections).await;
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        proxy.hit("f").await;
        drop(client);
        server.end().await;
    }
}

#[tokio::test]
async fn while_the_connection_is_stalled_with_a_request_on_its_way() {
    for effect in [r#"{"blackhole":{}}"#, r#"{"latency":{"delay":"1h","at":"connection"}}"#] {
        let (proxy, mut connections) = proxy().await;
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        let mut server = server(&mut connections).await;
        proxy.add(&format!(r#"{{"id":"f","effect":{effect}}}"#)).await;
        proxy.hit("f").await;
        drop(client);
        server.end().await;
    }
}

/// How many TCP connections of this process end at the address, from `/proc/net/tcp`: without those
/// that are over on both sides.
fn open_sockets(proxy: &Running) -> usize {
    let port = format!(":{:04X}", proxy.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        // ESTABLISHED or CLOSE_WAIT, on the proxy's side.
        local.ends_with(&port) && matches!(fields.nth(1), Some("01" | "08"))
    };
    table.lines().filter(is_open).count()
}

#[tokio::test]
async fn hundreds_who_leave_while_they_are_held_leave_no_socket_behind() {
    for effect in [r#"{"drop":{}}"#, r#"{"latency":{"delay":"1h"}}"#, r#"{"blackhole":{}}"#] {
        let (proxy, mut connections) = proxy().await;
        proxy.add(&format!(r#"{{"id":"f","effect":{effect}}}"#)).await;
        let mut clients = Vec::new();
        for number in 0..300 {
            let mut client = proxy.connect().await;
            client.send(post("", &call(number, "x"))).await;
            clients.push(client);
        }
        while proxy.hits("f").await < 300 {
            tokio::task::yield_now().await;
        }
        assert!(open_sockets(&proxy) > 0);
        drop(clients);
        let all_gone = async {
            while open_sockets(&proxy) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, all_gone).await.expect("no socket is left behind");
        assert!(connections.try_recv().is_none(), "nothing was forwarded");
    }
}
