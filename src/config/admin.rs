//! `[admin]`: where seawall shows itself, and to whom.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::listen::tcp;

/// Where seawall shows itself, and to whom.
#[derive(Debug, Clone, Deserialize)]
pub struct Admin {
    /// The place.
    pub listen: AdminListen,
    /// What must be shown to see anything but health; `None`: whoever can connect sees it all.
    #[serde(deserialize_with = "token")]
    pub token: Option<String>,
}

/// Where the admin pages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListen {
    /// Nowhere.
    Off,
    /// At [`AdminListen::USUAL`], or at a port that the system chooses where that is taken.
    Auto,
    /// Just there; never empty.
    At(Vec<SocketAddr>),
}

impl AdminListen {
    /// Where it is looked for.
    pub const USUAL: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9099);

    /// Can anybody but this machine connect?
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Off | Self::Auto => false,
            Self::At(addresses) => addresses.iter().any(|at| !at.ip().to_canonical().is_loopback()),
        }
    }
}

impl<'de> Deserialize<'de> for AdminListen {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        match text.as_str() {
            "off" => return Ok(Self::Off),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        match tcp(&text) {
            Some(addresses) => Ok(Self::At(addresses)),
            None => Err(D::Error::custom(format_args!(
                "\"{text}\" is no place for the admin pages; write \"auto\", \"off\" or an address such as \
                 \"127.0.0.1:9099\""
            ))),
        }
    }
}

/// Empty is none. What is wrong is said without it.
fn token<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let Ok(text) = String::deserialize(input) else {
        return Err(D::Error::custom("a token is text; put it in quotation marks"));
    };
    if text.chars().any(|char| !char.is_ascii_graphic()) {
        return Err(D::Error::custom(
            "a token is of visible ASCII characters, without spaces, so that it fits into a header field",
        ));
    }
    Ok((!text.is_empty()).then_some(text))
}
