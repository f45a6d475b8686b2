//! What a client owes a server that asks it something in the middle of an answer.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Kind, Message};
use squall_model::mcp::header;
use tokio::task::JoinSet;

use super::Client;
use super::connect::Connection;
use super::exchange::ACCEPTED;

/// How many of a server's requests are answered at a time; a server that asks more waits in vain.
const MOST: usize = 16;

/// Answers on their way, each on a connection of its own, since the stream that asked still runs on
/// the client's. Those that have not left when the exchange ends are given up with it.
#[derive(Debug)]
pub(super) struct Courtesy<'a> {
    client: &'a Client,
    running: JoinSet<()>,
}

impl<'a> Courtesy<'a> {
    pub(super) fn of(client: &'a Client) -> Self {
        Self { client, running: JoinSet::new() }
    }

    /// Answers what wants an answer: a ping at once (basic/utilities/ping), anything else with an
    /// error, since these clients declare no capability.
    pub(super) fn answer(&mut self, message: &Message<'_>) {
        while self.running.try_join_next().is_some() {}
        let (Kind::Request, Some(id)) = (message.kind, message.id) else { return };
        if self.running.len() >= MOST {
            return;
        }
        let body = body(id, message.method.as_ref());
        let mut request = self.client.bare_request(Method::POST, body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(header::JSON));
        headers.insert(ACCEPT, ACCEPTED);
        let wire = Arc::clone(&self.client.wire);
        self.running.spawn(async move {
            // Whether it is taken shows in the answer that the server then gives or does not give.
            let Ok(mut connection) = Connection::open(&wire).await else { return };
            let mut sent = None;
            if let Ok(mut response) = connection.send(request, &mut sent).await {
                while let Some(Ok(_)) = response.frame().await {}
            }
        });
    }
}

fn body(id: &RawValue, method: Option<&Cow<'_, str>>) -> Bytes {
    let said = if method.is_some_and(|method| method == "ping") {
        r#""result":{}"#
    } else {
        r#""error":{"code":-32601,"message":"this client offers no such method"}"#
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},{said}}}"#).into()
}
