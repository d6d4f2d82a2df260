//! What each refusal comes to: status, words, and what may be done about it.

use std::sync::Arc;

use super::Refusal;

/// What a variant comes to.
pub(super) struct Answer {
    pub status: u16,
    /// Of RFC 9209, section 2.3.
    pub error: &'static str,
    pub title: &'static str,
    pub detail: &'static str,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u16>,
    /// As a page, it asks again by itself after that time.
    pub reloads: bool,
    /// What the child wrote: all that is not ours in an answer.
    pub output: Option<Arc<str>>,
}

impl Refusal {
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub(super) fn answer(&self) -> Answer {
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
                "A policy of the proxy, or its operator, ended the request before the backend had answered.",
            ),
            Self::Internal => answer(
                500,
                "proxy_internal_error",
                "Internal error",
                "The proxy failed in a way it should not; its log says more.",
            ),
        }
    }
}
