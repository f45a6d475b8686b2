//! The load generator: paced sessions, each an MCP client of its own, that record every operation.

mod nearest;
mod threshold;

pub use threshold::{Aggregation, BadThreshold, Metric, Operator, Sample, Tag, Threshold, Verdict};
