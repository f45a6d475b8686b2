//! TLS and HTTP/2, on either side.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use squall_proxy::config::{HostHeader, HttpVersion, Identity, Limits, UpstreamPolicy};
use squall_proxy::{BindError, Config, Proxy};
use tokio::sync::Notify;

use crate::fixture::{self, Upstream, by_hand, ok, run};
use crate::secure::{Authority, Http2, Offer, Secure, call, get_http1, secured};
use crate::wire::{End, Wire};

const BOTH: &[&str] = &["h2", "http/1.1"];

fn to(upstream: &Secure, policy: UpstreamPolicy) -> Config {
    let upstreams = vec![upstream.url.parse().expect("an upstream")];
    Config { upstreams, policy, ..fixture::config(&[]) }
}

fn trusting(authority: &Authority) -> UpstreamPolicy {
    UpstreamPolicy { roots: Some(authority.root()), ..UpstreamPolicy::default() }
}

fn plain() -> Offer<'static> {
    Offer { authority: None, asks_clients: false, protocols: BOTH }
}

async fn get(proxy: &fixture::Running) -> (u16, String, Option<String>) {
    let mut client = proxy.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: proxy.test\r\n\r\n").await;
    let answer = client.message().await.expect("an answer");
    let cause = answer.header("x-squall-upstream-error").map(str::to_owned);
    (answer.status(), answer.text().to_owned(), cause)
}

#[tokio::test]
async fn an_https_upstream_is_spoken_to_in_the_version_that_both_can_and_by_its_own_name() {
    let authority = Authority::new();
    for (protocols, http, version) in [
        (BOTH, HttpVersion::Auto, "HTTP/2.0"),
        (&["http/1.1"], HttpVersion::Auto, "HTTP/1.1"),
        (&[], HttpVersion::Auto, "HTTP/1.1"),
        (BOTH, HttpVersion::Http1, "HTTP/1.1"),
        (BOTH, HttpVersion::Http2, "HTTP/2.0"),
    ] {
        let offer = Offer { authority: Some(&authority), asks_clients: false, protocols };
        let upstream = Secure::telling(offer).await;
        let proxy = run(to(&upstream, UpstreamPolicy { http, ..trusting(&authority) }));
        let own = upstream.url.trim_start_matches("https://");
        let expected = format!("{version} {own} /a []");
        assert_eq!(get(&proxy).await, (200, expected, None));
    }
}

