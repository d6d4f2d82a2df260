//! Who may be given an answer besides the one who asked for it.
//!
//! Those who join have sent an equal request, credentials included. What they need not share is
//! their address, and what an answer may be made of besides: a new session that the backend has
//! just made belongs to one of them alone.

use std::collections::HashSet;

use http::{
    HeaderMap,
    header::{CACHE_CONTROL, HeaderName, SET_COOKIE, VARY},
};

use super::identity;
use crate::backend::is_of_server;

/// How far an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// To all whose request is equal.
    All,
    /// To those of them who share the address of who asked first.
    Address,
    /// To one of those alone.
    One,
}

impl Sharing {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // A cookie may be a session; two who got the same one would be one and the same user. That of ours
        // leads both to one server, and tells nobody who they are.
        if headers.get_all(SET_COOKIE).iter().any(|cookie| !is_of_server(cookie)) {
            return Self::One;
        }
        let varies: HashSet<HeaderName> = list(headers, &VARY)
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .collect();
        if varies.iter().any(identity::is_volatile) {
            return Self::One;
        }
        let own = |directive: &str| {
            let name = directive.split('=').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("private") || name.eq_ignore_ascii_case("no-store")
        };
        let by_address = list(headers, &VARY).any(|name| name.trim() == "*")
            || varies.iter().any(identity::is_of_forwarding);
        if by_address || list(headers, &CACHE_CONTROL).any(own) {
            return Self::Address;
        }
        Self::All
    }
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(name: &'static str, value: &'static str) -> Sharing {
        let name = HeaderName::from_static(name);
        Sharing::of(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
    }

    #[test]
    fn what_makes_a_session_goes_to_one_and_what_is_private_to_one_address() {
        assert_eq!(Sharing::of(&HeaderMap::new()), Sharing::All);
        assert_eq!(of("cache-control", "public, max-age=60"), Sharing::All);
        assert_eq!(of("cache-control", "no-cache"), Sharing::All);
        assert_eq!(of("vary", "Accept, Cookie"), Sharing::All);
        assert_eq!(of("cache-control", "max-age=0, Private"), Sharing::Address);
        assert_eq!(of("cache-control", "private=\"x\""), Sharing::Address);
        assert_eq!(of("cache-control", "no-store"), Sharing::Address);
        assert_eq!(of("vary", "*"), Sharing::Address);
        assert_eq!(of("vary", "X-Forwarded-For"), Sharing::Address);
        assert_eq!(of("vary", "Accept, sec-fetch-user"), Sharing::One);
        assert_eq!(of("set-cookie", "session=1"), Sharing::One);
    }
}
