//! What must hold, by metric, in k6's notation; and what ends a drill before its time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use squall_loadgen::Threshold;

use crate::scalar::text;

/// A condition that ends the drill.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// What is too much: `operation_failed: rate>0.9`.
    #[serde(deserialize_with = "text")]
    pub(crate) when: Threshold,
    /// Over which time, up to now, it is measured.
    #[serde(rename = "for", with = "crate::scalar::time")]
    pub(crate) lasting: Duration,
}

/// Reads `metric: [expression, …]`.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Threshold>, D::Error> {
    let raw: BTreeMap<String, Vec<String>> = BTreeMap::deserialize(deserializer)?;
    let mut thresholds = Vec::new();
    for (metric, expressions) in raw {
        for expression in expressions {
            let threshold = Threshold::new(&metric, &expression);
            thresholds.push(threshold.map_err(serde::de::Error::custom)?);
        }
    }
    Ok(thresholds)
}
