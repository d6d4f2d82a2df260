//! `[inspect]`: what is kept of exchanges that are over, for the inspector.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::values;

/// What is kept of exchanges that are over, for the inspector.
#[derive(Debug, Clone, Deserialize)]
pub struct Inspect {
    /// So many; beyond, the oldest goes. Zero: nothing is kept.
    #[serde(deserialize_with = "entries")]
    pub entries: usize,
    /// Bytes of all that is kept, and of what is taken down of those that run.
    #[serde(deserialize_with = "values::size")]
    pub memory: u64,
    /// Of how many that begin within a second, on each worker.
    #[serde(deserialize_with = "values::small_count")]
    pub rate: u32,
    /// Bytes of each body that are kept, from its first on.
    #[serde(deserialize_with = "values::size")]
    pub bodies: u64,
    /// How long the answer to a request that an operator sends again is taken.
    #[serde(deserialize_with = "values::duration")]
    pub replay: Duration,
    /// Fields whose values are secret, besides those that always are.
    #[serde(deserialize_with = "names")]
    pub mask: Vec<HeaderName>,
}

impl Inspect {
    /// Nothing is kept.
    #[must_use]
    pub fn off() -> Self {
        Self { entries: 0, memory: 0, rate: 1, bodies: 0, replay: Duration::ZERO, mask: Vec::new() }
    }
}

fn entries<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    match i64::deserialize(input)? {
        count @ 0..=MOST => Ok(usize::try_from(count).unwrap_or(0)),
        other => Err(D::Error::custom(format_args!(
            "{other} is out of range; write a number up to {MOST}, or 0 to keep nothing"
        ))),
    }
}

fn names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<HeaderName>, D::Error> {
    let name = |name: String| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            D::Error::custom(format_args!(
                "\"{name}\" is no name of a field, such as \"x-my-token\""
            ))
        })
    };
    Vec::<String>::deserialize(input)?.into_iter().map(name).collect()
}

/// All of them are gone through for each look at the list.
const MOST: i64 = 100_000;
