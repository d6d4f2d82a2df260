//! What the backend is told of those before us: `Via`, `Forwarded`, `X-Forwarded-*`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use parking_lot::Mutex;

use super::Peer;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// By what a peer speaks to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// What is said of a peer: made once, for all requests of its connection.
#[derive(Debug)]
pub(crate) struct PeerFields {
    address: Option<IpAddr>,
    scheme: Scheme,
    /// The address as a field value.
    field: Option<HeaderValue>,
    /// The last `Host`, and the `Forwarded` element made of it: most connections have but one. Boxed: a
    /// parked connection has none.
    last: Mutex<Option<Box<(HeaderValue, HeaderValue)>>>,
}

impl PeerFields {
    pub(crate) fn new(address: Option<IpAddr>, scheme: Scheme) -> Self {
        let address = address.map(|address| address.to_canonical());
        let field = address.and_then(|address| HeaderValue::try_from(text_of(address)).ok());
        Self { address, scheme, field, last: Mutex::new(None) }
    }

    /// The next request is made for anew.
    pub(crate) fn forget(&self) {
        *self.last.lock() = None;
    }

    /// Has a request to this host come before?
    pub(super) fn knows(&self, host: &HeaderValue) -> bool {
        self.last.lock().as_ref().is_some_and(|last| last.0 == host)
    }

    /// The element of `Forwarded` for a request to this host.
    fn element(&self, host: &HeaderValue) -> HeaderValue {
        let mut last = self.last.lock();
        if let Some(last) = last.as_ref().filter(|last| last.0 == host) {
            return last.1.clone();
        }
        let element = self.forwarded(host);
        // A copy: a piece of what was read would keep all of that, as long as the connection lasts.
        let host = HeaderValue::from_bytes(host.as_bytes()).ok();
        *last = host.map(|host| Box::new((host, element.clone())));
        element
    }

    /// One element of `Forwarded` (RFC 7239).
    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let address = self.field.as_ref().and_then(|field| field.to_str().ok());
        let (open, address, close) = match self.address {
            Some(IpAddr::V6(_)) => ("\"[", address, "]\""),
            _ => ("", address, ""),
        };
        let address = address.unwrap_or("unknown");
        let mut text = ["for=", open, address, close, ";proto=", self.scheme.name()].concat();
        // Checked to be an authority, which holds no quotes.
        if let Ok(host) = host.to_str() {
            text.reserve_exact(host.len() + 8);
            text.extend([";host=\"", host, "\""]);
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
    }
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Was the request made over TLS, by what the backend is told? Of several proxies, the first one knows what the client
/// spoke; some tell tunnels apart.
pub(crate) fn is_over_tls(headers: &HeaderMap) -> bool {
    let told = headers.get(X_FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    let first = told.and_then(|told| told.split(',').next()).unwrap_or_default().trim();
    ["https", "wss"].iter().any(|scheme| first.eq_ignore_ascii_case(scheme))
}

/// An address as it is written. One comes with each connection, and the usual way, through a formatter,
/// takes some 1,600 instructions.
pub(crate) fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255:65535".len());
    for octet in address.octets() {
        text.push_str(itoa::Buffer::new().format(octet));
        text.push('.');
    }
    text.pop();
    text
}

/// Says for whom the request is forwarded. From peers that are not trusted, nothing is kept. A peer
/// without an address adds nothing to `X-Forwarded-For`: whoever reads that expects addresses.
pub(super) fn forward(headers: &mut HeaderMap, peer: Peer<'_>, host: HeaderValue) {
    let element = peer.fields.map(|fields| fields.element(&host));
    let address = peer.fields.and_then(|fields| fields.field.clone());
    let scheme = peer.fields.map_or(Scheme::Http, |fields| fields.scheme).name();
    if peer.trusted {
        if let Some(address) = address {
            append(headers, X_FORWARDED_FOR, address);
        }
        if let Some(element) = element {
            append(headers, FORWARDED, element);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
        headers.entry(X_FORWARDED_HOST).or_insert(host);
        return;
    }
    set(headers, X_FORWARDED_FOR, address);
    set(headers, FORWARDED, element);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(X_FORWARDED_HOST, host);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
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
