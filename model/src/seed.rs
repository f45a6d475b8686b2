//! The one number that a whole run is drawn from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a whole run is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// A seed of a known value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number itself, as it is given on the command line.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The seed spread over 64 bits and never zero, for use inside ids.
    pub(crate) fn mixed(self) -> u64 {
        split_mix(self.0).max(1)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seed {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One step of the `SplitMix64` sequence (Steele, Lea and Flood, 2014).
pub(crate) fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
