//! What a fault matches: a scope is compared with a subject, the thing that just happened.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::fault::FaultId;
use crate::mcp::envelope::Kind;
use crate::mcp::era::Era;
use crate::mcp::header;

/// A pattern with `*` (anything) and `?` (any one character).
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct Glob(WildMatch);

impl Glob {
    /// Whether the whole text fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }

    /// The only text that fits, if there is only one.
    fn only(&self) -> Option<String> {
        let pattern = self.0.to_string();
        (!pattern.contains(['*', '?'])).then_some(pattern)
    }
}

impl From<String> for Glob {
    fn from(pattern: String) -> Self {
        Self(WildMatch::new(&pattern))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0.to_string()
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}

/// Which way traffic flows: from the client (`request`) or to it (`response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server, before the server has seen it.
    Request,
    /// From the server to the client, after the server has executed it.
    Response,
}

impl Direction {
    /// The name that files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// An HTTP header's name, checked on entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderKey(String);

/// A text that is not a header name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a header name (RFC 9110, section 5.1)")]
pub struct NotAHeaderName(String);

impl TryFrom<String> for HeaderKey {
    type Error = NotAHeaderName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match HeaderName::try_from(text.as_str()) {
            Ok(name) => Ok(Self(name.as_str().to_owned())),
            Err(_) => Err(NotAHeaderName(text)),
        }
    }
}

impl From<HeaderKey> for String {
    fn from(key: HeaderKey) -> Self {
        key.0
    }
}

impl HeaderKey {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of the route that HTTP comes in by.
pub const MCP_ROUTE: &str = "mcp";

/// What a fault matches. Every field that is given must fit; an empty scope fits everything.
///
/// A batch fits when one of its messages fits all message fields at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// JSON-RPC method by glob: `tools/call`, `notifications/*`. The answer to a request has the
    /// request's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Glob>,
    /// What the JSON-RPC message is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Name of the tool of a `tools/call`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Glob>,
    /// Name of the prompt of a `prompts/get`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Glob>,
    /// URI of the resource of a `resources/*` message, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Glob>,
    /// `Mcp-Session-Id`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Glob>,
    /// Name of the client, by glob, as it said in `initialize` or says in `_meta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Glob>,
    /// Version of the client, by glob, from the same place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<Glob>,
    /// The era of the protocol that the exchange speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub era: Option<Era>,
    /// Before (`request`) or after (`response`) the server has executed. The default is the
    /// effect's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// HTTP method, compared exactly: `POST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// Path of the request, by glob, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Glob>,
    /// `HOST:PORT` of the upstream that the exchange goes to, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Glob>,
    /// Name of the route that the connection came in by, by glob: `mcp`, or that of a TCP route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Glob>,
    /// Request headers by name; one of the values under the name must fit the glob.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<HeaderKey, Glob>,
    /// Only requests that ask for it: `x-squall-inject` names this fault, or says `*`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub opt_in: bool,
}

/// One SSE event, as far as effects look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSubject {
    /// Its number in its stream, from 1.
    pub number: u64,
    /// Whether it says nothing: a comment, or a bare id.
    pub is_heartbeat: bool,
}

/// One JSON-RPC message, as far as scopes look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSubject<'a> {
    /// Request, notification, result or error.
    pub kind: Kind,
    /// Its method; for an answer, the method of the request that it answers, where that is known.
    pub method: Option<Cow<'a, str>>,
    /// The tool's, prompt's or resource's name.
    pub name: Option<Cow<'a, str>>,
}

/// Whoever has the headers of a request. A map of them may take work, so that it is asked for only by
/// faults that look into it.
pub trait RequestHeaders: std::fmt::Debug + Sync {
    /// All of them.
    fn map(&self) -> &HeaderMap;
}

impl RequestHeaders for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }
}

/// What just happened and may be matched.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The way it flows.
    pub direction: Direction,
    /// The era of the exchange.
    pub era: Era,
    /// HTTP method of the request.
    pub http_method: &'a str,
    /// Path of the request.
    pub path: &'a str,
    /// Headers of the request.
    pub headers: &'a dyn RequestHeaders,
    /// `Mcp-Session-Id` of the request.
    pub session: Option<&'a str>,
    /// When the session began, where that was seen: any clock that also says when faults began.
    pub session_began: Option<Duration>,
    /// Name and version of the client, where they are known.
    pub client: Option<(&'a str, &'a str)>,
    /// `HOST:PORT` of the upstream: where the answer came from, or where the request will be tried
    /// first.
    pub upstream: Option<&'a str>,
    /// HTTP status of the answer, on its way back.
    pub status: Option<http::StatusCode>,
    /// The SSE event that the messages came in.
    pub event: Option<EventSubject>,
    /// The messages; empty where the body is not (or not readable as) JSON-RPC.
    pub messages: &'a [MessageSubject<'a>],
}

