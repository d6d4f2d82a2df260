//! What the backend is told of those before us: `Via`, `Forwarded`, `X-Forwarded-*`.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use parking_lot::Mutex;

use super::Peer;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Fields that say who forwards. From peers that are not trusted, they are ours alone.
pub(crate) const FORWARDING: [HeaderName; 4] =
    [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO];

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
    /// Of the last `Host`: most connections have but one. Boxed: a parked connection has none.
    last: Mutex<Option<Box<Known>>>,
}

/// What is said of a peer in a request to one host.
#[derive(Debug)]
struct Known {
    host: HeaderValue,
    /// Of `Forwarded`.
    element: HeaderValue,
    /// All four fields, as they are written.
    text: Bytes,
}

impl PeerFields {
    pub(crate) fn new(address: Option<IpAddr>, scheme: Scheme) -> Self {
        let address = address.map(|address| address.to_canonical());
        let field = address.and_then(|address| HeaderValue::try_from(text_of(address)).ok());
        Self { address, scheme, field, last: Mutex::new(None) }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The next request is made for anew.
    pub(crate) fn forget(&self) {
        *self.last.lock() = None;
    }

    /// Has a request to this host come before?
    pub(super) fn knows(&self, host: &HeaderValue) -> bool {
        self.last.lock().as_ref().is_some_and(|last| last.host == host)
    }

    /// A part of what is said in a request to this host.
    fn say<T>(&self, host: &HeaderValue, part: impl Fn(&Known) -> T) -> T {
        let mut last = self.last.lock();
        match &*last {
            Some(known) if known.host == host => part(known),
            _ => part(last.insert(Box::new(self.know(host)))),
        }
    }

    fn know(&self, host: &HeaderValue) -> Known {
        // A copy: a piece of what was read would keep all of that, as long as the connection lasts.
        let host = HeaderValue::from_bytes(host.as_bytes()).unwrap_or_else(|_| host.clone());
        let element = self.forwarded(&host);
        let (before, address, behind): (&[u8], &[u8], &[u8]) = match &self.field {
            Some(field) => (b"x-forwarded-for: ", field.as_bytes(), b"\r\n"),
            None => (b"", b"", b""),
        };
        let text = [
            before,
            address,
            behind,
            b"forwarded: ",
            element.as_bytes(),
            b"\r\nx-forwarded-proto: ",
            self.scheme.name().as_bytes(),
            b"\r\nx-forwarded-host: ",
            host.as_bytes(),
            b"\r\n",
        ]
        .concat();
        Known { text: text.into(), host, element }
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
pub(crate) fn is_over_tls(headers: &HeaderMap, peer: Peer<'_>) -> bool {
    let Some(told) = headers.get(X_FORWARDED_PROTO) else { return peer.scheme() == Scheme::Https };
    let told = told.to_str().ok();
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

/// What is said of for whom a request to one host is forwarded.
pub(super) enum Said {
    /// In lines of a head, which cost nothing once they are there.
    Lines(Bytes),
    /// It is yet to be said, beside what others have.
    Host(HeaderValue),
}

/// Of peers that are not trusted, lines are all there is.
pub(super) fn said(peer: Peer<'_>, host: &HeaderValue) -> Said {
    match peer.fields.filter(|_| !peer.trusted) {
        Some(fields) => Said::Lines(fields.say(host, |known| known.text.clone())),
        None => Said::Host(host.clone()),
    }
}

/// Says for whom the request is forwarded, beside what is kept of others; of peers that are not trusted, nothing is.
/// A peer without an address adds nothing to `X-Forwarded-For`: whoever reads that expects addresses.
pub(super) fn forward(headers: &mut HeaderMap, peer: Peer<'_>, host: HeaderValue) {
    if !peer.trusted {
        forget_others(headers);
    }
    if let Some(fields) = peer.fields {
        if let Some(address) = fields.field.clone() {
            append(headers, X_FORWARDED_FOR, address);
        }
        append(headers, FORWARDED, fields.say(&host, |known| known.element.clone()));
    }
    let scheme = HeaderValue::from_static(peer.scheme().name());
    headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
    headers.entry(X_FORWARDED_HOST).or_insert(host);
}

/// What others say is not believed.
pub(super) fn forget_others(headers: &mut HeaderMap) {
    for name in FORWARDING {
        headers.remove(name);
    }
}

/// Is it one of those by which is said for whom a request is forwarded?
pub(super) fn is_of_forwarding(name: &HeaderName) -> bool {
    *name == FORWARDED || name.as_str().starts_with("x-forwarded-")
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
