//! A fault is data: an id, what it matches, how often, for how long, and THE list of effects.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chance::{Chance, Draw};
use crate::scope::{Direction, Scope, Subject};
use crate::verdict::{self, Moment, Verdict};

mod acknowledge;
mod at;
mod bandwidth;
mod blackhole;
mod cache_hints;
mod catalogue;
mod content_type;
mod corrupt;
mod cut;
mod drop;
mod duplicate;
mod event_id;
mod expire_session;
mod false_accept;
mod gone_status;
mod half_close;
mod hold_back;
mod http_status;
mod ignore_delete;
mod jsonrpc_error;
mod latency;
mod limit_bytes;
mod malformed;
mod mirror_header;
mod protocol_version;
mod redirect;
mod refuse;
mod refuse_initialize;
mod reorder;
mod request_state;
mod reroute;
mod reset;
mod result_type;
mod resume;
mod retry;
mod rewrite;
mod session_id;
mod slicer;
mod slow_close;
mod split;
mod stall_heartbeats;
mod stray_response;
mod time;
mod timeout;
mod tools_drift;
mod truncate;
mod unsupported_version;
mod wrong_id;

pub use acknowledge::Acknowledge;
pub use at::{At, Flow, LatencyAt, Within};
pub use bandwidth::Bandwidth;
pub use blackhole::Blackhole;
pub use cache_hints::CacheHints;
pub use catalogue::{EffectDoc, FieldDoc, catalogue, fields_of, schema};
pub use content_type::ContentType;
pub use corrupt::Corrupt;
pub use cut::Cut;
pub use drop::Drop;
pub use duplicate::Duplicate;
pub use event_id::EventId;
pub use expire_session::{ExpireSession, Sessions};
pub use false_accept::FalseAccept;
pub use gone_status::GoneStatus;
pub use half_close::HalfClose;
pub use hold_back::HoldBack;
pub use http_status::HttpStatus;
pub use ignore_delete::IgnoreDelete;
pub use jsonrpc_error::JsonrpcError;
pub use latency::{Distribution, Latency};
pub use limit_bytes::LimitBytes;
pub use malformed::Malformed;
pub use mirror_header::MirrorHeader;
pub use protocol_version::ProtocolVersion;
pub use redirect::Redirect;
pub use refuse::Refuse;
pub use refuse_initialize::RefuseInitialize;
pub use reorder::Reorder;
pub use request_state::RequestState;
pub use reroute::Reroute;
pub use reset::Reset;
pub use result_type::ResultType;
pub use resume::Resume;
pub use retry::Retry;
pub use rewrite::Rewrite;
pub use session_id::SessionId;
pub use slicer::Slicer;
pub use slow_close::SlowClose;
pub use split::Split;
pub use stall_heartbeats::StallHeartbeats;
pub use stray_response::StrayResponse;
pub use timeout::Timeout;
pub use tools_drift::ToolsDrift;
pub use truncate::Truncate;
pub use unsupported_version::UnsupportedVersion;
pub use wrong_id::WrongId;

/// One fault, as files, the admin API and the command line write it.
///
/// ```yaml
/// id: slow-calls
/// match: { tool: "fast-*" }
/// chance: { probability: 0.1 }
/// lease: 30s
/// effect: { latency: { delay: 200ms } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
#[schemars(!try_from)]
pub struct Fault {
    /// Unique among the live faults.
    pub id: FaultId,
    /// Which traffic.
    #[serde(rename = "match", default)]
    pub scope: Scope,
    /// Which of the matches.
    #[serde(default)]
    pub chance: Chance,
    /// The fault ends by itself so long after it was added or last renewed.
    #[serde(default, with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_time")]
    pub lease: Option<Duration>,
    /// Whether it acts. A fault that is switched off stays listed, and does nothing.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// What happens.
    pub effect: Effect,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_yes(enabled: &bool) -> bool {
    *enabled
}

impl Fault {
    /// Which way the traffic flows that it acts on.
    pub fn direction(&self) -> Direction {
        self.scope.direction.unwrap_or_else(|| self.effect.acts().direction())
    }

    /// Whether the subject is one that this fault may act on. Chance is not asked yet.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let effect = self.effect.acts();
        self.scope.matches(subject, effect.direction(), &self.id) && effect.applies_to(subject)
    }
}

/// What every effect says of itself.
pub(crate) trait Act {
    /// When it acts.
    fn moment(&self) -> Moment;

    /// What a match that fires leads to. Pure: all chance comes from `draw`.
    fn decide(&self, draw: &mut Draw) -> Verdict;

