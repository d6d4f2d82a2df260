//! What names stand for. One whose addresses are of one family and several is several servers; an address
//! of each family is one server that can be reached in two ways.

use std::{io, net::SocketAddr};

use http::Uri;
use tokio::net::lookup_host;

use crate::config::Url;

/// The ways to one server, to be tried in this order.
pub(super) type Ways = Vec<SocketAddr>;

/// Where the host is an address, which stands for nothing else.
pub(super) fn address(url: &Url) -> Option<SocketAddr> {
    let Url::Tcp(http) = url else { return None };
    let address = http.host()?.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(address, port(http)))
}

/// Host and port, where the host is a name that stands for addresses.
pub(super) fn name(url: &Url) -> Option<(&str, u16)> {
    let Url::Tcp(http) = url else { return None };
    let host = http.host().filter(|_| address(url).is_none())?;
    Some((host, port(http)))
}

fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(80)
}

/// The servers that a name stands for now; never none.
pub(super) async fn look_up(name: (&str, u16)) -> io::Result<Vec<Ways>> {
    let servers = servers(lookup_host(name).await?.collect());
    match servers.is_empty() {
        true => Err(io::Error::other("it has no address")),
        false => Ok(servers),
    }
}

/// In the system's order, which knows best what can be reached. Both families of a name are most often
/// those of the same machines, so only one counts: the one with more addresses.
fn servers(addresses: Vec<SocketAddr>) -> Vec<Ways> {
    let mut families: [Vec<SocketAddr>; 2] = Default::default();
    let is_six_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    for address in addresses {
        let family = &mut families[usize::from(address.is_ipv6() != is_six_first)];
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let [first, other] = families;
    match (first.len(), other.len()) {
        (0, _) => Vec::new(),
        (1, 0 | 1) => vec![first.into_iter().chain(other).collect()],
        (one, two) => {
            let several = if two > one { other } else { first };
            several.into_iter().map(|address| vec![address]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &[&str]) -> Vec<Vec<String>> {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address"));
        let texts = |ways: Ways| ways.iter().map(SocketAddr::to_string).collect();
        servers(addresses.collect()).into_iter().map(texts).collect()
    }

    #[test]
    fn addresses_of_one_family_are_servers_and_of_two_are_ways_to_one() {
        let (four, six) = (["10.0.0.1:1", "10.0.0.2:1"], ["[fd00::1]:1", "[fd00::2]:1"]);
        assert_eq!(of(&[]).len(), 0);
        assert_eq!(of(&["[::1]:1", "127.0.0.1:1"]), [["[::1]:1", "127.0.0.1:1"]]);
        assert_eq!(of(&["127.0.0.1:1", "127.0.0.1:1"]), [["127.0.0.1:1"]]);
        assert_eq!(of(&four), [["10.0.0.1:1"], ["10.0.0.2:1"]]);
        let both = [six[1], four[0], six[0], four[1]];
        assert_eq!(of(&both), [["[fd00::2]:1"], ["[fd00::1]:1"]]);
        assert_eq!(of(&[six[0], four[0], four[1]]), [["10.0.0.1:1"], ["10.0.0.2:1"]]);
    }

    #[test]
    fn what_is_an_address_is_no_name() {
        let name_of = |text: &str| {
            let url = Url::Tcp(text.parse().expect("a URL"));
            name(&url).map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(name_of("http://app:81"), Some(("app".to_owned(), 81)));
        assert_eq!(name_of("http://app"), Some(("app".to_owned(), 80)));
        assert_eq!(name_of("http://127.0.0.1:81"), None);
        assert_eq!(name_of("http://[::1]:81"), None);
    }
}
