//! TCP routes: what is not HTTP passes as it is, and faults act on it.

use std::io::ErrorKind;
use std::net::SocketAddr;

use squall_proxy::client::{ChangedRoute, NewRoute};
use tokio::net::TcpStream;

use crate::fixture::{self, Connections, Running, by_hand, run};
use crate::wire::{End, Wire};

/// A proxy with one route, and where it leads.
async fn route() -> (Running, SocketAddr, Connections) {
    let (upstream, connections) = by_hand().await;
    let proxy = run(fixture::config(&[]));
    let route = NewRoute {
        name: "redis".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        upstream: upstream.to_string(),
        enabled: true,
    };
    let view = proxy.admin.add_route(&route).await.expect("a free port");
    (proxy, view.listen.parse().expect("an address"), connections)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_are_counted_as_they_move() {
    let (proxy, address, mut connections) = route().await;
    let mut client = Wire::connect(address).await;
    client.send("PING\r\n").await;
    let mut server = connections.recv().await.expect("a connection");
    assert_eq!(server.read_some().await, b"PING\r\n");
    server.send("+PONG\r\n").await;
    assert_eq!(client.read_some().await, b"+PONG\r\n");
    let view = &proxy.admin.routes().await.expect("the proxy runs")[0];
    assert_eq!((view.open, view.bytes_up, view.bytes_down), (1, 6, 7));
}

#[tokio::test]
async fn a_half_close_and_a_reset_are_passed_on() {
    let (_proxy, address, mut connections) = route().await;
    let mut client = Wire::connect(address).await;
    client.send("x").await;
    let mut server = connections.recv().await.expect("a connection");
    client.close_half().await;
    assert_eq!(server.rest().await, (b"x".to_vec(), End::Closed));
    server.send("still here").await;
    assert_eq!(client.read_some().await, b"still here");
    server.reset();
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_reset() {
    let (proxy, address, connections) = route().await;
    drop(connections);
    let change = ChangedRoute { upstream: Some("127.0.0.1:1".to_owned()), ..Default::default() };
    proxy.admin.change_route("redis", &change).await.expect("it is there");
    if let Some(mut client) = Wire::try_connect(address).await {
        assert_eq!(client.end().await, End::Reset);
    }
}

#[tokio::test]
async fn a_route_that_is_switched_off_refuses_and_ends_what_it_carried() {
    let (proxy, address, mut connections) = route().await;
    let mut client = Wire::connect(address).await;
    connections.recv().await.expect("a connection");
    let off = ChangedRoute { enabled: Some(false), ..Default::default() };
    let view = proxy.admin.change_route("redis", &off).await.expect("it is there");
    assert_eq!((view.enabled, view.listen), (false, address.to_string()));
    client.end().await;
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let on = ChangedRoute { enabled: Some(true), ..Default::default() };
    proxy.admin.change_route("redis", &on).await.expect("the port is free");
    Wire::connect(address).await;
    connections.recv().await.expect("a connection");
}

#[tokio::test]
async fn a_route_that_is_removed_is_gone() {
    let (proxy, address, _connections) = route().await;
    proxy.admin.remove_route("redis").await.expect("it is there");
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let refused = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(proxy.admin.remove_route("redis").await.is_err());
}

#[tokio::test]
async fn faults_act_on_the_route_that_they_name() {
    let (proxy, address, mut connections) = route().await;
    let mut client = Wire::connect(address).await;
    let mut server = connections.recv().await.expect("a connection");
    proxy
        .add(r#"{"id":"other","match":{"route":"mcp"},"effect":{"reset":{"at":"connection"}}}"#)
        .await;
    proxy.add(r#"{"id":"f","match":{"route":"redis"},"effect":{"limit-bytes":{"bytes":3}}}"#).await;
    proxy.hit("f").await;
    server.send("12345").await;
    assert_eq!(client.rest().await.0, b"123");
    assert_eq!(proxy.hits("other").await, 0);
}

#[tokio::test]
async fn a_name_or_a_port_that_is_taken_is_said() {
    let (proxy, address, _connections) = route().await;
    let new = |name: &str, listen: String| NewRoute {
        name: name.to_owned(),
        listen,
        upstream: "127.0.0.1:1".to_owned(),
        enabled: true,
    };
    for (route, says) in [
        (new("redis", "127.0.0.1:0".to_owned()), "there is a route `redis` already"),
        (new("other", address.to_string()), "cannot listen on"),
        (new("", "127.0.0.1:0".to_owned()), "cannot name a route"),
        (new("x", "nonsense".to_owned()), "HOST:PORT was expected"),
    ] {
        let error = proxy.admin.add_route(&route).await.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}