impl Subject<'_> {
    /// Whether one of its messages is of this kind and method.
    pub(crate) fn has(&self, kind: Kind, method: &str) -> bool {
        let mut messages = self.messages.iter();
        messages.any(|message| message.kind == kind && message.method.as_deref() == Some(method))
    }

    /// Whether one of its messages answers a request.
    pub(crate) fn has_answer(&self) -> bool {
        self.messages.iter().any(|message| matches!(message.kind, Kind::Response | Kind::Error))
    }

    /// Whether one of its messages asks for an answer.
    pub(crate) fn has_request(&self) -> bool {
        self.messages.iter().any(|message| message.kind == Kind::Request)
    }
}

impl Scope {
    /// Whether the subject fits. `default_direction` is used where the scope names none; `fault` is
    /// the name that a request may opt in to.
    pub fn matches(
        &self,
        subject: &Subject<'_>,
        default_direction: Direction,
        fault: &FaultId,
    ) -> bool {
        self.direction.unwrap_or(default_direction) == subject.direction
            && self.fits_messages(subject.messages)
            && fits_exactly(self.http_method.as_deref(), subject.http_method)
            && fits(self.session.as_ref(), subject.session)
            && self.era.is_none_or(|era| era == subject.era)
            && self.matches_route(MCP_ROUTE)
            && fits(self.path.as_ref(), Some(subject.path))
            && fits(self.upstream.as_ref(), subject.upstream)
            && fits(self.client.as_ref(), subject.client.map(|(name, _)| name))
            && fits(self.client_version.as_ref(), subject.client.map(|(_, version)| version))
            && self.header.iter().all(|(name, glob)| has_header(subject.headers.map(), name, glob))
            && (!self.opt_in || opts_in(subject.headers.map(), fault))
    }

    /// Whether a connection of this route fits.
    pub fn matches_route(&self, route: &str) -> bool {
        fits(self.route.as_ref(), Some(route))
    }

    /// Whether the scope asks for something that only an exchange has. A connection has no method,
    /// tool, session, or header.
    pub fn needs_an_exchange(&self) -> bool {
        *self != Self { route: self.route.clone(), ..Self::default() }
    }

    /// What one of the messages has to be called, if only one name will do.
    pub fn only_name(&self) -> Option<String> {
        self.tool.as_ref().or(self.prompt.as_ref()).or(self.resource.as_ref())?.only()
    }

    /// The method that one of the messages has to have, if only one will do.
    pub fn only_method(&self) -> Option<String> {
        self.method.as_ref()?.only()
    }

    fn fits_messages(&self, messages: &[MessageSubject<'_>]) -> bool {
        let asks = self.method.is_some()
            || self.kind.is_some()
            || self.tool.is_some()
            || self.prompt.is_some()
            || self.resource.is_some();
        !asks || messages.iter().any(|message| self.fits_message(message))
    }

    fn fits_message(&self, message: &MessageSubject<'_>) -> bool {
        let method = message.method.as_deref();
        let named =
            |of: fn(&str) -> bool| message.name.as_deref().filter(|_| method.is_some_and(of));
        self.kind.is_none_or(|kind| kind == message.kind)
            && fits(self.method.as_ref(), method)
            && fits(self.tool.as_ref(), named(|method| method == "tools/call"))
            && fits(self.prompt.as_ref(), named(|method| method == "prompts/get"))
            && fits(self.resource.as_ref(), named(is_about_a_resource))
    }
}

fn is_about_a_resource(method: &str) -> bool {
    method.starts_with("resources/") || method == "notifications/resources/updated"
}

/// Whether the request asks for the fault: `x-squall-inject: slow, cut` or `*`.
fn opts_in(headers: &HeaderMap, fault: &FaultId) -> bool {
    let values = headers.get_all(header::INJECT).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|list| list.split(',')).map(str::trim);
    names.any(|name| name == "*" || name == fault.as_str())
}

fn fits(glob: Option<&Glob>, text: Option<&str>) -> bool {
    glob.is_none_or(|glob| text.is_some_and(|text| glob.matches(text)))
}

