//! What a fault decided: one small closed set of verdicts for each of the three moments.
//!
//! Only the proxy's `carry` module turns a verdict into what sockets and streams do.

use std::time::Duration;

use http::StatusCode;

/// The moment at which an effect acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A downstream connection: accepted, or already open when the fault arrives.
    Connection,
    /// One HTTP request and its answer.
    Exchange,
    /// One SSE event on its way to the client.
    Message,
}

/// What an effect decided, for its moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// For a connection.
    Connection(ConnectionVerdict),
    /// For an exchange.
    Exchange(ExchangeVerdict),
    /// For a message.
    Message(MessageVerdict),
}

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionVerdict {
    /// Nothing is read or written for so long.
    Wait(Duration),
    /// Nothing is read or written until the fault ends.
    Stall,
    /// The connection ends with a TCP RST.
    Reset,
}

/// What becomes of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum ExchangeVerdict {
    /// The request, or its answer, is held for so long and then goes on.
    Wait(Duration),
    /// The client gets this answer. On the way to the client it replaces the server's own.
    Reply(Reply),
    /// The request, or its answer, is swallowed; the connection closes when the fault ends.
    Drop,
    /// The connection ends with a TCP RST.
    Reset,
    /// The session is gone: 404 for this and every later exchange that names it.
    ExpireSession,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageVerdict {
    /// It arrives so much later; those behind it are not overtaken.
    Delay(Duration),
    /// It never arrives; those behind it do.
    Drop,
    /// The connection ends with a TCP RST in its place.
    Reset,
}

/// An answer that the proxy makes itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers, in order; `content-type` among them where the body needs one.
    pub headers: Vec<(String, String)>,
    /// What the body says.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyBody {
    /// These bytes.
    Text(String),
    /// A JSON-RPC error for each request in the exchange, with the request's own id.
    JsonRpcError {
        /// JSON-RPC 2.0, section 5.1.
        code: i64,
        /// One sentence for people.
        message: String,
        /// Anything more.
        data: Option<serde_json::Value>,
    },
}
