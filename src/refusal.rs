//! Every answer that we make ourselves: what happened, whose fault it is, and what to do.

mod form;
mod kind;
mod table;

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use crate::wishes::Wishes;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// An answer that we make ourselves. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Plain HTTP where TLS is spoken.
    NotEncrypted,
    /// The head of the request does not parse.
    Malformed,
    /// It parses, but one field makes it ambiguous or meaningless.
    BadField(&'static str),
    /// The client stopped sending before the request was whole.
    Incomplete,
    HeadTimeout,
    BodyStalled,
    BodyTooSlow,
    /// Its chunks are none, or it has trailers beyond all bounds.
    BodyMalformed,
    BodyTooLong,
    TargetTooLong,
    HeadTooLong,
    ExpectationUnknown,
    NotImplemented(&'static str),
    TooManyConnections,
    TooManyExchanges,
    TooManyOrphans,
    /// `Idempotency-Key` is no key.
    KeyMalformed,
    /// It was used for another request.
    KeyOfAnother,
    /// The request runs, and cannot be attached to.
    StillRunning,
    /// The request was run at another seawall, whose result cannot be had.
    ResultUnknown,
    Loop,
    QueueFull,
    QueuedTooLong,
    SpoolFull,
    /// The name of the backend does not resolve.
    NameUnknown,
    ConnectionRefused,
    ConnectionTimedOut,
    Unreachable,
    /// The backend is away, and a person waits: a page that asks again by itself.
    Restarting,
    /// The same, where it was never reached: perhaps it is somewhere else.
    NeverReached,
    /// The backend has nothing else to do, and does not answer its probe.
    ProbeUnanswered,
    /// The child has ended again and again; these were its last lines.
    CrashLoop(Arc<str>),
    /// The backend closed or reset the connection before the head of its answer.
    ClosedEarly,
    /// The backend's answer is no HTTP, or contradicts itself.
    AnswerMalformed,
    /// The backend switched to a protocol that nobody asked for.
    SwitchedElsewhere,
    /// `client.wait` is over; the exchange goes on.
    StillWaiting,
    /// A policy or bound ended the exchange before its answer.
    CutShort,
    /// A fault of ours.
    Internal,
}

impl Refusal {
    /// What hyper answered on its own to a head that it could not parse.
    pub(crate) fn of_parser(status: &[u8]) -> Self {
        match status {
            b"414" => Self::TargetTooLong,
            b"431" => Self::HeadTooLong,
            _ => Self::Malformed,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.answer().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Is no further request taken from its connection? Others may disagree where such a request ends,
    /// and so what comes next (RFC 9112, section 11.2); or the rest of its body is not waited for.
    pub(crate) fn ends_connection(&self) -> bool {
        let is_doubtful =
            matches!(self, Self::BadField(_) | Self::NotImplemented(_) | Self::BodyMalformed);
        let is_in_body = matches!(
            self,
            Self::Incomplete | Self::BodyStalled | Self::BodyTooSlow | Self::BodyTooLong
        );
        is_doubtful || is_in_body
    }

    /// In a few words, for the access log.
    pub(crate) fn reason(&self) -> &'static str {
        self.answer().title
    }

    /// The response, its body in the form that the client likes best.
    pub(crate) fn render(&self, accept: Option<&HeaderMap>) -> Response<Bytes> {
        let answer = self.answer();
        let form = accept.map(Wishes::of).unwrap_or_default().form();
        let mut response = Response::new(form.body(&answer));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
        let status = format!("seawall; error={}; details=\"{}\"", answer.error, answer.title);
        if let Ok(value) = HeaderValue::try_from(status) {
            headers.insert(PROXY_STATUS, value);
        }
        if let Some(seconds) = answer.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// How many bytes its body has, for who says nothing of what it accepts.
    pub(crate) fn length(&self) -> u64 {
        self.render(None).body().len() as u64
    }

    /// The bytes of a whole response, for clients whose request never became one.
    pub(crate) fn bytes(&self) -> Bytes {
        let response = self.render(None);
        let mut text = format!(
            "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            response.status(),
            response.body().len()
        )
        .into_bytes();
        for (name, value) in response.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(response.body());
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn every_answer_says_what_rfc_9209_calls_it() {
        let response = Refusal::QueueFull.render(None);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let status = response.headers()[PROXY_STATUS].to_str().expect("text");
        assert_eq!(status, "seawall; error=connection_limit_reached; details=\"Queue full\"");
        let text = String::from_utf8(Refusal::HeadTimeout.bytes().to_vec()).expect("text");
        assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"));
    }

    #[test]
    fn what_the_child_wrote_cannot_become_part_of_the_page() {
        let loops = Refusal::CrashLoop("a < b & c\n<script>alert(\"1\")</script>".into());
        let body = |accept: &'static str| {
            let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            String::from_utf8(loops.render(Some(&accept)).into_body().to_vec()).expect("text")
        };
        let page = body("text/html");
        assert!(page.contains("a &lt; b &amp; c\n&lt;script&gt;alert"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        let problem: serde_json::Value = serde_json::from_str(&body("*/*")).expect("JSON");
        assert_eq!(problem["output"][0], "a < b & c");
        assert_eq!(problem["output"][1], "<script>alert(\"1\")</script>");
        assert!(body("text/plain").ends_with("\n\na < b & c\n<script>alert(\"1\")</script>\n"));
    }
}
