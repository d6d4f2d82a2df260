//! The commands of an operator, who asks a running seawall by its admin listener.

mod ask;
pub(crate) mod drain;
pub(crate) mod health;
pub(crate) mod top;

use std::{path::PathBuf, str::FromStr};

use clap::ValueHint;
use http::{HeaderValue, uri::Authority};

use crate::config::{self, AdminListen};

/// Whom to ask, where it is not the one of this configuration.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Whom {
    /// Its admin listener [default: that of the configuration].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    admin: Option<Url>,
    /// The configuration file that says where that is [default: as for seawall run].
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// Where an admin listener is, and what it wants to be shown.
#[derive(Debug, Clone)]
struct Place {
    authority: Authority,
    token: Option<HeaderValue>,
}

/// The configuration names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("admin.listen is \"off\", so there is nobody to ask")]
    Off,
    #[error(
        "admin.listen leaves the port to the system; its log says which it is: give it by --admin \
         http://127.0.0.1:PORT"
    )]
    PortUnknown,
}

impl Whom {
    /// Without the configuration?
    pub(crate) fn is_known(&self) -> bool {
        self.admin.is_some()
    }

    fn place(&self, config: Option<&config::Admin>, token: Option<&str>) -> Result<Place, NoPlace> {
        let authority = match (&self.admin, config) {
            (Some(Url(authority)), _) => authority.clone(),
            (None, Some(config)) => authority_of(&config.listen)?,
            (None, None) => return Err(NoPlace::Off),
        };
        let variable = || std::env::var("SEAWALL_ADMIN__TOKEN").ok();
        let configured = || config.map_or_else(variable, |config| config.token.clone());
        let token = token.map(str::to_owned).or_else(configured);
        // The configuration takes only what fits into a field; of the command line, what does not is no token.
        let token = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        Ok(Place { authority, token })
    }
}

fn authority_of(listen: &AdminListen) -> Result<Authority, NoPlace> {
    let mut address = match listen {
        AdminListen::Off => return Err(NoPlace::Off),
        AdminListen::Auto => AdminListen::USUAL,
        AdminListen::At(addresses) => *addresses.first().ok_or(NoPlace::Off)?,
    };
    if address.port() == 0 {
        return Err(NoPlace::PortUnknown);
    }
    if address.ip().is_unspecified() {
        // It listens everywhere, and so here.
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address.to_string().parse().map_err(|_| NoPlace::Off)
}

/// `http://host:port`; the scheme may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url(Authority);

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let authority = bare.trim_end_matches('/').parse::<Authority>().ok();
        let whole = authority.filter(|authority| authority.port_u16().is_some());
        whole.map(Self).ok_or("write it as http://127.0.0.1:9099")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_configuration() {
        let place = |text: &str| {
            let addresses = vec![text.parse().expect("an address")];
            authority_of(&AdminListen::At(addresses)).map(|authority| authority.to_string())
        };
        assert_eq!(place("127.0.0.1:1").as_deref(), Ok("127.0.0.1:1"));
        assert_eq!(place("0.0.0.0:2").as_deref(), Ok("127.0.0.1:2"));
        assert_eq!(place("[::]:3").as_deref(), Ok("[::1]:3"));
        assert_eq!(place("127.0.0.1:0"), Err(NoPlace::PortUnknown));
        assert_eq!(authority_of(&AdminListen::Off), Err(NoPlace::Off));
        assert_eq!(
            authority_of(&AdminListen::Auto).map(|at| at.to_string()),
            Ok("127.0.0.1:9099".into())
        );
    }

    #[test]
    fn a_place_may_be_written_with_a_scheme_and_without() {
        for text in ["http://host:9", "http://host:9/", "host:9"] {
            assert_eq!(text.parse(), Ok(Url(Authority::from_static("host:9"))));
        }
        for text in ["https://host:9", "host", "http://host:9/path", ""] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