fn fits_exactly(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn has_header(headers: &HeaderMap, name: &HeaderKey, glob: &Glob) -> bool {
    let values = headers.get_all(name.as_str());
    values.iter().any(|value| value.to_str().is_ok_and(|text| glob.matches(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: &'static str) -> MessageSubject<'static> {
        MessageSubject {
            kind: Kind::Request,
            method: Some("tools/call".into()),
            name: Some(tool.into()),
        }
    }

    fn check(scope: &str, messages: &[MessageSubject<'_>], expected: bool) {
        let scope: Scope = serde_json::from_str(scope).expect("a scope");
        let mut headers = HeaderMap::new();
        headers.append("x-team", "blue".parse().expect("a value"));
        headers.append("x-team", "red".parse().expect("a value"));
        headers.append("x-squall-inject", "other, slow".parse().expect("a value"));
        let subject = Subject {
            direction: Direction::Request,
            era: Era::Session,
            http_method: "POST",
            path: "/mcp",
            headers: &headers,
            session: Some("abc-1"),
            session_began: None,
            client: Some(("inspector", "1.2")),
            upstream: Some("127.0.0.1:3001"),
            status: None,
            event: None,
            messages,
        };
        let fault = "slow".parse().expect("an id");
        assert_eq!(scope.matches(&subject, Direction::Request, &fault), expected, "{scope:?}");
    }

    #[test]
    fn every_field_that_is_given_must_fit() {
        let echo = [call("fast-echo")];
        for (scope, expected) in [
            ("{}", true),
            (r#"{"method":"tools/*"}"#, true),
            (r#"{"method":"tools/list"}"#, false),
            (r#"{"tool":"fast-*"}"#, true),
            (r#"{"tool":"slow-*"}"#, false),
            (r#"{"session":"abc-?"}"#, true),
            (r#"{"session":"xyz"}"#, false),
            (r#"{"direction":"request"}"#, true),
            (r#"{"direction":"response"}"#, false),
            (r#"{"http_method":"POST"}"#, true),
            (r#"{"http_method":"GET"}"#, false),
            (r#"{"header":{"X-Team":"r*"}}"#, true),
            (r#"{"header":{"x-team":"green"}}"#, false),
            (r#"{"header":{"x-other":"*"}}"#, false),
            (r#"{"kind":"request"}"#, true),
            (r#"{"kind":"notification"}"#, false),
            (r#"{"era":"session"}"#, true),
            (r#"{"era":"stateless"}"#, false),
            (r#"{"client":"insp*","client_version":"1.*"}"#, true),
            (r#"{"client":"insp*","client_version":"2.*"}"#, false),
            (r#"{"path":"/mcp"}"#, true),
            (r#"{"path":"/other"}"#, false),
            (r#"{"upstream":"*:3001"}"#, true),
            (r#"{"upstream":"*:3002"}"#, false),
            (r#"{"prompt":"*"}"#, false),
            (r#"{"resource":"*"}"#, false),
            (r#"{"route":"mcp"}"#, true),
            (r#"{"route":"redis"}"#, false),
            (r#"{"opt_in":true}"#, true),
            (r#"{"tool":"fast-*","http_method":"GET"}"#, false),
        ] {
            check(scope, &echo, expected);
        }
    }

    #[test]
    fn a_batch_fits_when_one_message_fits_all_fields_at_once() {
        let list = MessageSubject {
            kind: Kind::Request,
            method: Some("tools/list".into()),
            name: Some("x".into()),
        };
        let batch = [list, call("slow-computation")];
        check(r#"{"tool":"slow-*"}"#, &batch, true);
        check(r#"{"method":"tools/list","tool":"slow-*"}"#, &batch, false);
    }

    #[test]
    fn a_tool_is_the_name_of_a_call_only() {
        let prompt = MessageSubject {
            kind: Kind::Request,
            method: Some("prompts/get".into()),
            name: Some("greeting".into()),
        };
        check(r#"{"tool":"greeting"}"#, &[prompt], false);
    }

    #[test]
    fn a_resource_is_the_uri_of_any_message_about_one() {
        let message = |method: &'static str| MessageSubject {
            kind: Kind::Notification,
            method: Some(method.into()),
            name: Some("app://x".into()),
        };
        check(r#"{"resource":"app://*"}"#, &[message("notifications/resources/updated")], true);
        check(r#"{"resource":"app://*"}"#, &[message("resources/read")], true);
        check(r#"{"resource":"app://*"}"#, &[message("tools/call")], false);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(serde_json::from_str::<Scope>(r#"{"metod":"x"}"#).is_err());
        assert!(serde_json::from_str::<Scope>(r#"{"header":{"a b":"x"}}"#).is_err());
    }
}
