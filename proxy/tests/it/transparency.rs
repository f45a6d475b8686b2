//! Untouched traffic arrives as it was sent: random messages, through the proxy and without it.

use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use crate::fixture::{self, Upstream, by_hand, run};
use crate::wire::{Message, Wire, call, post};

/// What HTTP calls hop-by-hop, and the framing that belongs to it.
const HOP_BY_HOP: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "te"];

fn end_to_end(mut message: Message) -> Message {
    message.headers.retain(|(name, _)| !HOP_BY_HOP.contains(&&*name.to_ascii_lowercase()));
    // The order of different names means nothing (RFC 9110, section 5.3); a stable sort keeps that
    // of one name's values. hyper keeps no case of trailers.
    message.headers.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    message.trailers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    message.trailers.sort();
    message
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "X-Plain",
        "x-lower",
        "X-SHOUT",
        "X-mIxEd",
        "Cookie",
        "Set-Cookie",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
        "Last-Event-ID",
        "X-Accel-Buffering",
        "Via",
        "Origin",
        "traceparent",
    ]);
    let value = "[!-~]([ -~]{0,20}[!-~])?";
    prop::collection::vec((name.prop_map(str::to_owned), value), 0..8)
}

#[derive(Debug, Clone)]
struct Framed {
    data: Vec<u8>,
    /// The sizes of the chunks, or the whole with a length.
    cuts: Option<Vec<usize>>,
    trailer: Option<String>,
}

fn framed() -> impl Strategy<Value = Framed> {
    let json = prop::sample::select(vec![
        &br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#[..],
        b"[]",
        b"{",
        b"data: {}\n\ndata: 1\r\n\r\n: c\n\n",
    ]);
    let data = prop_oneof![
        json.prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..300),
        (60_000usize..200_000).prop_map(|size| vec![b'x'; size]),
    ];
    let cuts = prop::option::of(prop::collection::vec(1usize..5000, 0..6));
    (data, cuts, prop::option::of("[!-~]{1,9}")).prop_map(|(data, cuts, trailer)| Framed {
        data,
        cuts,
        trailer,
    })
}

impl Framed {
    fn bytes(&self, start: &str, headers: &[(String, String)]) -> Vec<u8> {
        let mut out = format!("{start}\r\n").into_bytes();
        for (name, value) in headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        let Some(cuts) = &self.cuts else {
            out.extend(format!("Content-Length: {}\r\n\r\n", self.data.len()).bytes());
            out.extend(&self.data);
            return out;
        };
        if self.trailer.is_some() {
            out.extend(b"Trailer: x-sum\r\n");
        }
        out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        let mut rest = self.data.as_slice();
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            rest = tail;
            if !chunk.is_empty() {
                out.extend(format!("{:x}\r\n", chunk.len()).bytes());
                out.extend(chunk);
                out.extend(b"\r\n");
            }
        }
        out.extend(b"0\r\n");
        if let Some(sum) = &self.trailer {
            out.extend(format!("x-sum: {sum}\r\n").bytes());
        }
        out.extend(b"\r\n");
        out
    }
}

#[derive(Debug, Clone)]
struct Conversation {
    request: Vec<u8>,
    response: Vec<u8>,
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let method = prop::sample::select(vec!["POST", "PUT", "DELETE", "PATCH", "QUERY"]);
    let target = prop::sample::select(vec!["/mcp", "/", "/a%20b?c=%2F&d", "/mcp?x", "*"]);
    let types = prop::sample::select(vec!["application/json", "text/event-stream", "text/plain"]);
    let status = prop::sample::select(vec!["200 OK", "200 Fine by me", "418 ", "404 Gone Fishing"]);
    (method, target, types.clone(), headers(), framed(), status, types, headers(), framed())
        .prop_map(
            |(method, target, kind, headers, body, status, answer_kind, answer_headers, answer)| {
                let fixed = |kind: &str| ("content-Type".to_owned(), kind.to_owned());
                let request_headers = [
                    vec![("Host".into(), "some.host:1".into()), ("TE".into(), "trailers".into())],
                    vec![fixed(kind)],
                    headers,
                ]
                .concat();
                let response_headers = [vec![fixed(answer_kind)], answer_headers].concat();
                Conversation {
                    request: body.bytes(&format!("{method} {target} HTTP/1.1"), &request_headers),
                    response: answer.bytes(&format!("HTTP/1.1 {status}"), &response_headers),
                }
            },
        )
}

#[test]
fn random_conversations_are_the_same_with_and_without_the_proxy() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let response = Arc::new(Mutex::new(Vec::new()));
    let (upstream, proxy) = runtime.block_on(async {
        let scripted = response.clone();
        let answer = move |_: &Message| -> Vec<u8> { scripted.lock().clone() };
        let upstream = Upstream::with(answer).await;
        let proxy = run(fixture::config(&[upstream.address]));
        (upstream, proxy)
    });
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() };
    proptest!(config, |(talk in conversation())| {
        response.lock().clone_from(&talk.response);
        let [direct, proxied] = [upstream.address, proxy.address].map(|address| {
            runtime.block_on(async {
                let mut client = Wire::connect(address).await;
                client.send(&talk.request).await;
                let answer = client.message().await.expect("an answer");
                (end_to_end(upstream.request().await), end_to_end(answer))
            })
        });
        prop_assert_eq!(direct, proxied);
    });
}

#[tokio::test]
async fn what_no_fault_edits_arrives_as_it_was_written_without_what_is_its_connections_alone() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    let request = "POST /mcp?a=%20b HTTP/1.1\r\nhost: a\r\nX-TWICE: 1\r\nCONNECTION: keep-alive\r\n\
                   Keep-Alive: timeout=5\r\nX-Other: 2\r\nx-twice: 3\r\nContent-Length: 2\r\n\r\n{}";
    let response = "HTTP/1.1 200 Fine\r\nConnection: Keep-Alive\r\nX-TWICE: 1\r\nX-Other: 2\r\n\
                    x-twice: 3\r\nContent-Length: 2\r\n\r\n{}";
    client.send(request).await;
    let mut server = connections.recv().await.expect("a connection");
    let expected = request.replace("CONNECTION: keep-alive\r\nKeep-Alive: timeout=5\r\n", "");
    let arrived = server.take(expected.len()).await.expect("a request");
    assert_eq!(String::from_utf8_lossy(&arrived), expected);
    server.send(response).await;
    let expected = response.replace("Connection: Keep-Alive\r\n", "");
    let arrived = client.take(expected.len()).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&arrived), expected);
}

#[tokio::test]
async fn what_a_fault_edits_keeps_the_spelling_of_the_rest() {
    let upstream = Upstream::with(|request: &Message| {
        let id = request.header("mcp-session-id").unwrap_or("none");
        format!("HTTP/1.1 200 Fine\r\nX-UP: {id}\r\nMCP-Session-ID: s\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","effect":{"session-id":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("X-Shout: 1\r\nMCP-SESSION-ID: s\r\n", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    let arrived = upstream.request().await;
    assert!(arrived.headers.contains(&("X-Shout".to_owned(), "1".to_owned())), "{arrived:?}");
    assert_eq!(answer.start, "HTTP/1.1 200 Fine");
    assert!(answer.headers.contains(&("X-UP".to_owned(), "none".to_owned())), "{answer:?}");
}
