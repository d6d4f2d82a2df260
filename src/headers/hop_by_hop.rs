//! Fields that are for one hop alone, or that a backend would take for one of ours.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE, VIA},
};
use smallvec::SmallVec;

use super::{
    X_REQUEST_ID,
    forwarding::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    is,
};

const PROXY: &str = "proxy";

/// RFC 9110, section 7.6.1.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Looked for in one pass: most messages have none of them, or one.
    let present: SmallVec<[HeaderName; 2]> =
        headers.keys().filter(|name| is_of_hop(name)).cloned().collect();
    if present.contains(&CONNECTION) {
        strip_named(headers);
    }
    for name in present {
        headers.remove(name);
    }
}

fn is_of_hop(name: &HeaderName) -> bool {
    match *name {
        CONNECTION | TE | TRANSFER_ENCODING | UPGRADE => true,
        // These two have no short form to be compared by.
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// Removes fields that CGI and WSGI take for one of ours: to them, `_` and `-` are the same.
pub(super) fn strip_doubles(headers: &mut HeaderMap) {
    // CGI makes HTTP_PROXY of `Proxy`, which many programs obey as their own setting.
    let odd = |name: &&HeaderName| name.as_str().contains('_') || name.as_str() == PROXY;
    if !headers.keys().any(|name| odd(&name)) {
        return;
    }
    let ours = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        FORWARDED,
        VIA,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_REQUEST_ID,
    ];
    let odd: Vec<HeaderName> = headers.keys().filter(odd).cloned().collect();
    for name in odd {
        if name.as_str() == PROXY || ours.iter().any(|one| *one == *name.as_str().replace('_', "-"))
        {
            headers.remove(name);
        }
    }
}

/// Does the connection end behind this request, for certain? So it is nearly always said (RFC 9112, section
/// 9.3); where it is said otherwise, nothing depends on it.
pub(crate) fn ends_connection(version: Version, headers: &HeaderMap) -> bool {
    // Most have few fields: to look at each is quicker than to look it up.
    match headers.iter().find(|(name, _)| **name == CONNECTION) {
        Some((_, value)) => is(value, "close"),
        None => version == Version::HTTP_10,
    }
}

/// Removes what `Connection` names.
fn strip_named(headers: &mut HeaderMap) {
    let of_connection = |value: &HeaderValue| is(value, "close") || is(value, "keep-alive");
    if headers.get_all(CONNECTION).iter().all(of_connection) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // Without these the message would be another one.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}
