//! Fields that are for one hop alone, or that a backend would take for one of ours.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE, VIA},
};

use super::{
    X_REQUEST_ID,
    forwarding::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    is,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY: &str = "proxy";
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// RFC 9110, section 7.6.1.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Looked for in one pass: most messages have none of them, or one.
    let of_hop = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];
    let mut present = of_hop.each_ref().map(|_| false);
    for name in headers.keys() {
        if let Some(index) = of_hop.iter().position(|one| one == name) {
            present[index] = true;
        }
    }
    if present[0] {
        strip_named(headers);
    }
    for (name, present) in of_hop.iter().zip(present) {
        if present {
            headers.remove(name);
        }
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
