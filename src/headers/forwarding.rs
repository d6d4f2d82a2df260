//! What the backend is told of those before us: `Via`, `Forwarded`, `X-Forwarded-*`.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
};

use parking_lot::Mutex;

use super::Peer;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is said of a peer: made once, for all requests of its connection.
#[derive(Debug)]
pub(crate) struct PeerFields {
    address: IpAddr,
    /// The address as a field value.
    field: HeaderValue,
    /// The last `Host`, and the `Forwarded` element made of it: most connections have but one.
    last: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl PeerFields {
    pub(crate) fn new(address: IpAddr) -> Self {
        let field = HeaderValue::from_str(&address.to_canonical().to_string());
        let field = field.unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, field, last: Mutex::new(None) }
    }

    /// Has a request to this host come before?
    pub(super) fn knows(&self, host: &HeaderValue) -> bool {
        self.last.lock().as_ref().is_some_and(|(last, _)| last == host)
    }

    /// The element of `Forwarded` for a request to this host.
    fn element(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let Some(host) = host else { return forwarded(self.address, None) };
        let mut last = self.last.lock();
        if let Some((_, element)) = last.as_ref().filter(|(last, _)| last == host) {
            return element.clone();
        }
        let element = forwarded(self.address, Some(host));
        *last = Some((host.clone(), element.clone()));
        element
    }
}

/// Says for whom the request is forwarded. From peers that are not trusted, nothing is kept.
pub(super) fn forward(headers: &mut HeaderMap, peer: Peer<'_>) {
    let host = headers.get(HOST).cloned();
    let element = peer.fields.map(|fields| fields.element(host.as_ref()));
    let address =
        peer.fields.map_or(HeaderValue::from_static("unknown"), |fields| fields.field.clone());
    if peer.trusted {
        append(headers, X_FORWARDED_FOR, address);
        if let Some(element) = element {
            append(headers, FORWARDED, element);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        return;
    }
    headers.insert(X_FORWARDED_FOR, address);
    match element {
        Some(element) => drop(headers.insert(FORWARDED, element)),
        None => drop(headers.remove(FORWARDED)),
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match host {
        Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
        None => drop(headers.remove(X_FORWARDED_HOST)),
    }
}

/// One element of `Forwarded` (RFC 7239).
fn forwarded(address: IpAddr, host: Option<&HeaderValue>) -> HeaderValue {
    let host = host.and_then(|host| host.to_str().ok());
    // Checked to be an authority, which holds no quotes.
    let host = host.map(|host| format!(";host=\"{host}\"")).unwrap_or_default();
    let text = match address.to_canonical() {
        IpAddr::V4(address) => format!("for={address};proto=http{host}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\";proto=http{host}"),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

/// Adds to a list field, in the one line that simple backends read.
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let mut list = Vec::new();
    for present in headers.get_all(&name) {
        list.extend_from_slice(present.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        headers.insert(name, value);
        return;
    }
    list.extend_from_slice(value.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&list).unwrap_or(value));
}