    /// The way of the traffic that it acts on, unless the match says otherwise.
    fn direction(&self) -> Direction {
        match self.moment() {
            Moment::Connection | Moment::Exchange => Direction::Request,
            Moment::Message => Direction::Response,
        }
    }

    /// Whether it can act on that way only.
    fn is_one_way(&self) -> bool {
        self.moment() == Moment::Message
    }

    /// Whether there is anything to do, once the match fits.
    fn applies_to(&self, _: &Subject<'_>) -> bool {
        true
    }
}

/// What an effect acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Connections, and the bytes that they carry.
    Connection,
    /// HTTP requests and their answers; some of these act on connections and messages, too.
    Exchange,
    /// What JSON-RPC messages say.
    Jsonrpc,
    /// Sessions (2025-03-26 to 2025-11-25).
    Session,
    /// Event streams.
    Stream,
    /// The stateless era (2026-07-28).
    Stateless,
}

/// Makes the enum of effects from their list, and hands every call to the effect itself.
macro_rules! effects {
    ($($family:ident { $($(#[$doc:meta])* $effect:ident = $name:literal,)* })*) => {
        /// THE list of effects. A new one is a line here and a file in `fault/`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Effect {
            $($($(#[$doc])* #[serde(rename = $name)] $effect($effect),)*)*
        }

        /// The names of all effects, as files write them, in the order of [`Effect`].
        pub const EFFECT_NAMES: &[&str] = &[$($($name,)*)*];

        impl Effect {
            /// The name that files use.
            pub fn name(&self) -> &'static str {
                match self { $($(Self::$effect(_) => $name,)*)* }
            }

            /// The effects by what they act on, in the order of the list.
            pub const FAMILIES: &[(Family, &[&str])] = &[$((Family::$family, &[$($name,)*]),)*];

            fn acts(&self) -> &dyn Act {
                match self { $($(Self::$effect(effect) => effect,)*)* }
            }
        }
    };
}

effects! {
    Connection {
        /// Nobody can connect.
        Refuse = "refuse",
        /// A connection stands still.
        Blackhole = "blackhole",
        /// A connection carries so many bytes a second and no more.
        Bandwidth = "bandwidth",
        /// What a connection carries arrives in small slices.
        Slicer = "slicer",
        /// A connection ends after so many bytes.
        LimitBytes = "limit-bytes",
        /// The client is told that nothing more comes, and is still listened to.
        HalfClose = "half-close",
        /// The end of a connection comes late.
        SlowClose = "slow-close",
    }
    Exchange {
        /// Traffic arrives later.
        Latency = "latency",
        /// The request, or its answer, vanishes, and the connection closes after a while.
        Timeout = "timeout",
        /// A request, an answer or a message vanishes.
        Drop = "drop",
        /// The connection ends with a TCP RST.
        Reset = "reset",
        /// The client gets an HTTP status of our choice.
        HttpStatus = "http-status",
        /// The client is sent elsewhere.
        Redirect = "redirect",
        /// A request is delivered twice, or a message arrives twice.
        Duplicate = "duplicate",
        /// The answer's body ends early.
        Truncate = "truncate",
        /// A message arrives damaged.
        Corrupt = "corrupt",
        /// The answer says that it is something else.
        ContentType = "content-type",
        /// The answer is held back until it is complete, as a buffering middlebox does.
        HoldBack = "hold-back",
    }
    Jsonrpc {
        /// The client gets a JSON-RPC error of our choice.
        JsonrpcError = "jsonrpc-error",
        /// An answer has an id that nobody asked with.
        WrongId = "wrong-id",
        /// An answer arrives that nobody asked for.
        StrayResponse = "stray-response",
        /// The envelope of a message breaks JSON-RPC.
        Malformed = "malformed",
        /// Fields of a message are set or removed.
        Rewrite = "rewrite",
        /// The list of tools has changed: one is gone, or takes other arguments.
        ToolsDrift = "tools-drift",
    }
    Session {
        /// The session is gone: 404 until a new `initialize`.
        ExpireSession = "expire-session",
        /// A session that is gone is answered with another status than 404.
        GoneStatus = "gone-status",
        /// A request is answered 202, as if it were a notification.
        FalseAccept = "false-accept",
        /// `Mcp-Session-Id` is missing, or names another session.
        SessionId = "session-id",
        /// The end of a session does not reach the server.
        IgnoreDelete = "ignore-delete",
        /// The request goes to another replica, which does not know the session.
        Reroute = "reroute",
        /// `MCP-Protocol-Version` is missing, or wrong.
        ProtocolVersion = "protocol-version",
        /// New sessions are refused: a herd meets a closed door.
        RefuseInitialize = "refuse-initialize",
    }
    Stream {
        /// An event is overtaken by those behind it.
        Reorder = "reorder",
        /// An event arrives in two pieces.
        Split = "split",
        /// The id of an event is missing, repeated, or goes backwards.
        EventId = "event-id",
        /// Events tell the client to wait too long, or not at all, before it comes back.
        Retry = "retry",
        /// The signs of life of a quiet stream stay away.
        StallHeartbeats = "stall-heartbeats",
        /// The stream ends early: after some events, or just before the answer.
        Cut = "cut",
        /// A stream that is resumed replays nothing, or what belongs to another.
        Resume = "resume",
    }
    Stateless {
        /// A header that repeats the body is missing, or says something else.
        MirrorHeader = "mirror-header",
        /// The server seems not to speak the version of the protocol.
        UnsupportedVersion = "unsupported-version",
        /// The acknowledgement of a subscription is late, missing, or wrong.
        Acknowledge = "acknowledge",
        /// The state that a client has to echo is altered, replayed, or never ends.
        RequestState = "request-state",
        /// The client is told to keep results too long, or to share them.
        CacheHints = "cache-hints",
        /// A result is of a type that nobody knows.
        ResultType = "result-type",
    }
}

impl Effect {
    /// When it acts.
    pub fn moment(&self) -> Moment {
        self.acts().moment()
    }

    /// What a match that fires leads to. Pure: all chance comes from `draw`.
    pub fn decide(&self, draw: &mut Draw) -> Verdict {
        self.acts().decide(draw)
    }

    /// Whether it closes the door, so that connections are not even accepted.
    pub fn refuses(&self) -> bool {
        matches!(self, Self::Refuse(_))
    }

    /// Whether it leaves sessions alone that began after it did.
    pub fn spares_new_sessions(&self) -> bool {
        matches!(self, Self::ExpireSession(expiry) if expiry.sessions == Sessions::Existing)
    }

    /// Whether it resumes streams from the event ids of others.
    pub fn resumes_others(&self) -> bool {
        matches!(self, Self::Resume(Resume { how: verdict::Resume::Mixup }))
    }

    /// The way of the traffic that it acts on, unless the match says otherwise.
    pub fn direction(&self) -> Direction {
        self.acts().direction()
    }
}

/// The name of a fault: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it fits a header, a path and a label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._-]{1,64}$"))]
pub struct FaultId(std::sync::Arc<str>);

impl FaultId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name a fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot name a fault: 1 to 64 of A-Z a-z 0-9 . _ - were expected")]
pub struct BadFaultId(String);

impl TryFrom<String> for FaultId {
    type Error = BadFaultId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadFaultId(text.chars().take(80).collect()))
        }
    }
}

impl FromStr for FaultId {
    type Err = BadFaultId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<FaultId> for String {
    fn from(id: FaultId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A fault as it was written, before its parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    id: FaultId,
    #[serde(rename = "match", default)]
    scope: Scope,
    #[serde(default)]
    chance: Chance,
    #[serde(default, with = "humantime_serde::option")]
    lease: Option<Duration>,
    #[serde(default = "yes")]
    enabled: bool,
    effect: Effect,
}

/// A fault whose parts contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum BadFault {
    /// A connection has no method, session or header.
    #[error(
        "fault `{0}` acts at a connection, which has no method, tool, session or header: leave `match` empty, or name a `route`"
    )]
    ScopedConnection(FaultId),
    /// The effect has nothing to do on that way.
    #[error("fault `{0}`: `{1}` acts on a {2} only: leave `direction` out, or say `{2}`")]
    OneWay(FaultId, &'static str, &'static str),
    /// A fault that could never fire.
    #[error("fault `{0}` can never fire: `{1}` counts from 1, found 0")]
    NeverFires(FaultId, &'static str),
}

impl TryFrom<Unchecked> for Fault {
    type Error = BadFault;

    fn try_from(raw: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { id, scope, chance, lease, enabled, effect } = raw;
        if effect.moment() == Moment::Connection && scope.needs_an_exchange() {
            return Err(BadFault::ScopedConnection(id));
        }
        let acts = effect.acts();
        let asks_otherwise = scope.direction.is_some_and(|asked| asked != acts.direction());
        if acts.is_one_way() && asks_otherwise {
            return Err(BadFault::OneWay(id, effect.name(), acts.direction().name()));
        }
        if let Some((name, _)) = chance.counts().find(|(_, count)| *count == 0) {
            return Err(BadFault::NeverFires(id, name));
        }
        Ok(Self { id, scope, chance, lease, enabled, effect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(effect: &str, scope: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"id":"f","match":{scope},"effect":{effect}}}"#))
    }

    #[test]
    fn every_effect_is_written_under_its_name() {
        let samples = [
            r#"{"refuse":{}}"#,
            r#"{"blackhole":{}}"#,
            r#"{"bandwidth":{"rate":"100KB"}}"#,
            r#"{"slicer":{"size":10}}"#,
            r#"{"limit-bytes":{"bytes":10}}"#,
            r#"{"half-close":{}}"#,
            r#"{"slow-close":{"delay":"1s"}}"#,
            r#"{"latency":{"delay":"200ms"}}"#,
            r#"{"timeout":{"after":"5s"}}"#,
            r#"{"drop":{}}"#,
            r#"{"reset":{}}"#,
            r#"{"http-status":{"status":503}}"#,
            r#"{"redirect":{"location":"/elsewhere"}}"#,
            r#"{"duplicate":{}}"#,
            r#"{"truncate":{"after":10}}"#,
            r#"{"corrupt":{}}"#,
            r#"{"content-type":{"value":"text/html"}}"#,
            r#"{"hold-back":{}}"#,
            r#"{"jsonrpc-error":{"code":-32000}}"#,
            r#"{"wrong-id":{}}"#,
            r#"{"stray-response":{}}"#,
            r#"{"malformed":{}}"#,
            r#"{"rewrite":{"set":{"/result/x":1}}}"#,
            r#"{"tools-drift":{"vanish":"fast-*"}}"#,
            r#"{"expire-session":{}}"#,
            r#"{"gone-status":{"status":400}}"#,
            r#"{"false-accept":{}}"#,
            r#"{"session-id":{}}"#,
            r#"{"ignore-delete":{}}"#,
            r#"{"reroute":{}}"#,
            r#"{"protocol-version":{}}"#,
            r#"{"refuse-initialize":{}}"#,
            r#"{"reorder":{}}"#,
            r#"{"split":{}}"#,
            r#"{"event-id":{}}"#,
            r#"{"retry":{"time":"1h"}}"#,
            r#"{"stall-heartbeats":{}}"#,
            r#"{"cut":{"after_events":1}}"#,
            r#"{"resume":{}}"#,
            r#"{"mirror-header":{"header":"mcp-method"}}"#,
            r#"{"unsupported-version":{}}"#,
            r#"{"acknowledge":{"how":"never"}}"#,
            r#"{"request-state":{}}"#,
            r#"{"cache-hints":{"ttl_ms":86400000}}"#,
            r#"{"result-type":{}}"#,
        ];
        assert_eq!(samples.len(), EFFECT_NAMES.len());
        for (sample, name) in samples.into_iter().zip(EFFECT_NAMES) {
            let fault = parse(sample, "{}").expect(sample);
            assert_eq!(fault.effect.name(), *name);
            let written = serde_json::to_string(&fault).expect("a fault is JSON");
            assert_eq!(serde_json::from_str::<Fault>(&written).expect(&written), fault);
        }
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused_with_advice() {
        for (effect, scope, says) in [
            (r#"{"blackhole":{}}"#, r#"{"tool":"x"}"#, "name a `route`"),
            (r#"{"drop":{"at":"message"}}"#, r#"{"direction":"request"}"#, "say `response`"),
            (r#"{"cut":{"before_answer":true}}"#, r#"{"direction":"request"}"#, "say `response`"),
            (r#"{"cut":{}}"#, "{}", "after_events"),
            (r#"{"rewrite":{}}"#, "{}", "`set` or `remove`"),
            (r#"{"rewrite":{"remove":["result"]}}"#, "{}", "RFC 6901"),
            (r#"{"tools-drift":{}}"#, "{}", "`vanish` or `schema`"),
            (r#"{"expire-session":{}}"#, r#"{"direction":"response"}"#, "say `request`"),
            (r#"{"http-status":{"status":99}}"#, "{}", "200 to 599"),
            (r#"{"latency":{"delay":"2h"}}"#, "{}", "1h"),
            (r#"{"latency":{"delay":200}}"#, "{}", "such as 200ms"),
            (r#"{"timeout":{"after":"soon"}}"#, "{}", "such as 200ms"),
            (r#"{"latency":{"delay":"1s","jiter":"1s"}}"#, "{}", "jitter"),
            (r#"{"latncy":{}}"#, "{}", "latency"),
        ] {
            let error = parse(effect, scope).expect_err(effect).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_fault_id_fits_a_header_a_path_and_a_label() {
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<FaultId>().is_err(), "{bad:?}");
        }
        assert!("slow-calls_2.b".parse::<FaultId>().is_ok());
    }
}
