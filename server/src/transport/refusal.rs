//! Every way to refuse a request at the HTTP level, with its status, its code and its words.

use http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use squall_model::mcp::envelope::PeekError;
use squall_model::mcp::era::{ProtocolVersion, UnknownVersion};

use super::mirror::Mismatch;
use super::reply::{self, Reply};
use super::token::Denied;
use crate::bus::StreamError;
use crate::methods;
use crate::rpc::{self, RpcError};
use crate::store::StoreError;
use crate::streams::OpenError;

/// Why a request is not served. The client reads these words as a JSON-RPC error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("origin `{0}` may not call this server: use a loopback origin, or allow this one")]
    Origin(String),
    #[error(
        "there is nothing at `{0}`: the MCP endpoint is /mcp, health is /healthz and /readyz, metrics are /metrics"
    )]
    Path(String),
    #[error(
        "there is nothing at `{0}`: try /journal/executions, /journal/publications or /metrics"
    )]
    AdminPath(String),
    #[error("a bearer token is needed: the WWW-Authenticate header says which")]
    Denied { why: Denied, resource: String },
    #[error("method {found} is not served here: use one of {allowed}")]
    Method { found: String, allowed: &'static str },
    #[error(
        "the Accept header admits neither kind of answer: \
         list both application/json and text/event-stream"
    )]
    NotAcceptable,
    #[error("a GET stream needs the header `Accept: text/event-stream`")]
    NotAStreamRequest,
    #[error("the body's Content-Type is {0}: application/json was expected")]
    ContentType(String),
    #[error("the body is larger than the {0} bytes that this server takes: send less at a time")]
    BodyTooLarge(usize),
    #[error("the body did not arrive in time: send it without pauses")]
    BodyTooSlow,
    #[error("the body could not be read: its framing is broken or the connection ended")]
    BodyBroken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0}: {reason}", reason = source_of(.0))]
    Body(PeekError),
    #[error("a request's id is a string or a number: {0} was found")]
    Id(String),
    #[error("the batch is empty: one message at least was expected")]
    BatchEmpty,
    #[error("the batch has {found} messages: this server takes {limit} at most")]
    BatchTooLong { found: usize, limit: usize },
    #[error(
        "batches exist in protocol version 2025-03-26 only, and this session speaks {0}: \
         send one message at a time"
    )]
    BatchVersion(ProtocolVersion),
    #[error("`initialize` must not be part of a batch: send it alone")]
    BatchInitialize,
    #[error(
        "the Mcp-Session-Id header is missing: send `initialize` first, then its session id on \
         every request"
    )]
    SessionMissing,
    #[error("the Mcp-Session-Id header is there more than once: send it once")]
    SessionRepeated,
    #[error("the Mcp-Session-Id header must be visible ASCII (0x21 to 0x7E) and not empty")]
    SessionNotVisible,
    #[error(
        "this server has no such session (it ended, or the server was restarted): \
         start a new one with `initialize` and without Mcp-Session-Id"
    )]
    SessionUnknown,
    #[error(
        "there is no such answer to go on with: it ended too long ago, or the server that gave it is gone"
    )]
    AnswerUnknown,
    #[error("this session is initialized already: send `initialize` without Mcp-Session-Id")]
    SessionInitialized,
    #[error("the MCP-Protocol-Version header is wrong: {0}")]
    VersionUnknown(UnknownVersion),
    #[error("the MCP-Protocol-Version header is there more than once: send it once")]
    VersionRepeated,
    #[error(
        "a body of the stateless era is one request or notification: a batch, or an answer, was found"
    )]
    NotOneMessage,
    #[error("`params._meta` lacks `{0}`: every request of the stateless era needs it")]
    MetaMissing(&'static str),
    #[error("`params._meta` is wrong: {0}")]
    MetaWrong(serde_json::Error),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error("protocol version `{0}` is not supported: see `data.supported`")]
    VersionUnsupported(String),
    /// An error of the stateless era, which has a status of its own.
    #[error("{1}")]
    Rpc(StatusCode, RpcError),
    #[error("the server is shutting down: try again in a moment")]
    Stopping,
    #[error("the session store is unreachable (Redis does not answer): ask again in a moment")]
    StoreDown,
    #[error(
        "this server does not hear of other replicas' notifications yet: ask again in a moment"
    )]
    Deaf,
    #[error(transparent)]
    Stream(OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The cause beneath, in words, because a client sees no chain of sources.
fn source_of(error: &PeekError) -> String {
    match error {
        PeekError::NotJson(source) | PeekError::NotJsonRpc(source) => source.to_string(),
        PeekError::NoKind | PeekError::NotVersion2 => "see JSON-RPC 2.0, sections 4 and 5".into(),
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Stopping => Self::Stopping,
            OpenError::Taken => Self::Stream(error),
        }
    }
}

