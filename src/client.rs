//! Who is calling: the address to log, and the key for per-client bounds.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName};

use crate::{
    config::Trusted,
    headers::{PeerFields, Scheme, text_of},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection: a client, or a proxy before us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    /// None over a Unix socket, where nobody has one.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) scheme: Scheme,
}

/// What per-client bounds count by: an IPv4 address, or an IPv6 network of 64 bits, which is what
/// one subscriber has at least. All who have no address are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(Option<IpAddr>);

impl Hop {
    pub(crate) fn of(peer: &PeerFields) -> Self {
        Self { address: peer.address, scheme: peer.scheme }
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }

    /// Its address and port, as the log has them.
    pub(crate) fn name(&self) -> Arc<str> {
        match self.address {
            Some(SocketAddr::V4(address)) => {
                let mut name = text_of((*address.ip()).into());
                name.push(':');
                name.push_str(itoa::Buffer::new().format(address.port()));
                name.into()
            }
            Some(address) => address.to_string().into(),
            None => "unix".into(),
        }
    }
}

impl ClientKey {
    pub(crate) fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(long) => {
                let network = u128::from(long) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            short @ IpAddr::V4(_) => short,
        }))
    }
}

/// The client behind trusted proxies: the last address in `X-Forwarded-For` that is not itself a
/// trusted proxy. Without trusted proxies, the peer.
pub(crate) fn address(hop: &Hop, headers: &HeaderMap, trusted: &Trusted) -> Option<IpAddr> {
    let mut client = hop.ip();
    if !trusted.contains(client) {
        return client;
    }
    let hops = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    for hop in hops.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(',')) {
        // What cannot be read ends the trail: whoever wrote it is the client we know.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = Some(address);
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(address: Option<&str>, forwarded: &[&'static str]) -> Option<String> {
        let trusted =
            Trusted { networks: vec!["10.0.0.0/8".parse().expect("a network")], unix: true };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, http::HeaderValue::from_static(value));
        }
        let ip = |text: &str| text.parse().expect("an address");
        let address = address.map(|text| SocketAddr::new(ip(text), 1));
        super::address(&Hop { address, scheme: Scheme::Http }, &headers, &trusted)
            .map(|address| address.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let client = |peer, forwarded: &[&'static str]| {
            behind(Some(peer), forwarded).expect("has an address")
        };
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.9", "10.2.2.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn a_proxy_without_an_address_can_be_believed_too() {
        assert_eq!(behind(None, &["6.6.6.6, 203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(behind(None, &[]), None);
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_client() {
        let key = |text: &str| ClientKey::of(text.parse().ok());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(ClientKey::of(None), key("192.0.2.1"));
    }
}
