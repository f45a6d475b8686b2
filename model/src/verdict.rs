//! What a fault decided: one small closed set of verdicts for each of the three moments.
//!
//! Only the proxy's `carry` module turns a verdict into what sockets and streams do.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Flow, Latency};
use crate::scope::Glob;

mod alteration;

pub use alteration::{
    Acknowledgement, Alteration, EventId, Malformation, Memory, PointerEdit, RequestState,
};

/// The moment at which an effect acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A downstream connection: accepted, or already open when the fault arrives.
    Connection,
    /// One HTTP request and its answer.
    Exchange,
    /// One JSON-RPC message: an SSE event or a JSON body.
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
    /// It is not served: it ends with a TCP RST before anything is read.
    Refuse,
    /// Nothing is let through until the fault ends.
    Stall(Stall),
    /// It ends with a TCP RST, after so long.
    Reset(Duration),
    /// Its sending half closes; what comes in is still read.
    HalfClose,
    /// What it carries this way is shaped.
    Shape(Flow, Shaping),
}

/// A connection that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which way.
    pub flow: Flow,
    /// It closes after so long.
    pub close_after: Option<Duration>,
    /// It closes when the fault ends.
    pub close_on_end: bool,
}

/// What is done to the bytes of a connection on one way.
#[derive(Clone, Debug, PartialEq)]
pub enum Shaping {
    /// Each chunk comes later; the times are drawn from the number.
    Delay(Latency, u64),
    /// So many bytes a second pass.
    Rate {
        /// Bytes a second; none for zero.
        bytes: u64,
        /// Whether all connections share them.
        shared: bool,
    },
    /// They come in slices.
    Slice {
        /// Bytes of a slice.
        size: u64,
        /// How far the size strays.
        variation: u64,
        /// The time between two slices.
        pause: Duration,
        /// What the sizes are drawn from.
        seed: u64,
    },
    /// The connection ends after so many.
    Limit {
        /// How many.
        bytes: u64,
        /// How it ends.
        ending: Ending,
    },
    /// Nothing passes.
    Stall,
    /// The end comes later.
    LateEnd(Duration),
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
    /// The request, or its answer, is swallowed; the connection closes after so long.
    Timeout(Duration),
    /// The connection ends with a TCP RST.
    Reset,
    /// The session is gone: this status for this and every later exchange that names it.
    ExpireSession(StatusCode),
    /// These changes to the headers of the request, or of its answer.
    EditHeaders(Vec<HeaderEdit>),
    /// The request goes to another upstream.
    Reroute(Reroute),
    /// The request is delivered twice; the client gets the second answer.
    Repeat,
    /// The answer's body ends early.
    Cut(Cut),
    /// The answer's body is held back until it is complete.
    HoldBack,
    /// The request resumes another stream than its client means, or none.
    Resume(Resume),
}

impl ExchangeVerdict {
    /// Whether it ends the exchange, so that faults behind it are not asked.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Reply(_)
            | Self::Drop
            | Self::Timeout(_)
            | Self::Reset
            | Self::ExpireSession(_) => true,
            Self::Wait(_)
            | Self::EditHeaders(_)
            | Self::Reroute(_)
            | Self::Repeat
            | Self::Cut(_)
            | Self::HoldBack
            | Self::Resume(_) => false,
        }
    }
}

/// A change to headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// All values under the name go.
    Remove(HeaderName),
    /// This value alone stands under the name.
    Set(HeaderName, HeaderValue),
    /// `Mcp-Session-Id` becomes that of another session that is alive, if there is one.
    SwapSession,
}

/// Where a request goes instead.
#[derive(Clone, Debug, PartialEq)]
pub enum Reroute {
    /// To any other upstream than its own.
    Other,
    /// To an upstream whose `HOST:PORT` fits.
    To(Glob),
}

/// An early end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many bytes of the body.
    pub after: u64,
    /// How the body ends.
    pub ending: Ending,
}

/// How something ends early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The connection closes: to HTTP, the body is incomplete.
    #[default]
    Close,
    /// The connection ends with a TCP RST.
    Reset,
    /// As if it were complete.
    Clean,
}

/// What becomes of a stream that is resumed with `Last-Event-ID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ResumeHow")]
pub enum Resume {
    /// The events that were missed are not replayed.
    #[default]
    Forget,
    /// The events of another stream are replayed.
    Mixup,
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
    /// It arrives twice.
    Repeat,
    /// So many of those behind it overtake it.
    Overtake(u32),
    /// It arrives in two pieces.
    Split(Split),
    /// It says something else.
    Alter(Alteration),
    /// This message arrives before it.
    Precede(String),
    /// The stream ends before it.
    CutBefore(Ending),
    /// The stream ends after it.
    CutAfter(Ending),
}

impl MessageVerdict {
    /// Whether nothing of the message is left for the faults behind it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Drop | Self::Reset | Self::CutBefore(_) => true,
            Self::Delay(_)
            | Self::Repeat
            | Self::Overtake(_)
            | Self::Split(_)
            | Self::Alter(_)
            | Self::Precede(_)
            | Self::CutAfter(_) => false,
        }
    }
}

/// Two pieces of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Where it is split.
    pub at: SplitAt,
    /// How much later the second piece comes.
    pub pause: Duration,
}

/// Where an event is split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitAt {
    /// In the middle of a `data:` line.
    #[default]
    Line,
    /// Within a character of several bytes; in the middle of a line where there is none.
    Character,
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
    /// The error of a server that does not speak the version that the request asks for (MCP 2026-07-28,
    /// basic/versioning).
    UnsupportedVersion {
        /// What it claims to speak.
        supported: Vec<String>,
    },
}
