//! What the backend is told of those before us: `Via`, `Forwarded`, `X-Forwarded-*`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::{Peer, said::Said};
use crate::lock::Mutex;

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

/// A peer, and what is said of it for all requests of its connection.
#[derive(Debug)]
pub(crate) struct PeerFields {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) scheme: Scheme,
    /// Of the last `Host`: most connections have but one. A parked connection has none.
    last: Mutex<Option<Arc<Said>>>,
}

impl PeerFields {
    pub(crate) fn new(address: Option<SocketAddr>, scheme: Scheme) -> Self {
        Self { address, scheme, last: Mutex::new(None) }
    }

    fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// The next request is made for anew.
    pub(crate) fn forget(&self) {
        *self.last.lock() = None;
    }

    /// Has a request to this host come before, over this connection or another one?
    pub(super) fn knows(&self, host: &HeaderValue) -> bool {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|last| last.host == host) {
            return true;
        }
        let Some(said) = Said::recent(self.ip(), self.scheme, host) else { return false };
        *last = Some(said);
        true
    }

    /// A part of what is said in a request to this host.
    fn say<T>(&self, host: &HeaderValue, part: impl Fn(&Said) -> T) -> T {
        let mut last = self.last.lock();
        match &*last {
            Some(said) if said.host == host => part(said),
            _ => part(last.insert(Said::of(self.ip(), self.scheme, host))),
        }
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
pub(super) enum Told {
    /// In lines of a head, which cost nothing once they are there.
    Lines(Bytes),
    /// It is yet to be said, beside what others have.
    Host(HeaderValue),
}

/// Of peers that are not trusted, lines are all there is.
pub(super) fn told(peer: Peer<'_>, host: &HeaderValue) -> Told {
    match peer.fields.filter(|_| !peer.trusted) {
        Some(fields) => Told::Lines(fields.say(host, |said| said.text.clone())),
        None => Told::Host(host.clone()),
    }
}

/// Says for whom the request is forwarded, beside what is kept of others; of peers that are not trusted, nothing is.
/// A peer without an address adds nothing to `X-Forwarded-For`: whoever reads that expects addresses.
pub(super) fn forward(headers: &mut HeaderMap, peer: Peer<'_>, host: HeaderValue) {
    if !peer.trusted {
        forget_others(headers);
    }
    if let Some(fields) = peer.fields {
        let say = |said: &Said| (said.address.clone(), said.element.clone());
        let (address, element) = fields.say(&host, say);
        if let Some(address) = address {
            append(headers, X_FORWARDED_FOR, address);
        }
        append(headers, FORWARDED, element);
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
