//! What is said of a peer in its requests to one host: made once, for all of its connections that come
//! one after the other.

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use super::forwarding::{Scheme, text_of};

#[derive(Debug)]
pub(super) struct Said {
    peer: Option<IpAddr>,
    scheme: Scheme,
    pub(super) host: HeaderValue,
    /// The peer's address.
    pub(super) address: Option<HeaderValue>,
    /// Of `Forwarded`.
    pub(super) element: HeaderValue,
    /// All four fields, as they are written.
    pub(super) text: Bytes,
}

/// So many are remembered at each worker: those who open a connection for each request are few at a time.
const RECENT: usize = 64;
/// Longer names are hardly any, and would take up memory.
const LONGEST: usize = 256;

thread_local! {
    static RECENTLY: RefCell<[Option<Arc<Said>>; RECENT]> = const { RefCell::new([const { None }; RECENT]) };
}

impl Said {
    pub(super) fn of(peer: Option<IpAddr>, scheme: Scheme, host: &HeaderValue) -> Arc<Self> {
        if let Some(said) = Self::recent(peer, scheme, host) {
            return said;
        }
        let said = Arc::new(Self::new(peer, scheme, host));
        if host.len() <= LONGEST {
            RECENTLY.with_borrow_mut(|recent| recent[place(peer, host)] = Some(said.clone()));
        }
        said
    }

    /// Where it has been said before, and not long ago.
    pub(super) fn recent(
        peer: Option<IpAddr>,
        scheme: Scheme,
        host: &HeaderValue,
    ) -> Option<Arc<Self>> {
        RECENTLY.with_borrow(|recent| {
            let said = recent[place(peer, host)].as_ref()?;
            let is_same = said.peer == peer && said.scheme == scheme && said.host == host;
            is_same.then(|| said.clone())
        })
    }

    fn new(peer: Option<IpAddr>, scheme: Scheme, host: &HeaderValue) -> Self {
        // A copy: a piece of what was read would keep all of that, as long as this lasts.
        let host = HeaderValue::from_bytes(host.as_bytes()).unwrap_or_else(|_| host.clone());
        let address = peer.and_then(|address| HeaderValue::try_from(text_of(address)).ok());
        let element = element(peer, address.as_ref(), scheme, &host);
        let (before, of, behind): (&[u8], &[u8], &[u8]) = match &address {
            Some(address) => (b"x-forwarded-for: ", address.as_bytes(), b"\r\n"),
            None => (b"", b"", b""),
        };
        let text = [
            before,
            of,
            behind,
            b"forwarded: ",
            element.as_bytes(),
            b"\r\nx-forwarded-proto: ",
            scheme.name().as_bytes(),
            b"\r\nx-forwarded-host: ",
            host.as_bytes(),
            b"\r\n",
        ]
        .concat();
        Self { peer, scheme, text: text.into(), host, address, element }
    }
}

/// One element of `Forwarded` (RFC 7239).
fn element(
    peer: Option<IpAddr>,
    address: Option<&HeaderValue>,
    scheme: Scheme,
    host: &HeaderValue,
) -> HeaderValue {
    let address = address.and_then(|address| address.to_str().ok());
    let (open, address, close) = match peer {
        Some(IpAddr::V6(_)) => ("\"[", address, "]\""),
        _ => ("", address, ""),
    };
    let address = address.unwrap_or("unknown");
    // Checked to be an authority, which holds no quotes.
    let (before, host, behind) = match host.to_str() {
        Ok(host) => (";host=\"", host, "\""),
        Err(_) => ("", "", ""),
    };
    let text =
        ["for=", open, address, close, ";proto=", scheme.name(), before, host, behind].concat();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

/// Where it is remembered, if at all.
fn place(peer: Option<IpAddr>, host: &HeaderValue) -> usize {
    let address = match peer {
        Some(IpAddr::V4(address)) => address.to_bits(),
        Some(IpAddr::V6(address)) => {
            address.segments().iter().fold(0, |sum, part| mixed(sum, u32::from(*part)))
        }
        None => 0,
    };
    let host = host.as_bytes();
    // Its beginning and its length tell most hosts apart.
    let name = host.iter().take(8).fold(host.len(), |sum, byte| sum * 31 + usize::from(*byte));
    (mixed(0, address) as usize ^ name) % RECENT
}

fn mixed(sum: u32, part: u32) -> u32 {
    let sum = (sum ^ part).wrapping_mul(0x9e37_79b1);
    sum ^ sum >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(peer: &str, scheme: Scheme, host: &'static str) -> Arc<Said> {
        Said::of(peer.parse().ok(), scheme, &HeaderValue::from_static(host))
    }

    #[test]
    fn what_was_said_of_a_peer_is_said_of_nobody_else() {
        let mine = said("192.0.2.1", Scheme::Http, "site");
        assert!(Arc::ptr_eq(&mine, &said("192.0.2.1", Scheme::Http, "site")));
        for number in 2..200 {
            let peer = format!("192.0.2.{number}");
            let other = said(&peer, Scheme::Http, "site");
            assert_eq!(other.address.as_ref().expect("has one"), peer.as_str());
        }
        assert_eq!(said("192.0.2.1", Scheme::Https, "site").scheme, Scheme::Https);
        assert_eq!(said("192.0.2.1", Scheme::Http, "sitf").host, "sitf");
        assert_eq!(
            said("nobody", Scheme::Http, "site").element,
            "for=unknown;proto=http;host=\"site\""
        );
        let long = said("2001:db8::1", Scheme::Http, "site").element.clone();
        assert_eq!(long, "for=\"[2001:db8::1]\";proto=http;host=\"site\"");
    }

    #[test]
    fn a_long_name_is_not_remembered() {
        let host = HeaderValue::try_from("x".repeat(LONGEST + 1)).expect("a value");
        let said = || Said::of(None, Scheme::Http, &host);
        assert!(!Arc::ptr_eq(&said(), &said()));
    }
}
