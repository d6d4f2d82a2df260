//! Values in the words of the TOML: durations, sizes, limits that can be off, policies.

use std::{fmt, net::IpAddr, time::Duration};

use http::Uri;
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::RedisUrl;

/// A bound that may be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// No bound.
    Off,
    /// Bound at this value.
    At(T),
}

/// What becomes of an exchange whose client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It goes on to its end.
    Finish,
    /// It is cut at once.
    Cancel,
    /// It may go on for this long.
    FinishFor(Duration),
}

/// How many threads serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per processor.
    Auto,
    /// Just so many; at least one.
    Count(usize),
}

/// Peers that are believed: networks such as `"10.0.0.0/8"`, and `"unix"` for whoever may connect
/// to a Unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// By address.
    pub networks: Vec<IpNet>,
    /// Those who have none.
    pub unix: bool,
}

impl Trusted {
    /// Is the peer with this address one of them?
    #[must_use]
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer.map(|peer| peer.to_canonical()) {
            Some(peer) => self.networks.iter().any(|network| network.contains(&peer)),
            None => self.unix,
        }
    }
}

impl OnDisconnect {
    /// Reads the form of the response header: `finish`, `cancel`, `finish_for=30s`.
    pub(crate) fn from_header(text: &str) -> Option<Self> {
        match text.trim() {
            "finish" => Some(Self::Finish),
            "cancel" => Some(Self::Cancel),
            other => {
                let wait = other.strip_prefix("finish_for=")?;
                read_duration(wait).map(Self::FinishFor)
            }
        }
    }
}

/// `"30s"`, `"1h 30m"`, `"500ms"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    struct Reader;
    impl Visitor<'_> for Reader {
        type Value = Duration;
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a duration such as \"30s\", \"500ms\" or \"10m\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            read_duration(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
    input.deserialize_any(Reader)
}

/// Not beyond [`LONGEST`].
fn read_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST)
}

/// `"256KiB"`, `"1 GB"`, or a plain number of bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    struct Reader;
    impl Visitor<'_> for Reader {
        type Value = u64;
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a size such as \"256KiB\", \"1GiB\" or a number of bytes")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse::<bytesize::ByteSize>()
                .map(|size| size.as_u64())
                .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }
        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
        }
    }
    input.deserialize_any(Reader)
}

/// A number of things that may be there at once; none at all would be no service.
pub(super) fn count<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    match i64::deserialize(input)? {
        // The semaphore behind slots counts no further.
        count @ 1..=1_000_000 => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        other => Err(de::Error::custom(format_args!(
            "{other} is out of range; write a number from 1 to 1000000"
        ))),
    }
}

/// The same, for what goes into a map of fields, which holds no more than twice as many.
pub(super) fn field_count<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    match count(input)? {
        count @ ..=16_384 => Ok(count),
        other => Err(de::Error::custom(format_args!(
            "{other} is out of range; write a number from 1 to 16384"
        ))),
    }
}

/// The same, where it is kept in fewer bits.
pub(super) fn small_count<'de, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    count(input).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// A path of the backend's that we ask for ourselves; empty for none.
pub(super) fn own_path<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let is_path = text.parse::<Uri>().is_ok_and(|uri| uri.path() == text);
    if text.is_empty() || (text.starts_with('/') && is_path) {
        return Ok(text);
    }
    Err(de::Error::custom(format_args!(
        "\"{text}\" is no path; write one such as \"/healthz\", without a query"
    )))
}

/// A flow-control window of HTTP/2 (RFC 9113, section 6.9.1); all begin with 65535 bytes.
pub(super) fn window<'de, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    match size(input)? {
        bytes @ 0xffff..=0x7fff_ffff => Ok(u32::try_from(bytes).unwrap_or(u32::MAX)),
        other => Err(de::Error::custom(format_args!(
            "{other} bytes is out of range; write a size from 65535 to 2147483647 bytes"
        ))),
    }
}

/// The URL of a Redis; empty for none.
pub(super) fn redis<'de, D: Deserializer<'de>>(input: D) -> Result<Option<RedisUrl>, D::Error> {
    match String::deserialize(input)? {
        url if url.is_empty() => Ok(None),
        url => RedisUrl::read(&url).map(Some).map_err(de::Error::custom),
    }
}

/// A size that may be left out.
pub(super) fn optional_size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    size(input).map(Some)
}

impl<'de> Deserialize<'de> for Limit<Duration> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Limit<Duration>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a duration such as \"30s\", or \"off\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "off" {
                    return Ok(Limit::Off);
                }
                read_duration(text)
                    .map(Limit::At)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        input.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for OnDisconnect {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OnDisconnect;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("\"finish\", \"cancel\" or { finish_for = \"30s\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "finish" => Ok(OnDisconnect::Finish),
                    "cancel" => Ok(OnDisconnect::Cancel),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Table {
                    #[serde(deserialize_with = "duration")]
                    finish_for: Duration,
                }
                Table::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|table| OnDisconnect::FinishFor(table.finish_for))
            }
        }
        input.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Trusted {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut trusted = Self::default();
        for Peer(network) in Vec::deserialize(input)? {
            match network {
                Some(network) => trusted.networks.push(network),
                None => trusted.unix = true,
            }
        }
        Ok(trusted)
    }
}

/// None for those of a Unix socket.
struct Peer(Option<IpNet>);

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        match text.as_str() {
            "unix" => Ok(Self(None)),
            network => network
                .parse()
                .ok()
                .or_else(|| Some(network.parse::<IpAddr>().ok()?.into()))
                .map(|network| Self(Some(network)))
                .ok_or_else(|| {
                    de::Error::custom(format_args!(
                        "\"{network}\" is no network; write one such as \"10.0.0.0/8\", or \"unix\""
                    ))
                }),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Workers;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("\"auto\" or a number of threads from 1 to 256")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(Workers::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Self::Value, E> {
                match usize::try_from(count) {
                    Ok(count @ 1..=256) => Ok(Workers::Count(count)),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(count), &self)),
                }
            }
        }
        input.deserialize_any(Reader)
    }
}

/// A hundred years of 365 days: added to the clock, far longer ones overflow, and that panics.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_header_says_what_the_route_can_say() {
        assert_eq!(OnDisconnect::from_header("finish"), Some(OnDisconnect::Finish));
        assert_eq!(OnDisconnect::from_header(" cancel "), Some(OnDisconnect::Cancel));
        assert_eq!(
            OnDisconnect::from_header("finish_for=1500ms"),
            Some(OnDisconnect::FinishFor(Duration::from_millis(1500)))
        );
        assert_eq!(OnDisconnect::from_header("finish_for=soon"), None);
        assert_eq!(OnDisconnect::from_header("finish_for=200000000000000d"), None);
        assert_eq!(OnDisconnect::from_header("stop"), None);
    }

    #[test]
    fn a_duration_that_no_clock_can_hold_is_none() {
        assert_eq!(read_duration("36500d"), Some(LONGEST));
        assert_eq!(read_duration("36501d"), None);
        assert_eq!(read_duration("200000000000000d"), None);
    }
}
