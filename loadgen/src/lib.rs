//! The load generator: paced sessions, each an MCP client of its own, that record every operation.
//!
//! A [`Plan`] says what the load is; [`Load::start`] starts it; every operation goes to a [`Sink`]
//! as soon as its outcome is known, and the [`Summary`] says what they came to. Nothing is ever
//! retried behind the record's back, and no operation that fell due is missing from it.

mod client;
mod clock;
mod conductor;
mod discover;
mod load;
mod pace;
mod pacer;
mod plan;
mod session;
mod shared;
mod sink;
mod stats;
mod target;
mod threshold;
mod timer;
mod worker;
mod workload;

pub use clock::Clock;
pub use load::{Load, NotReady, Progress, Ready};
pub use plan::{Arrivals, BadPlan, ClientName, Extent, Plan, Rate, Sessions};
pub use session::is_setup;
pub use sink::{History, Sink};
pub use stats::{Counts, Latency, OperationSummary, SessionSummary, Summary};
pub use target::{BadTarget, Target};
pub use threshold::{Aggregation, BadThreshold, Metric, Operator, Sample, Tag, Threshold, Verdict};
pub use workload::{Action, BadMix, Mix, NotOffered, PlainMethod, Share};
