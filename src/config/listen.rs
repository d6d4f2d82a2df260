//! `[[listen]]`: where clients connect, and `backend.url`: where their requests go.

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use http::Uri;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    tls::{BadKeys, ClientAuth, Tls, client_verifier},
    values::Trusted,
};

/// Where clients connect, and what is asked of them there.
#[derive(Debug, Clone, Deserialize)]
pub struct Listen {
    /// The place.
    pub address: Address,
    /// Permissions of a Unix socket.
    pub mode: Mode,
    /// What encrypts connections.
    pub tls: Tls,
    /// Who vouches for the certificates of clients.
    #[serde(deserialize_with = "optional_path")]
    pub client_ca: Option<PathBuf>,
    /// Must they have one?
    pub client_auth: ClientAuth,
    /// Each connection begins with a header that says whose it is.
    pub proxy_protocol: bool,
    /// Who may say so.
    pub proxy_protocol_from: Trusted,
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// All that a name stands for; never empty, port 0 is one chosen by the system.
    Tcp(Vec<SocketAddr>),
    /// A socket file.
    Unix(PathBuf),
    /// Sockets of this name that systemd has opened.
    Systemd(String),
}

/// Permissions of a file, as `chmod` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// A server that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Url {
    /// Scheme and authority; the scheme is `http`.
    Tcp(Uri),
    /// A socket file.
    Unix(PathBuf),
}

impl Listen {
    /// What is wrong with the files, each with the key that names it.
    pub(super) fn mistakes(&self) -> Vec<(Vec<String>, BadKeys)> {
        let mut found = Vec::new();
        if let Tls::Files(pairs) = &self.tls {
            for (index, files) in pairs.iter().enumerate() {
                if let Err(bad) = files.read() {
                    let key = bad.key(files);
                    // One alone is most likely no list.
                    let place = (pairs.len() > 1).then(|| index.to_string());
                    let path = ["tls".into()].into_iter().chain(place).chain([key.into()]);
                    found.push((path.collect(), bad));
                }
            }
        }
        if self.client_ca.is_some() && self.tls == Tls::Off {
            found.push((vec!["client_ca".into()], BadKeys::NotEncrypted));
        }
        let verifier = self.client_ca.as_deref().map(|ca| client_verifier(ca, self.client_auth));
        if let Some(Err(bad)) = verifier {
            found.push((vec!["client_ca".into()], bad));
        }
        found
    }
}

impl Url {
    /// For requests that name no host.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp(url) => url.authority().map_or("", http::uri::Authority::as_str),
            Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(url) => url.fmt(to),
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addresses) => {
                for (index, address) in addresses.iter().enumerate() {
                    write!(to, "{}{address}", if index > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Self::Unix(path) => write!(to, "unix:{}", path.display()),
            Self::Systemd(name) => write!(to, "systemd:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix).map_err(D::Error::custom);
        }
        if let Some(name) = text.strip_prefix("systemd:").filter(|name| !name.is_empty()) {
            return Ok(Self::Systemd(name.to_owned()));
        }
        match tcp(&text) {
            Some(addresses) => Ok(Self::Tcp(addresses)),
            None => Err(D::Error::custom(format_args!(
                "\"{text}\" is no address to listen on; write \"host:port\" such as \"127.0.0.1:8080\", \
                 \"unix:/path\", or \"systemd:name\""
            ))),
        }
    }
}

/// All that a host and port stand for.
pub(super) fn tcp(text: &str) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = text.parse() {
        return Some(vec![address]);
    }
    let addresses: Vec<_> = text.to_socket_addrs().ok()?.collect();
    (!addresses.is_empty()).then_some(addresses)
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            D::Error::custom(format_args!(
                "\"{text}\" are no permissions; write them as chmod has them, such as \"0660\""
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let advice = "write \"http://host:port\" such as \"http://127.0.0.1:5000\"";
        if let Some(coded) = text.strip_prefix("http+unix://") {
            let path = decoded(coded).ok_or_else(|| {
                D::Error::custom(format_args!(
                    "\"{text}\" holds a % without two hexadecimal digits behind it; write %25 for %"
                ))
            })?;
            return socket_path(&path).map(Self::Unix).map_err(D::Error::custom);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix).map_err(D::Error::custom);
        }
        let url: Uri = text
            .parse()
            .map_err(|_| D::Error::custom(format_args!("\"{text}\" is no URL; {advice}")))?;
        if url.scheme_str() != Some("http") || url.authority().is_none() {
            return Err(D::Error::custom(format_args!(
                "\"{text}\" cannot be dialled; {advice}, or \"unix:/path\""
            )));
        }
        let host = url.host().unwrap_or_default();
        if let Some(inner) = host.strip_prefix('[')
            && inner.trim_end_matches(']').parse::<Ipv6Addr>().is_err()
        {
            return Err(D::Error::custom(format_args!(
                "{host} of \"{text}\" is no IPv6 address, and only that has brackets: \"http://[::1]:5000\". One with a zone \
                 cannot be dialled"
            )));
        }
        if url.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(D::Error::custom(format_args!(
                "\"{text}\" has a path, and paths are passed on as they come; {advice}"
            )));
        }
        Ok(Self::Tcp(url))
    }
}

