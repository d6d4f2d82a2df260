//! The forms of an answer of our own: for programs, for people with a browser, for people without.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, header::ACCEPT};
use serde::Serialize;

use super::table::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Problem,
    Html,
    Text,
}

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
    /// By RFC 9110, section 12.5.1; what a client likes equally is given in the order of
    /// problem+json, HTML, text.
    pub(super) fn best(headers: Option<&HeaderMap>) -> Self {
        let forms = [
            (Self::Problem, &["application/problem+json", "application/json", "application/*"][..]),
            (Self::Html, &["text/html", "application/xhtml+xml", "text/*"][..]),
            (Self::Text, &["text/plain", "text/*"][..]),
        ];
        let wishes = headers.map(wishes).unwrap_or_default();
        let liking = |types: &[&str]| {
            let named = types.iter().find_map(|name| {
                wishes.iter().find(|(wish, _)| wish == name).map(|(_, weight)| *weight)
            });
            let any = || wishes.iter().find(|(wish, _)| wish == "*/*").map(|(_, weight)| *weight);
            named.or_else(any).unwrap_or(0)
        };
        let mut best = (Self::Problem, liking(forms[0].1));
        for (form, types) in &forms[1..] {
            let weight = liking(types);
            if weight > best.1 {
                best = (*form, weight);
            }
        }
        best.0
    }

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

/// Media ranges with their weights in thousandths.
fn wishes(headers: &HeaderMap) -> Vec<(String, u16)> {
    headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts
                .filter_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .find_map(|weight| weight.parse::<f32>().ok())
                .unwrap_or(1.0);
            // Within 0 to 1000 after the clamp.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            let thousandths = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
            (name, thousandths)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn form(accept: &str) -> Form {
        let value = HeaderValue::from_str(accept).expect("a value");
        Form::best(Some(&HeaderMap::from_iter([(ACCEPT, value)])))
    }

    #[test]
    fn the_body_is_what_the_client_likes_best() {
        assert_eq!(Form::best(None), Form::Problem);
        assert_eq!(form("*/*"), Form::Problem);
        assert_eq!(form("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Html);
        assert_eq!(form("text/plain"), Form::Text);
        assert_eq!(form("text/html;q=0.2, application/json"), Form::Problem);
        assert_eq!(form("text/plain, text/html;q=0.9"), Form::Text);
    }
}
