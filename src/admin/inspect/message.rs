//! What was said, in a form that JSON can hold: strangers wrote it, and it need not be text.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::header::HOST;
use serde::Serialize;

use crate::observe::{
    capture::{Body, Capture, Field, RequestHead},
    record::Facts,
};

/// A request or an answer.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    /// Name and value, in the order of coming, as far as that is known.
    fields: Vec<(String, String)>,
    /// The names of those whose values are not what they were.
    masked: Vec<String>,
    body: Content,
}

#[derive(Debug, Serialize)]
pub(super) struct Content {
    /// In all.
    bytes: u64,
    /// Of these, the first.
    kept_bytes: usize,
    #[serde(flatten)]
    begin: Begin,
}

/// The first bytes of a body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Begin {
    Text(String),
    Base64(String),
}

impl Message {
    pub(super) fn request(capture: &Capture) -> Option<Self> {
        let head = capture.request.as_ref()?;
        Some(Self::of(&head.fields, &capture.request_body, capture.request_body.len))
    }

    /// Its client was given so many bytes of it.
    pub(super) fn answer(capture: &Capture, bytes: u64) -> Option<Self> {
        Some(Self::of(capture.answer.as_ref()?, &capture.answer_body, bytes))
    }

    fn of(fields: &[Field], body: &Body, bytes: u64) -> Self {
        let masked = fields.iter().filter(|field| field.is_masked);
        Self {
            fields: pairs(fields).collect(),
            masked: masked.map(|field| field.name.to_string()).collect(),
            body: Content { bytes, kept_bytes: body.begin.len(), begin: Begin::of(body) },
        }
    }
}

impl Begin {
    pub(super) fn of(body: &Body) -> Self {
        match text(body) {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Base64(BASE64_STANDARD.encode(&body.begin)),
        }
    }
}

/// As its client would write it.
pub(super) fn url(facts: &Facts, head: &RequestHead) -> Option<String> {
    let path = facts.path()?;
    let field = || head.fields.iter().find(|field| field.name == HOST);
    let host = match &head.authority {
        Some(authority) => authority.to_string(),
        None => field().map_or_else(String::new, |host| readable(&host.value)),
    };
    let host = if host.is_empty() { "localhost" } else { &host };
    let scheme = if head.is_secure { "https" } else { "http" };
    // It may be `*`.
    let path = if path.starts_with('/') { path } else { "/" };
    Some(format!("{scheme}://{host}{path}"))
}

/// Names and readable values.
pub(super) fn pairs(fields: &[Field]) -> impl Iterator<Item = (String, String)> {
    fields.iter().map(|field| (field.name.to_string(), readable(&field.value)))
}

/// What is no UTF-8 is shown as `\xff`.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Into a string, this never fails.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The first bytes of a body, where they are text. A last character may be cut in two.
pub(super) fn text(body: &Body) -> Option<&str> {
    let text = match std::str::from_utf8(&body.begin) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !body.is_whole() => {
            std::str::from_utf8(&body.begin[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |char: char| !char.is_control() || matches!(char, '\t' | '\r' | '\n');
    text.chars().all(is_text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(begin: &[u8], len: u64) -> Body {
        Body { begin: begin.to_vec(), len }
    }

    #[test]
    fn what_is_no_text_is_told_from_what_is_cut() {
        assert_eq!(text(&body("grün".as_bytes(), 5)), Some("grün"));
        assert_eq!(text(&body(&"grün".as_bytes()[..3], 5)), Some("gr"));
        assert_eq!(text(&body(&"grün".as_bytes()[..3], 3)), None);
        assert_eq!(text(&body(b"a\0b", 3)), None);
        assert_eq!(readable(b"a\xffb \xc3\xbc"), "a\\xffb ü");
    }
}
