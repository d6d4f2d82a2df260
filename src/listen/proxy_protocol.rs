//! The PROXY protocol, versions 1 and 2: a proxy of TCP tells whose connection it passes on.
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// A header, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its bytes, all that it says besides included.
    pub len: usize,
    /// Whose connection it is.
    pub source: Source,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The proxy's own (`LOCAL`: it asks how we are), or nobody knows (`UNKNOWN`).
    Peer,
    /// A client's with an address.
    Address(SocketAddr),
    /// A client's at a Unix socket.
    Unix,
}

/// What is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin like one.
    #[error("there is none; does the proxy before us send it?")]
    Missing,
    /// Nothing of this length is expected.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// It begins like one.
    #[error("it is malformed")]
    Broken,
}

/// Reads the header at the beginning of `bytes`; `None` where more of it must come first.
///
/// # Errors
/// Where no header will come of it, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if starts_alike(bytes, v2::PROTOCOL_PREFIX) {
        return binary(bytes);
    }
    if starts_alike(bytes, TEXT) {
        return text(bytes);
    }
    Err(Malformed::Missing)
}

/// Version 2. Other things that it says are skipped.
fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(length) = bytes.get(14..16) else { return Ok(None) };
    let len = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if len > LONGEST {
        return Err(Malformed::TooLong);
    }
    let Some(whole) = bytes.get(..len) else { return Ok(None) };
    // Whatever else a LOCAL one holds is to be ignored (section 2.2).
    if whole[12] == 0x20 {
        return Ok(Some(Header { len, source: Source::Peer }));
    }
    let header = v2::Header::try_from(whole).map_err(|_| Malformed::Broken)?;
    let source = match header.addresses {
        v2::Addresses::Unspecified => Source::Peer,
        v2::Addresses::IPv4(pair) => address(pair.source_address.into(), pair.source_port),
        v2::Addresses::IPv6(pair) => address(pair.source_address.into(), pair.source_port),
        v2::Addresses::Unix(_) => Source::Unix,
    };
    Ok(Some(Header { len, source }))
}

/// Version 1: a line.
fn text(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE { Ok(None) } else { Err(Malformed::Broken) };
    };
    let len = end + 1;
    // Anything else would make the crate panic behind a lone CR, where it cuts by bytes.
    let line = str::from_utf8(&bytes[..len]).ok().filter(|line| line.is_ascii());
    let line = line.ok_or(Malformed::Broken)?;
    let header = v1::Header::try_from(line).map_err(|_| Malformed::Broken)?;
    if header.header.len() != len {
        return Err(Malformed::Broken);
    }
    let source = match header.addresses {
        v1::Addresses::Unknown => Source::Peer,
        v1::Addresses::Tcp4(pair) => address(pair.source_address.into(), pair.source_port),
        v1::Addresses::Tcp6(pair) => address(pair.source_address.into(), pair.source_port),
    };
    Ok(Some(Header { len, source }))
}

fn address(ip: IpAddr, port: u16) -> Source {
    Source::Address(SocketAddr::new(ip.to_canonical(), port))
}

/// As far as both go.
fn starts_alike(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(one, other)| one == other)
}

const TEXT: &[u8] = b"PROXY ";
/// Of version 1, its end included (section 2.1).
const LONGEST_LINE: usize = 107;
/// Of version 2: addresses take 216 bytes at most, and proxies add a few names and certificates.
pub(super) const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Source {
        let header = parse(bytes).expect("a header").expect("a whole one");
        // More of it must come, as long as it is not whole; what follows is not its own.
        for end in 0..header.len {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(parse(&[bytes, b"GET / HTTP/1.1\r\n\r\n"].concat()), Ok(Some(header)));
        assert_eq!(parse(&[bytes, &[22, 3, 1, 255]].concat()), Ok(Some(header)));
        assert_eq!(header.len, bytes.len());
        header.source
    }

    fn at(text: &str) -> Source {
        Source::Address(text.parse().expect("an address"))
    }

    fn second(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    #[test]
    fn the_first_version_is_a_line() {
        let four = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";
        assert_eq!(source(four), at("203.0.113.7:5000"));
        let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n";
        assert_eq!(source(six), at("[2001:db8::7]:5000"));
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), Source::Peer);
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), Source::Peer);
    }

    #[test]
    fn the_second_version_is_binary_and_other_things_in_it_are_skipped() {
        let four = [203, 0, 113, 7, 192, 0, 2, 1, 19, 136, 1, 187];
        assert_eq!(source(&second(0x21, 0x11, &four)), at("203.0.113.7:5000"));
        let more = [&four[..], &[4, 0, 3, 1, 2, 3]].concat();
        assert_eq!(source(&second(0x21, 0x11, &more)), at("203.0.113.7:5000"));
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 7;
        assert_eq!(source(&second(0x21, 0x21, &six)), at("[2001:db8::7]:0"));
        assert_eq!(source(&second(0x21, 0x31, &[0; 216])), Source::Unix);
        assert_eq!(source(&second(0x21, 0x00, &[])), Source::Peer);
        assert_eq!(source(&second(0x20, 0x00, &[])), Source::Peer);
        assert_eq!(source(&second(0x20, 0x11, &[1])), Source::Peer);
    }

    #[test]
    fn what_is_no_ascii_is_no_line() {
        let odd = b"PROXY UNKNOWN f5\r\xf3\x97\x9a\x93lo\r\n";
        assert!(matches!(parse(odd), Err(Malformed::Broken)));
    }

    #[test]
    fn what_is_none_is_known_as_soon_as_it_can_be() {
        for (bytes, why) in [
            (&b"GET / HTTP/1.1\r\n"[..], Malformed::Missing),
            (b"X", Malformed::Missing),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 5000\r\n", Malformed::Broken),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\n", Malformed::Broken),
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 65536\r\n", Malformed::Broken),
            (b"PROXY TCP4 2001:db8::7 192.0.2.1 5000 443\r\n", Malformed::Broken),
            (b"PROXY SCTP 203.0.113.7 192.0.2.1 5000 443\r\n", Malformed::Broken),
            (b"PROXY UNKNOWN\rX\r\n", Malformed::Broken),
            (&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat(), Malformed::Broken),
            (&second(0x31, 0x11, &[0; 12]), Malformed::Broken),
            (&second(0x22, 0x11, &[0; 12]), Malformed::Broken),
            (&second(0x21, 0x11, &[0; 11]), Malformed::Broken),
            (&second(0x21, 0x41, &[0; 12]), Malformed::Broken),
            (&second(0x21, 0x11, &[0; LONGEST]), Malformed::TooLong),
        ] {
            assert_eq!(parse(bytes), Err(why), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
