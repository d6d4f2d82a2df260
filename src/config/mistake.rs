//! What is wrong in a configuration, in words for who wrote it.

use std::fmt;

use serde::de;

use super::layers::{Node, Origin};

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{}{message}", .origin.as_ref().map(|o| format!("{o}: ")).unwrap_or_default(), at(.path))]
pub struct Mistake {
    /// Where it was written, if anywhere.
    pub origin: Option<Origin>,
    /// The key, innermost last.
    pub path: Vec<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Mistake {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { origin: None, path: Vec::new(), message: message.to_string() }
    }

    /// Called on the way out of each level: the innermost origin is the one that counts.
    pub(super) fn within(mut self, segment: &str, node: &Node) -> Self {
        self.origin.get_or_insert_with(|| node.origin.clone());
        self.path.insert(0, segment.to_owned());
        self
    }
}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Map => "a table".to_owned(),
            found => found.to_string().replace('`', ""),
        };
        let expected = match expected.to_string().as_str() {
            "i64" => "a whole number".to_owned(),
            "f64" => "a number".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "a string" => "text in quotes".to_owned(),
            "a sequence" => "a list, in brackets".to_owned(),
            expected => expected.to_owned(),
        };
        Self::new(format_args!("{found} does not fit here; expected {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("unknown key \"{field}\"{}", nearest(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("unknown value \"{variant}\"{}", nearest(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format_args!("the key \"{field}\" is missing"))
    }
}

/// What may have been meant, or all that there is.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|key| (strsim::damerau_levenshtein(word, key), key))
        .filter(|(distance, key)| *distance <= 1 + key.len() / 3)
        .min();
    match near {
        Some((_, key)) => format!("; did you mean \"{key}\"?"),
        None => format!("; expected one of {}", list(known)),
    }
}

pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The path as the user writes it: `backend.queue.max: `, indices as `route[1]`.
fn at(path: &[String]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for segment in path {
        match segment.parse::<usize>() {
            // Tables are counted from 1 by people, and the only one needs no number.
            Ok(0) => {}
            Ok(index) => text = format!("{text}[{}]", index + 1),
            Err(_) if text.is_empty() => text.clone_from(segment),
            Err(_) => text = format!("{text}.{segment}"),
        }
    }
    text + ": "
}
