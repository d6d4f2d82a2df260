//! Every answer that we make ourselves: what happened, whose fault it is, and what to do.

mod form;

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use self::form::Form;

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

/// What a variant comes to.
struct Answer {
    status: u16,
    /// Of RFC 9209, section 2.3.
    error: &'static str,
    title: &'static str,
    detail: &'static str,
    /// Seconds for `Retry-After`.
    retry_after: Option<u16>,
    /// As a page, it asks again by itself after that time.
    reloads: bool,
    /// What the child wrote: all that is not ours in an answer.
    output: Option<Arc<str>>,
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

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn answer(&self) -> Answer {
        let answer = |status, error, title, detail| Answer {
            status,
            error,
            title,
            detail,
            retry_after: None,
            reloads: false,
            output: None,
        };
        let client = |status, title, detail| answer(status, "http_request_error", title, detail);
        match self {
            Self::NotEncrypted => client(
                400,
                "Plain HTTP sent to a TLS port",
                "This port speaks TLS. Write https:// instead of http://.",
            ),
            Self::Malformed => client(
                400,
                "Malformed request",
                "The head of the request is not HTTP/1.1 as RFC 9112 defines it.",
            ),
            Self::BadField(detail) => client(400, "Bad request", detail),
            Self::Incomplete => client(
                400,
                "Incomplete request",
                "The connection was closed before the whole request had come. Nothing was sent to the backend.",
            ),
            Self::HeadTimeout => client(
                408,
                "Request head timed out",
                "The head of the request did not come within client.head_timeout.",
            ),
            Self::BodyStalled => client(
                408,
                "Request body stalled",
                "No byte of the request body came within client.body_stall. Nothing was sent to the backend.",
            ),
            Self::BodyTooSlow => client(
                408,
                "Request body too slow",
                "The request body came more slowly than client.body_pace allows. Nothing was sent to the backend.",
            ),
            Self::BodyMalformed => client(
                400,
                "Malformed request body",
                "The body of the request is not chunked as RFC 9112 defines it, or says too much besides. Nothing was sent to the backend.",
            ),
            Self::BodyTooLong => client(
                413,
                "Request body too long",
                "The request body is longer than max_body allows. Nothing was sent to the backend.",
            ),
            Self::TargetTooLong => client(
                414,
                "Request target too long",
                "The request line is longer than client.max_head, or the target longer than 65534 bytes.",
            ),
            Self::HeadTooLong => client(
                431,
                "Request head too long",
                "The head of the request is longer than client.max_head, or has more fields than client.max_fields.",
            ),
            Self::ExpectationUnknown => client(
                417,
                "Unknown expectation",
                "The only expectation that can be met is 100-continue.",
            ),
            Self::NotImplemented(detail) => client(501, "Not implemented", detail),
            Self::TooManyConnections => answer(
                429,
                "connection_limit_reached",
                "Too many connections",
                "This client has client.connections open. Close some, or use them for further requests.",
            ),
            Self::TooManyExchanges => Answer {
                retry_after: Some(1),
                ..answer(
                    429,
                    "http_request_denied",
                    "Too many requests",
                    "This client has as many exchanges running or queued as client.exchanges allows.",
                )
            },
            Self::TooManyOrphans => Answer {
                retry_after: Some(5),
                ..answer(
                    429,
                    "http_request_denied",
                    "Too many orphans",
                    "This client has left as many running exchanges behind as client.orphans allows. Wait until they have ended.",
                )
            },
            Self::KeyMalformed => client(
                400,
                "Malformed Idempotency-Key",
                "The Idempotency-Key field is one string of 1 to 255 visible ASCII characters, such as a UUID.",
            ),
            Self::KeyOfAnother => client(
                422,
                "Idempotency-Key used before",
                "This Idempotency-Key belongs to a request with another method, target or body. Nothing was sent to the backend.",
            ),
            Self::StillRunning => Answer {
                retry_after: Some(1),
                ..client(
                    409,
                    "Request still running",
                    "The request with this Idempotency-Key is still running. Send it again when it has ended.",
                )
            },
            Self::ResultUnknown => Answer {
                retry_after: Some(5),
                ..answer(
                    503,
                    "proxy_internal_error",
                    "Result unknown",
                    "The request with this Idempotency-Key was run, and its result cannot be had at present. It is not run twice.",
                )
            },
            Self::Loop => answer(
                502,
                "proxy_loop_detected",
                "Loop detected",
                "The request has come through this proxy before. Check that backend.url does not lead back to it.",
            ),
            Self::QueueFull => Answer {
                retry_after: Some(2),
                ..answer(
                    503,
                    "connection_limit_reached",
                    "Queue full",
                    "All slots of the backend are taken and backend.queue.max requests wait already. Nothing was sent to the backend.",
                )
            },
            Self::QueuedTooLong => Answer {
                retry_after: Some(5),
                ..answer(
                    503,
                    "connection_limit_reached",
                    "Queued too long",
                    "No slot of the backend came free within backend.queue.timeout. Nothing was sent to the backend.",
                )
            },
            Self::SpoolFull => Answer {
                retry_after: Some(5),
                ..answer(
                    503,
                    "proxy_internal_error",
                    "No room for the request body",
                    "The spool's memory and disk are used up, or its folder cannot be written. Nothing was sent to the backend.",
                )
            },
            Self::NameUnknown => answer(
                502,
                "dns_error",
                "Backend's name unknown",
                "The name in backend.url does not resolve.",
            ),
            Self::ConnectionRefused => answer(
                502,
                "connection_refused",
                "Backend refused the connection",
                "Nothing listens at backend.url. Is the backend running, and on that port?",
            ),
            Self::ConnectionTimedOut => answer(
                504,
                "connection_timeout",
                "Backend did not accept the connection",
                "No connection to backend.url came about within backend.connect_timeout.",
            ),
            Self::Unreachable => answer(
                502,
                "destination_ip_unroutable",
                "Backend unreachable",
                "The network gives no way to backend.url.",
            ),
            Self::Restarting => Answer {
                retry_after: Some(1),
                reloads: true,
                ..answer(
                    503,
                    "destination_unavailable",
                    "The server is restarting",
                    "It does not answer at the moment: it is starting, restarting, or down.",
                )
            },
            Self::NeverReached => Answer {
                retry_after: Some(1),
                reloads: true,
                ..answer(
                    503,
                    "destination_unavailable",
                    "The server has not been reached yet",
                    "It has not answered since seawall started: it is starting, or down, or its address is not the one in backend.url, which seawall's log names.",
                )
            },
            Self::ProbeUnanswered => answer(
                503,
                "destination_unavailable",
                "Backend does not answer its probe",
                "The backend has been asked for backend.probe more than 10 s ago, has nothing else to do, and has not answered.",
            ),
            Self::CrashLoop(lines) => Answer {
                retry_after: Some(5),
                reloads: true,
                output: Some(lines.clone()),
                ..answer(
                    502,
                    "destination_unavailable",
                    "Backend keeps ending",
                    "The command behind this proxy has ended several times in a row. It is started again after a pause; these were its last lines.",
                )
            },
            Self::ClosedEarly => answer(
                502,
                "connection_terminated",
                "Backend closed the connection",
                "The backend closed the connection before the head of its answer. Its log may say why.",
            ),
            Self::AnswerMalformed => answer(
                502,
                "http_protocol_error",
                "Backend's answer malformed",
                "What the backend sent is not a valid HTTP response.",
            ),
            Self::SwitchedElsewhere => answer(
                502,
                "http_upgrade_failed",
                "Backend switched to another protocol",
                "The backend answered 101 with a protocol in its Upgrade field that was not asked for.",
            ),
            Self::StillWaiting => answer(
                504,
                "http_response_timeout",
                "No answer yet",
                "No answer came within client.wait. The request goes on, unless its route cancels it.",
            ),
            Self::CutShort => answer(
                504,
                "proxy_internal_response",
                "Ended early",
                "A policy of the proxy ended the request before the backend had answered.",
            ),
            Self::Internal => answer(
                500,
                "proxy_internal_error",
                "Internal error",
                "The proxy failed in a way it should not; its log says more.",
            ),
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
        let form = Form::best(accept);
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
