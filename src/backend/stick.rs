//! Clients that are to come to the same server again (`backend.sticky`), as long as that is there.
//!
//! By cookie: one of ours, which the backend never sees. It names the server by a few bits of a hash: the
//! same after a restart and at each seawall, while they leave open which address it is. By client: each
//! server bids for each client, and the highest bid has it, so that few move when the servers change.
//! Whoever comes back waits in the queue for that server, where it is busy.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, header::COOKIE};

use super::{
    Backend,
    server::{Seats, Slot},
};
use crate::{
    client::ClientKey,
    config::Sticky,
    headers::{Digest, Peer, is_over_tls},
};

/// Where a request is to go.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// None where any server will do.
    pub(super) at: Option<Arc<Seats>>,
    /// What the cookie is called that says so.
    cookie: Option<Arc<str>>,
    /// The client is to show it over TLS alone, as it came.
    is_over_tls: bool,
}

impl Backend {
    /// To which server the request is to go, where that is asked for. Its head says by now what the backend is told.
    pub(crate) fn stick(
        &self,
        headers: &mut HeaderMap,
        client: ClientKey,
        peer: Peer<'_>,
    ) -> Option<Box<Stuck>> {
        let cookie = match (self.config.sticky, &self.cookie) {
            (Sticky::Off, _) => return None,
            (_, cookie) => cookie.clone(),
        };
        let named = cookie.as_ref().and_then(|name| take(headers, name));
        let servers = self.lasting.slots.servers();
        if servers.len() == 1 {
            return None;
        }
        let mut there = servers.into_iter().filter(|one| !one.is_out());
        let at = match cookie {
            Some(_) => there.find(|one| Some(mark(one)) == named),
            None => there.max_by_key(|one| {
                let mut bid = DefaultHasher::new();
                (one.server.place().mark, client).hash(&mut bid);
                bid.finish()
            }),
        };
        let is_over_tls = cookie.is_some() && is_over_tls(headers, peer);
        Some(Box::new(Stuck { at, cookie, is_over_tls }))
    }
}

impl Stuck {
    /// What is not the same for requests to different servers.
    pub(crate) fn number(&self) -> Option<u64> {
        Some(self.at.as_ref()?.server.place().number)
    }

    /// For the client, where it is to come to this server from now on.
    pub(super) fn cookie(&self, slot: &Slot) -> Option<Box<HeaderValue>> {
        let name = self.cookie.as_ref()?;
        if self.at.as_ref().is_some_and(|at| Arc::ptr_eq(at, slot.seats())) {
            return None;
        }
        let mark = mark(slot.seats());
        let secure = if self.is_over_tls { "; Secure" } else { "" };
        let text = format!("{name}={mark:04x}; Path=/; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(text).ok().map(Box::new)
    }
}

/// Backends share a client's cookies: each has one of its own.
pub(super) fn cookie_name(backend: &str) -> Arc<str> {
    format!("{PREFIX}{:08x}", digest(&[backend]) >> 32).into()
}

/// By which a server of this backend is known.
pub(super) fn digest(texts: &[&str]) -> u64 {
    let mut digest = Digest::default();
    for text in texts {
        digest.text(text.as_bytes());
    }
    let end = digest.end();
    end.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// So short that many addresses have the same.
fn mark(seats: &Seats) -> u64 {
    seats.server.place().mark >> 48
}

/// Takes the cookie of this name away. In bytes: others hold what they like.
fn take(headers: &mut HeaderMap, name: &str) -> Option<u64> {
    let is_ours = |pair: &&[u8]| {
        let found = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        found.trim_ascii() == name.as_bytes()
    };
    let mut lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    if !lines.any(|line| line.split(|byte| *byte == b';').any(|pair| is_ours(&pair))) {
        return None;
    }
    let mut found = None;
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).into_iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let (ours, others): (Vec<&[u8]>, Vec<&[u8]>) =
            line.as_bytes().split(|byte| *byte == b';').partition(is_ours);
        found = found.or_else(|| ours.iter().find_map(|pair| mark_of(pair)));
        let others = others.join(&b';');
        if let Ok(others) = HeaderValue::from_bytes(others.trim_ascii())
            && !others.is_empty()
        {
            headers.append(COOKIE, others);
        }
    }
    found
}

fn mark_of(pair: &[u8]) -> Option<u64> {
    let (_, mark) = std::str::from_utf8(pair).ok()?.split_once('=')?;
    u64::from_str_radix(mark.trim(), 16).ok()
}

/// Is it one by which a server is known?
pub(crate) fn is_of_server(cookie: &HeaderValue) -> bool {
    cookie.as_bytes().starts_with(PREFIX.as_bytes())
}

/// Of the names of our cookies.
const PREFIX: &str = "seawall-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cookie_is_taken_away_and_all_others_stay_as_they_were() {
        for (before, after, mark) in [
            ("a=1; b=2", Some("a=1; b=2"), None),
            ("s=00ff", None, Some(0xff)),
            ("a=1; s=1; b=\"x=y\"", Some("a=1; b=\"x=y\""), Some(1)),
            ("s=none; ss=2", Some("ss=2"), None),
            ("name=J\u{f6}rg; s=2; b=1", Some("name=J\u{f6}rg; b=1"), Some(2)),
        ] {
            let value = HeaderValue::from_bytes(before.as_bytes()).expect("a value");
            let mut headers = HeaderMap::from_iter([(COOKIE, value)]);
            assert_eq!(take(&mut headers, "s"), mark, "{before}");
            let left = headers.get(COOKIE).map(HeaderValue::as_bytes);
            assert_eq!(left, after.map(str::as_bytes), "{before}");
        }
    }
}
