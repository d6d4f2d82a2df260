//! Which route a request takes.

use http::request;

use super::House;
use crate::{config::Route, refusal::Refusal};

impl House {
    pub(super) fn route(&self, head: &request::Parts) -> Result<&Route, Refusal> {
        let is_host =
            |name: &str| host_of(head).is_some_and(|host| host.eq_ignore_ascii_case(name));
        let matches = |route: &&Route| {
            route.host.as_deref().is_none_or(is_host)
                && (route.methods.is_empty() || route.methods.contains(&head.method))
                && (route.path == "/" || is_prefix(&route.path, head.uri.path()))
        };
        // The last one matches everything.
        self.routes.iter().find(matches).ok_or(Refusal::Internal)
    }
}

fn host_of(head: &request::Parts) -> Option<&str> {
    let from_field = || head.headers.get(http::header::HOST)?.to_str().ok();
    let host = head.uri.authority().map(http::uri::Authority::as_str).or_else(from_field)?;
    // Without the port; an IPv6 address keeps its brackets.
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

/// By whole segments: `/api` is no prefix of `/apiary`.
fn is_prefix(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => false,
    }
}