/// Empty for none.
fn optional_path<'de, D: Deserializer<'de>>(input: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(Some(PathBuf::deserialize(input)?).filter(|path| !path.as_os_str().is_empty()))
}

/// What the kernel can take for the name of a socket.
fn socket_path(path: impl AsRef<Path>) -> Result<PathBuf, String> {
    let path = path.as_ref();
    // It would say no more than "invalid argument".
    match path.as_os_str().len() {
        0 => Err("names no file; write \"unix:/path\"".to_owned()),
        1..=LONGEST => Ok(path.to_owned()),
        length => Err(format!(
            "{} is {length} bytes long, and the path of a socket has at most {LONGEST}; choose a shorter one",
            path.display()
        )),
    }
}

/// Percent-decoded (RFC 3986, section 2.1).
fn decoded(coded: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(coded.len());
    let mut rest = coded.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match byte {
            b'%' => bytes.push(u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?),
            byte => bytes.push(byte),
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// `sun_path` has 108 bytes, the last of them zero.
const LONGEST: usize = 107;

#[cfg(test)]
mod tests {
    use serde::de::{
        IntoDeserializer,
        value::{Error, StrDeserializer},
    };

    use super::*;

    fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
        let input: StrDeserializer<'de, Error> = text.into_deserializer();
        T::deserialize(input).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_stands_for_all_of_its_addresses() {
        let Ok(Address::Tcp(addresses)) = read("localhost:81") else { panic!("no addresses") };
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 81));
        assert_eq!(
            read("[::1]:80"),
            Ok(Address::Tcp(vec!["[::1]:80".parse().expect("an address")]))
        );
        assert_eq!(read("unix:/run/a b"), Ok(Address::Unix("/run/a b".into())));
        assert!(read::<Address>("unix:").is_err());
    }

    #[test]
    fn the_path_of_a_socket_can_be_percent_encoded() {
        for (text, path) in [
            ("unix:/run/app.sock", "/run/app.sock"),
            ("http+unix:///run/app.sock", "/run/app.sock"),
            ("http+unix://%2Frun%2fa%20b", "/run/a b"),
            ("unix:100%25", "100%25"),
        ] {
            assert_eq!(read::<Url>(text), Ok(Url::Unix(path.into())), "{text}");
        }
        let broken = read::<Url>("http+unix://%2");
        assert!(broken.is_err_and(|said| said.contains("%25")));
        let long = format!("unix:/{}", "x".repeat(LONGEST));
        assert!(read::<Url>(&long).is_err_and(|said| said.contains("107")));
    }

    #[test]
    fn brackets_hold_an_address() {
        assert!(matches!(read("http://[::1]:5000"), Ok(Url::Tcp(_))));
        for text in ["http://[fe80::1%25eth0]:80", "http://[127.0.0.1]:80", "http://[::1::]:80"] {
            let said = read::<Url>(text).expect_err(text);
            assert!(said.contains("no IPv6 address"), "{said}");
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(read("0660"), Ok(Mode(0o660)));
        assert_eq!(read("600"), Ok(Mode(0o600)));
        assert!(read::<Mode>("0888").is_err());
        assert!(read::<Mode>("1777").is_err());
    }
}