impl From<StreamError> for Refusal {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::NotHere(error) => error.into(),
            StreamError::Deaf => Self::Deaf,
            StreamError::Untold(error) => Self::Store(error.into()),
        }
    }
}

impl Refusal {
    /// The answer, to the request of that id where one could be told.
    pub(crate) fn reply(&self, id: Option<&RawValue>) -> Reply {
        let error = match self {
            Self::Rpc(_, error) => error.clone(),
            _ => RpcError { data: self.data(), ..RpcError::new(self.code(), self.to_string()) },
        };
        let mut reply = reply::json(self.status(), rpc::error(id, &error));
        let headers = reply.headers_mut();
        match self {
            Self::Method { allowed, .. } => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Denied { why, resource } => {
                if let Ok(challenge) = why.challenge(resource).parse() {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::Store(StoreError::Full { .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Stopping
            | Self::StoreDown
            | Self::Deaf
            | Self::Store(StoreError::Unreachable(_) | StoreError::Refused(_)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::BodyTooLarge(_) | Self::BodyTooSlow | Self::BodyBroken(_) => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        reply
    }

    /// Whether HTTP knows nothing of it.
    pub(super) fn is_ok(&self) -> bool {
        self.status() == StatusCode::OK
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Rpc(status, _) => *status,
            Self::Denied { .. } => StatusCode::UNAUTHORIZED,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Path(_) | Self::AdminPath(_) | Self::SessionUnknown => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable | Self::NotAStreamRequest => StatusCode::NOT_ACCEPTABLE,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Stream(_) => StatusCode::CONFLICT,
            Self::Stopping
            | Self::StoreDown
            | Self::Deaf
            | Self::Store(
                StoreError::Full { .. } | StoreError::Unreachable(_) | StoreError::Refused(_),
            ) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(StoreError::NoRandomness(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn data(&self) -> Option<Value> {
        match self {
            Self::VersionUnsupported(requested) => {
                Some(json!({ "supported": methods::supported_versions(), "requested": requested }))
            }
            _ => None,
        }
    }

    fn code(&self) -> i32 {
        match self {
            Self::MetaMissing(_) | Self::MetaWrong(_) => rpc::INVALID_PARAMS,
            Self::Mismatch(_) => rpc::HEADER_MISMATCH,
            Self::VersionUnsupported(_) => rpc::UNSUPPORTED_VERSION,
            Self::Body(PeekError::NotJson(_)) => rpc::PARSE_ERROR,
            Self::Body(_)
            | Self::Id(_)
            | Self::NotOneMessage
            | Self::BatchEmpty
            | Self::BatchTooLong { .. }
            | Self::BatchVersion(_)
            | Self::BatchInitialize
            | Self::SessionInitialized => rpc::INVALID_REQUEST,
            Self::SessionUnknown => rpc::SESSION_NOT_FOUND,
            Self::Store(StoreError::NoRandomness(_)) => rpc::INTERNAL_ERROR,
            _ => rpc::SERVER_ERROR,
        }
    }
}
