//! Which exchanges are asked for.

use std::{str::FromStr, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::observe::{
    books::Account,
    record::{Ended, Facts, Outcome},
};

/// As it stands in the query; what is left out lets all through.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Such as `failed,cut`; `running` for those that are not over.
    #[serde(default, deserialize_with = "list")]
    ended: Vec<State>,
    /// Such as `404,5xx`; `none` for who got no answer.
    #[serde(default, deserialize_with = "list")]
    status: Vec<Statuses>,
    /// In capitals.
    #[serde(default, deserialize_with = "list")]
    method: Vec<String>,
    /// Contained in the path or its query.
    path: Option<String>,
    /// Contained in the client's address.
    client: Option<String>,
    /// Its name.
    backend: Option<String>,
    /// The `X-Request-Id`.
    id: Option<String>,
    /// From the head of the request on, in milliseconds.
    min_ms: Option<f64>,
    /// Only those that were over after the one with this number; none that runs.
    pub(super) after: Option<u64>,
    /// At most so many.
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Over(Ended),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statuses {
    None,
    One(u16),
    /// By the first digit.
    Class(u16),
}

impl Filter {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Are those that run asked for, too?
    pub(super) fn takes_running(&self) -> bool {
        self.after.is_none() && (self.ended.is_empty() || self.ended.contains(&State::Running))
    }

    /// One that is `over`, or runs.
    pub(super) fn takes(
        &self,
        over: bool,
        facts: &Facts,
        outcome: &Outcome,
        name: impl FnOnce(Account) -> std::sync::Arc<str>,
    ) -> bool {
        let contains = |text: Option<&str>, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.is_some_and(|text| text.contains(part.as_str())))
        };
        let state = if over { State::Over(outcome.ended()) } else { State::Running };
        (self.ended.is_empty() || self.ended.contains(&state))
            && self.takes_status(outcome.status)
            && (self.method.is_empty()
                || self.method.iter().any(|method| facts.method() == Some(method)))
            && contains(facts.path(), &self.path)
            && contains(facts.client.as_deref(), &self.client)
            && self.id.as_ref().is_none_or(|id| facts.id.as_str() == id)
            && self.backend.as_ref().is_none_or(|wanted| **wanted == *name(outcome.account))
            && self.min_ms.is_none_or(|least| {
                let took = match over {
                    true => outcome.ended_at(facts.began) - facts.began,
                    false => facts.began.elapsed(),
                };
                took >= Duration::try_from_secs_f64(least / 1e3).unwrap_or_default()
            })
    }

    fn takes_status(&self, status: Option<StatusCode>) -> bool {
        let status = status.map(|status| status.as_u16());
        self.status.is_empty()
            || self.status.iter().any(|wanted| match *wanted {
                Statuses::None => status.is_none(),
                Statuses::One(one) => status == Some(one),
                Statuses::Class(class) => status.is_some_and(|status| status / 100 == class),
            })
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "running" {
            return Ok(Self::Running);
        }
        let known = Ended::ALL.into_iter().find(|ended| ended.word() == word);
        known.map(Self::Over).ok_or_else(|| {
            let words = Ended::ALL.map(Ended::word).join(", ");
            format!("\"{word}\" is no way to end; write running, {words}")
        })
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let class = word.strip_suffix("xx").and_then(|digit| digit.parse().ok());
        match (word, class, word.parse()) {
            ("none", ..) => Ok(Self::None),
            (_, Some(class @ 1..=9), _) => Ok(Self::Class(class)),
            (_, _, Ok(one @ 100..=999)) => Ok(Self::One(one)),
            _ => Err(format!("\"{word}\" is no status; write one such as 404, 5xx or none")),
        }
    }
}

/// With commas between.
fn list<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    input: D,
) -> Result<Vec<T>, D::Error> {
    let text = String::deserialize(input)?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(D::Error::custom)).collect()
}