#[tokio::test]
async fn whose_name_an_upstream_hears_can_be_chosen() {
    let authority = Authority::new();
    for (host, secure, hears_own) in [
        (HostHeader::Client, true, false),
        (HostHeader::Auto, false, false),
        (HostHeader::Upstream, false, true),
    ] {
        let offer = Offer { authority: secure.then_some(&authority), ..plain() };
        let upstream = Secure::telling(offer).await;
        let proxy = run(to(&upstream, UpstreamPolicy { host, ..trusting(&authority) }));
        let own = upstream.url.rsplit('/').next().expect("an authority");
        let name = if hears_own { own } else { "proxy.test" };
        let (_, told, _) = get(&proxy).await;
        assert!(told.contains(&format!(" {name} /a")), "{host:?}: {told}");
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_prove_who_it_is_gets_no_request() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let offer = Offer { authority: Some(&unknown), asks_clients: false, protocols: BOTH };
    let upstream = Secure::telling(offer).await;
    let proxy = run(to(&upstream, trusting(&known)));
    let (status, _, cause) = get(&proxy).await;
    assert_eq!((status, cause.as_deref()), (502, Some("tls")));
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_it() {
    let authority = Authority::new();
    let offer = || Offer { authority: Some(&authority), asks_clients: true, protocols: BOTH };
    let upstream = Secure::telling(offer()).await;
    let identity = Some(authority.sign());
    let proxy = run(to(&upstream, UpstreamPolicy { identity, ..trusting(&authority) }));
    assert_eq!(get(&proxy).await.0, 200);
    let without = run(to(&upstream, trusting(&authority)));
    assert_eq!(get(&without).await.0, 502);
}

#[tokio::test]
async fn clients_may_speak_either_version_of_http_over_tls() {
    let authority = Authority::new();
    let upstream = Secure::telling(plain()).await;
    let tls = Some(authority.listener());
    let proxy = run(Config { tls, ..to(&upstream, UpstreamPolicy::default()) });
    let stream = secured(proxy.address, authority.connector(None, "h2")).await.expect("TLS");
    let told = Http2::over(stream).await.get("/a").await;
    assert_eq!(told, (200, "HTTP/1.1 proxy.test /a []".to_owned()));
    let stream = secured(proxy.address, authority.connector(None, "http/1.1")).await.expect("TLS");
    let told = get_http1(stream).await.expect("an answer");
    assert_eq!(told, (200, "HTTP/1.1 proxy.test /a []".to_owned()));
}

#[tokio::test]
async fn where_clients_need_a_certificate_only_those_with_a_good_one_get_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = Secure::telling(plain()).await;
    let mut listener = ours.listener();
    listener.client_roots = Some(ours.root());
    let proxy = run(Config { tls: Some(listener), ..to(&upstream, UpstreamPolicy::default()) });
    for (identity, gets_in) in
        [(Some(ours.sign()), true), (Some(theirs.sign()), false), (None, false)]
    {
        let connector = ours.connector(identity.as_ref(), "http/1.1");
        let answer = match secured(proxy.address, connector).await {
            Ok(stream) => get_http1(stream).await.map(|(status, _)| status).ok(),
            Err(_) => None,
        };
        assert_eq!(answer, gets_in.then_some(200));
    }
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_to_a_listener_that_does_gets_nothing() {
    let authority = Authority::new();
    let upstream = Upstream::answering(ok("{}")).await;
    let tls = Some(authority.listener());
    let proxy = run(Config { tls, ..fixture::config(&[upstream.address]) });
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.end().await;
    assert_eq!(upstream.unseen().await, 0);
}

#[test]
fn files_that_cannot_be_used_are_named_before_any_traffic() {
    let authority = Authority::new();
    let (one, other) = (authority.sign(), authority.sign());
    let with = |identity: Identity| {
        let tls = squall_proxy::config::ListenerTls { identity, client_roots: None };
        Config { tls: Some(tls), ..fixture::config(&[([127, 0, 0, 1], 9).into()]) }
    };
    let mixed = Identity { certificate: one.certificate.clone(), key: other.key.clone() };
    let swapped = Identity { certificate: one.key.clone(), key: one.certificate.clone() };
    let missing = Identity { certificate: "/nowhere/cert.pem".into(), key: one.key.clone() };
    for (identity, word) in
        [(mixed, "cannot be used with"), (swapped, "no certificate"), (missing, "cannot read")]
    {
        let error = Proxy::bind(with(identity)).expect_err(word);
        assert!(matches!(error, BindError::Tls { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn http2_without_tls_is_understood_and_spoken() {
    let upstream = Secure::telling(plain()).await;
    for (http, version) in [(HttpVersion::Auto, "HTTP/1.1"), (HttpVersion::Http2, "HTTP/2.0")] {
        let policy = UpstreamPolicy { http, ..UpstreamPolicy::default() };
        let proxy = run(to(&upstream, policy));
        let told = Http2::plain(proxy.address).await.get("/a").await;
        assert_eq!(told, (200, format!("{version} proxy.test /a []")));
    }
}

#[tokio::test]
async fn a_cookie_that_http2_has_split_is_one_again() {
    let upstream = Secure::telling(plain()).await;
    let proxy = run(to(&upstream, UpstreamPolicy::default()));
    let request =
        Request::get("http://proxy.test/a").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.body(Full::default()).expect("a request");
    let (_, told) = Http2::plain(proxy.address).await.ask(request).await;
    assert!(told.ends_with(r#"["a=1; b=2"]"#), "{told}");
}

#[tokio::test]
async fn exchanges_of_one_client_share_one_connection_to_an_upstream_of_http2() {
    let upstream = Secure::telling(plain()).await;
    let http = HttpVersion::Http2;
    let proxy = run(to(&upstream, UpstreamPolicy { http, ..UpstreamPolicy::default() }));
    let client = Http2::plain(proxy.address).await;
    let asks = (0..50).map(|_| {
        let mut client = client.clone();
        async move { client.ask(call("x")).await.0 }
    });
    let statuses = futures_util::future::join_all(asks).await;
    assert_eq!(statuses, [200; 50]);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_reset_on_http2_ends_its_stream_and_no_other() {
    let upstream = Secure::telling(plain()).await;
    let proxy = run(to(&upstream, UpstreamPolicy::default()));
    proxy.add(r#"{"id":"wait","match":{"tool":"slow"},"effect":{"latency":{"delay":"1h"}}}"#).await;
    proxy.add(r#"{"id":"r","match":{"tool":"x"},"effect":{"reset":{}}}"#).await;
    let mut client = Http2::plain(proxy.address).await;
    let slow = {
        let mut client = client.clone();
        tokio::spawn(async move { client.ask(call("slow")).await })
    };
    proxy.hit("wait").await;
    let error = client.send(call("x")).await.expect_err("a reset");
    let reason = std::error::Error::source(&error).and_then(|it| it.downcast_ref::<h2::Error>());
    assert!(reason.is_some_and(h2::Error::is_reset), "{error:?}");
    proxy.admin.remove(&"wait".parse().expect("an id")).await.expect("it is there");
    assert_eq!(slow.await.expect("no panic").0, 200);
}

#[tokio::test]
async fn a_stream_that_an_upstream_resets_is_a_reset_for_a_client_of_http1() {
    let breaks = Arc::new(Notify::new());
    let told = breaks.clone();
    let upstream = Secure::answering(plain(), move |_| {
        let told = told.clone();
        async move {
            let start = stream::iter([Ok(Frame::data(Bytes::from_static(b"start")))]);
            let broken = stream::once(async move {
                told.notified().await;
                Err(std::io::Error::other("broken"))
            });
            Response::new(BodyExt::boxed(StreamBody::new(start.chain(broken))))
        }
    })
    .await;
    let http = HttpVersion::Http2;
    let proxy = run(to(&upstream, UpstreamPolicy { http, ..UpstreamPolicy::default() }));
    let mut client = proxy.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: proxy.test\r\n\r\n").await;
    client.head().await.expect("a head");
    breaks.notify_one();
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn single_events_are_dropped_from_streams_of_http2() {
    let event = |method| format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}\n\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let stream = format!("{head}{}{}{}", event("a"), event("b"), event("c"));
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"d","match":{"method":"b"},"effect":{"drop":{"at":"message"}}}"#).await;
    let mut client = Http2::plain(proxy.address).await;
    let asked = tokio::spawn(async move { client.get("/a").await });
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send(stream).await;
    drop(server);
    assert_eq!(asked.await.expect("no panic").1, format!("{}{}", event("a"), event("c")));
}

#[tokio::test]
async fn a_connection_that_a_fault_resets_under_tls_ends_with_a_rst() {
    let authority = Authority::new();
    let upstream = Upstream::answering(ok("{}")).await;
    let tls = Some(authority.listener());
    let proxy = run(Config { tls, ..fixture::config(&[upstream.address]) });
    let connector = authority.connector(None, "http/1.1");
    let stream = secured(proxy.address, connector).await.expect("TLS");
    proxy.add(r#"{"id":"r","effect":{"reset":{"at":"connection"}}}"#).await;
    let (stream, _) = stream.into_inner();
    assert_eq!(Wire::new(stream).end().await, End::Reset);
}

#[tokio::test]
async fn who_begins_a_request_and_never_ends_its_head_is_cut_off_and_who_is_silent_is_not() {
    let upstream = Upstream::answering(ok("{}")).await;
    let limits = Limits { head: Duration::from_millis(20), ..Limits::default() };
    let proxy = run(Config { limits, ..fixture::config(&[upstream.address]) });
    let mut silent = proxy.connect().await;
    let mut used = proxy.connect().await;
    used.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    used.message().await.expect("an answer");
    for start in ["G", "POST /mcp HTTP/1.1\r\nHost: a\r\nX-"] {
        let mut client = proxy.connect().await;
        client.send(start).await;
        client.end().await;
    }
    for client in [&mut silent, &mut used] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.message().await.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn a_stream_that_is_open_is_not_ended_by_a_request_that_waits_behind_it() {
    let (address, mut connections) = by_hand().await;
    let limits = Limits { head: Duration::from_millis(20), ..Limits::default() };
    let proxy = run(Config { limits, ..fixture::config(&[address]) });
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await.expect("a head");
    client.send("GET /b HTTP/1.1\r\nX-").await;
    // Whoever came later and dawdles is gone before it would be the stream's turn.
    for _ in 0..3 {
        let mut dawdler = proxy.connect().await;
        dawdler.send("G").await;
        dawdler.end().await;
    }
    server.send("9\r\ndata: x\n\n\r\n").await;
    assert_eq!(client.chunk().await.as_deref(), Some("data: x\n\n"));
}
