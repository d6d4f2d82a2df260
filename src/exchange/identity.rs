//! When two requests are equal.

use http::{
    HeaderName,
    header::{CACHE_CONTROL, CONTENT_LENGTH, PRAGMA, UPGRADE_INSECURE_REQUESTS, VIA},
    request,
};

use crate::{
    headers::{self, Digest, FORWARDING},
    request_id::X_REQUEST_ID,
};

/// Server, method, target, and all fields of a request but a few: equal for equal requests, and
/// for no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

/// Fields that differ from one request to the next although the same is asked for. A reload says
/// `Cache-Control` where the first visit did not, and what it wants is just what joining gives: the
/// backend's own answer.
const VOLATILE: [HeaderName; 8] = [
    X_REQUEST_ID,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    CACHE_CONTROL,
    PRAGMA,
    HeaderName::from_static("priority"),
    HeaderName::from_static("sec-fetch-user"),
    UPGRADE_INSECURE_REQUESTS,
];

impl Identity {
    /// Of a head as the backend gets it. `trusted`: what it says of forwarding came from a proxy
    /// that is believed, and so distinguishes clients.
    pub(crate) fn of(server: u64, head: &request::Parts, trusted: bool) -> Self {
        let counts = |name: &&HeaderName| {
            // `Via` names the hops, and a length of zero says what is known: that there is no body.
            let of_hop = **name == VIA || **name == CONTENT_LENGTH;
            !of_hop && !is_volatile(name) && (trusted || !is_of_forwarding(name))
        };
        let mut names: Vec<&HeaderName> = head.headers.keys().filter(counts).collect();
        names.sort_unstable_by_key(|name| name.as_str());
        let mut digest = Digest::default();
        digest.text(&server.to_be_bytes());
        digest.text(head.method.as_str().as_bytes());
        digest.text(headers::target(head).as_bytes());
        for name in names {
            for value in head.headers.get_all(name) {
                digest.text(name.as_str().as_bytes());
                digest.text(value.as_bytes());
            }
        }
        Self(digest.end())
    }
}

pub(super) fn is_volatile(name: &HeaderName) -> bool {
    VOLATILE.contains(name)
}

pub(super) fn is_of_forwarding(name: &HeaderName) -> bool {
    FORWARDING.contains(name)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Identity {
        of_peer(change, false)
    }

    fn of_peer(
        change: impl FnOnce(http::request::Builder) -> http::request::Builder,
        trusted: bool,
    ) -> Identity {
        let request = Request::get("/a?b=1").header("host", "app").header("accept", "text/html");
        let (head, ()) = change(request).body(()).expect("a request").into_parts();
        Identity::of(0, &head, trusted)
    }

    #[test]
    fn what_differs_from_one_request_to_the_next_does_not_count() {
        let plain = of(|request| request);
        for name in VOLATILE {
            assert_eq!(plain, of(|request| request.header(&name, "1")), "{name}");
        }
        for name in FORWARDING {
            assert_eq!(plain, of(|request| request.header(&name, "1")), "{name}");
        }
        assert_eq!(plain, of(|request| request.header("content-length", "0")));
    }

    #[test]
    fn everything_else_counts() {
        let plain = of(|request| request);
        let others = [
            "authorization",
            "cookie",
            "user-agent",
            "accept-language",
            "range",
            "if-none-match",
            "if-modified-since",
            "origin",
            "referer",
            "sec-fetch-site",
            "sec-fetch-mode",
            "x-anything",
        ];
        for name in others {
            assert_ne!(plain, of(|request| request.header(name, "1")), "{name}");
        }
        assert_ne!(plain, of(|request| request.method("HEAD")));
        assert_ne!(plain, of(|request| request.uri("/a?b=2")));
        assert_ne!(plain, of(|request| request.header("accept", "text/html")));
        let (head, ()) = Request::get("/a?b=1")
            .header("host", "app")
            .header("accept", "text/html")
            .body(())
            .expect("a request")
            .into_parts();
        assert_ne!(plain, Identity::of(1, &head, false));
    }

    #[test]
    fn the_order_counts_within_a_field_and_not_between_fields() {
        let (one, other) = (
            of(|request| request.header("a", "1").header("b", "1").header("b", "2")),
            of(|request| request.header("b", "1").header("b", "2").header("a", "1")),
        );
        assert_eq!(one, other);
        let turned = of(|request| request.header("a", "1").header("b", "2").header("b", "1"));
        assert_ne!(one, turned);
    }

    #[test]
    fn no_two_texts_run_into_each_other() {
        assert_ne!(
            of(|request| request.header("a", "1").header("b", "2")),
            of(|request| request.header("a", "1b2")),
        );
        assert_ne!(
            of(|request| request.header("a", "1").header("a", "2")),
            of(|request| request.header("a", "12")),
        );
    }

    #[test]
    fn of_a_trusted_proxy_what_it_says_of_its_clients_counts() {
        let plain = of_peer(|request| request, true);
        for name in FORWARDING {
            assert_ne!(plain, of_peer(|request| request.header(&name, "1"), true), "{name}");
        }
    }
}
