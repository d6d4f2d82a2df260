//! The answers of our own, written out in their forms.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use super::table::Answer;
use crate::wishes::Form;

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'static str,
    status: u16,
    detail: &'static str,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Vec<&'a str>>,
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::Html => "text/html; charset=utf-8",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// The texts are ours and hold nothing that would need escaping; `output` is not.
    pub(super) fn body(self, answer: &Answer) -> Bytes {
        let Answer { status, error, title, detail, retry_after, reloads, ref output } = *answer;
        match self {
            Self::Problem => {
                let output = output.as_deref().map(|text| text.lines().collect());
                serde_json::to_vec(&Problem { title, status, detail, error, output })
                    .unwrap_or_default()
                    .into()
            }
            Self::Html => {
                let output = output.as_deref().map_or(String::new(), |text| {
                    format!("<pre style=\"overflow:auto\">{}</pre>\n", escape(text))
                });
                let again = if reloads { AGAIN } else { "" };
                let reload = retry_after.filter(|_| reloads).map_or(String::new(), |seconds| {
                    format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")
                });
                format!(
                    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
                     <meta name=\"viewport\" content=\"width=device-width\">{reload}<title>{status} {title}</title>\n\
                     <body style=\"font:1rem/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem\">\n\
                     <h1>{status} {title}</h1>\n<p>{detail}{again}</p>\n{output}<p><small>seawall: {error}</small></p>\n</body></html>\n"
                )
                .into()
            }
            Self::Text => {
                let output = output.as_deref().map_or(String::new(), |text| format!("\n{text}\n"));
                format!("{status} {title}\n{detail}\n{output}").into()
            }
        }
    }
}

/// What only a page does.
const AGAIN: &str =
    " This page asks again by itself, and shows the answer as soon as there is one.";

/// Text for the inside of an element.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return text.into();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
}
