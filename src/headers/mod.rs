//! The fields of messages that pass through: what is refused, removed, and added.

mod answer;
mod digest;
mod forwarding;
mod hop_by_hop;
mod http2;
mod said;

use std::sync::LazyLock;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        ACCEPT, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, TE, TRAILER,
        TRANSFER_ENCODING, VIA,
    },
    request,
    uri::{Authority, PathAndQuery},
};

pub(crate) use self::{
    answer::{
        accept, accept_interim, accept_trailers, collapsed, is_endless, is_public, is_same_answer,
        replayed, switched,
    },
    digest::Digest,
    forwarding::{
        FORWARDING, PeerFields, Scheme, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO,
        is_over_tls, text_of,
    },
    hop_by_hop::ends_connection,
    http2::{check_http2, join_cookies},
};
use self::{
    forwarding::{Told, append, forget_others, forward, is_of_forwarding, told},
    hop_by_hop::{strip_doubles, strip_hop_by_hop},
};
use crate::{
    refusal::Refusal,
    request_id::{RequestId, X_REQUEST_ID},
    wishes::{Form, Wishes},
};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The name by which this process knows itself in `Via`; each has its own, so that a chain of
/// several is no loop.
static PSEUDONYM: LazyLock<String> = LazyLock::new(|| format!("seawall-{:08x}", fastrand::u32(..)));
static VIA_11: LazyLock<Via> = LazyLock::new(|| Via::of("1.1"));
static VIA_20: LazyLock<Via> = LazyLock::new(|| Via::of("2.0"));
static VIA_10: LazyLock<Via> = LazyLock::new(|| Via::of("1.0"));

/// `Via` for requests that came in one version.
struct Via {
    value: HeaderValue,
    line: String,
}

impl Via {
    fn of(version: &str) -> Self {
        let value = HeaderValue::try_from(format!("{version} {}", *PSEUDONYM));
        Self {
            value: value.unwrap_or(HeaderValue::from_static("1.1 seawall")),
            line: format!("via: {version} {}\r\n", *PSEUDONYM),
        }
    }
}

/// Who speaks to us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    /// None where the proxy is called without a connection.
    pub fields: Option<&'a PeerFields>,
    /// Its `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted: bool,
}

impl Peer<'_> {
    fn scheme(self) -> Scheme {
        self.fields.map_or(Scheme::Http, |fields| fields.scheme)
    }
}

/// Refuses what is ambiguous, contradictory, or more than we can do.
pub(crate) fn check(head: &request::Parts, peer: Option<&PeerFields>) -> Result<(), Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::NotImplemented("This proxy opens no tunnels for CONNECT."));
    }
    if head.uri.scheme().is_none() && head.uri.authority().is_some() {
        return Err(Refusal::BadField("The target is neither a path nor a whole URL."));
    }
    if head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Refusal::BadField("The target is no URL of http or https."));
    }
    if head.uri.authority().is_some_and(|authority| !is_host(authority.as_str().as_bytes())) {
        return Err(Refusal::BadField("The target names no host."));
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Refusal::BadField("The target \"*\" is for OPTIONS alone."));
    }
    let mut host = None;
    let mut coded = false;
    // One pass: these are few, and all others are passed by.
    for (name, value) in &head.headers {
        match *name {
            HOST if host.replace(value).is_some() => {
                return Err(Refusal::BadField("The request has more than one Host field."));
            }
            TRANSFER_ENCODING if std::mem::replace(&mut coded, true) || !is(value, "chunked") => {
                return Err(Refusal::NotImplemented(
                    "The only transfer coding understood is \"chunked\".",
                ));
            }
            EXPECT if !is(value, "100-continue") => return Err(Refusal::ExpectationUnknown),
            VIA if value.to_str().is_ok_and(|text| text.contains(PSEUDONYM.as_str())) => {
                return Err(Refusal::Loop);
            }
            _ => {}
        }
    }
    let known = |host: &HeaderValue| peer.is_some_and(|peer| peer.knows(host));
    match host.filter(|host| !known(host)).map(HeaderValue::as_bytes) {
        None if host.is_none() && head.version == Version::HTTP_11 => {
            return Err(Refusal::BadField("The request has no Host field."));
        }
        None | Some(b"") => {}
        Some(name) if !is_host(name) => {
            return Err(Refusal::BadField("The Host field names no host."));
        }
        Some(_) => {}
    }
    Ok(())
}

/// A host, perhaps with a port; without user information, and not two names in one.
fn is_host(name: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(name) else { return false };
    let port = &authority.as_str()[authority.host().len()..];
    let odd = name.iter().any(|byte| b"@,".contains(byte));
    !odd && (port.is_empty() || port == ":" || authority.port_u16().is_some())
}

/// What is added to the head that the backend gets, behind its fields and in lines: nobody looks it up, and
/// in a map it would be put in for nothing.
#[derive(Debug)]
pub(crate) struct Added {
    via: Option<&'static str>,
    /// The id of the request, which that did not bring itself.
    names: bool,
    forwarding: Bytes,
}

impl Added {
    /// The lines of a request with this id, in pieces.
    pub(crate) fn pieces<'a>(&'a self, id: &'a RequestId) -> [&'a [u8]; 5] {
        let via = self.via.unwrap_or_default().as_bytes();
        let [name, id, end]: [&[u8]; 3] = match self.names {
            true => [b"x-request-id: ", id.as_bytes(), b"\r\n"],
            false => [b""; 3],
        };
        [via, name, id, end, &self.forwarding]
    }
}

/// Turns the head of a request into the one that the backend gets, with what is added behind its fields.
pub(crate) fn rebuild(
    head: &mut request::Parts,
    peer: Peer<'_>,
    id: &RequestId,
    backend: &HeaderValue,
) -> Added {
    // In absolute form, the target rules over Host (RFC 9112, section 3.2.2).
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
    if !is_as_sent(&head.uri) {
        let target = head.uri.path_and_query().filter(|target| !target.as_str().is_empty());
        let target = target.cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from(if target.as_str().is_ascii() { target } else { in_ascii(&target) });
    }
    let headers = &mut head.headers;
    let (mut trailers, mut coded, mut expects) = (false, false, false);
    let (mut via_others, mut of_others, mut is_named) = (false, false, false);
    let (mut length, mut forwarding) = (None, None);
    // One pass: each look-up by name costs as much as passing by ten of them.
    for (name, value) in &*headers {
        match *name {
            HOST => forwarding = Some(told(peer, value)),
            TE => trailers |= takes_trailers(value),
            TRANSFER_ENCODING => coded = true,
            EXPECT => expects = true,
            VIA => via_others = true,
            CONTENT_LENGTH => length = length.or(Some(value == "0")),
            _ if *name == X_REQUEST_ID => is_named = true,
            _ => of_others |= is_of_forwarding(name),
        }
    }
    // HTTP/1.0 has no Host, and what we send is HTTP/1.1.
    let forwarding = forwarding.unwrap_or_else(|| {
        headers.insert(HOST, backend.clone());
        told(peer, backend)
    });
    if coded {
        // It announces what ends here: a body that is sent with its length has no place for them.
        headers.remove(TRAILER);
    }
    strip_hop_by_hop(headers);
    strip_doubles(headers);
    // The length is said anew when the body is in, whole; that there is none can be said now.
    match length {
        None => {}
        // Once: over HTTP/2, it may have come several times.
        Some(true) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"))),
        Some(false) => drop(headers.remove(CONTENT_LENGTH)),
    }
    if expects {
        headers.remove(EXPECT);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let via = match head.version {
        Version::HTTP_10 => &*VIA_10,
        Version::HTTP_2 => &*VIA_20,
        _ => &*VIA_11,
    };
    if via_others {
        append(headers, VIA, via.value.clone());
    }
    if is_named {
        // It may have come several times, or is not fit.
        headers.insert(X_REQUEST_ID, id.value());
    }
    let forwarding = match forwarding {
        Told::Lines(lines) => {
            if of_others {
                forget_others(headers);
            }
            lines
        }
        Told::Host(host) => {
            forward(headers, peer, host);
            Bytes::new()
        }
    };
    head.version = Version::HTTP_11;
    Added { via: (!via_others).then_some(&via.line), names: !is_named, forwarding }
}

/// Is the target what the backend is sent? Nearly all are.
fn is_as_sent(uri: &Uri) -> bool {
    let is_path = uri.scheme().is_none() && uri.authority().is_none();
    let fits = |target: &PathAndQuery| !target.as_str().is_empty() && target.as_str().is_ascii();
    is_path && uri.path_and_query().is_some_and(fits)
}

/// Some clients send letters as they are, of which a URI has none (RFC 3986, section 2.1).
fn in_ascii(target: &PathAndQuery) -> PathAndQuery {
    let mut ascii = String::with_capacity(3 * target.as_str().len());
    for byte in target.as_str().bytes() {
        match byte.is_ascii() {
            true => ascii.push(char::from(byte)),
            false => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |four: u8| char::from(DIGITS[usize::from(four)]);
                ascii.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    // What could be parsed can be now, too.
    PathAndQuery::try_from(ascii).unwrap_or_else(|_| target.clone())
}

fn takes_trailers(te: &HeaderValue) -> bool {
    let mut codings = te.as_bytes().split(|byte| *byte == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// The head of a request of our own, by which the backend is asked how it is.
pub(crate) fn of_probe(
    path: &str,
    backend: &HeaderValue,
    id: &RequestId,
) -> Option<request::Parts> {
    let request = http::Request::get(path)
        .header(HOST, backend)
        .header(http::header::USER_AGENT, "seawall (probe)")
        .header(VIA, VIA_11.value.clone())
        .header(X_REQUEST_ID, id.value());
    Some(request.body(()).ok()?.into_parts().0)
}

/// Does a person wait for what is asked with these fields, before a browser? (Fetch Metadata, where there
/// is any.) Then our own answer is a page, too, else it could not ask again by itself.
pub(crate) fn is_page_load<'a>(
    fields: &(impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone),
) -> bool {
    let named = |wanted: HeaderName| {
        fields
            .clone()
            .filter(move |(name, _)| *name == wanted.as_str().as_bytes())
            .map(|(_, value)| value)
    };
    named(SEC_FETCH_MODE).next().is_none_or(|mode| mode == b"navigate")
        && Wishes::of_values(named(ACCEPT)).form() == Form::Html
}

/// Browsers say for what they ask (Fetch Metadata), and so shows that one asks.
pub(crate) fn is_of_browser(head: &request::Parts) -> bool {
    head.headers.contains_key(SEC_FETCH_MODE)
}

/// The path with its query; `*` where the request is for none.
pub(crate) fn target(head: &request::Parts) -> &str {
    head.uri.path_and_query().map_or("*", PathAndQuery::as_str)
}

/// `Max-Forwards` for the two methods that have it (RFC 9110, section 7.6.2): `Some(0)` is for us
/// to answer, anything else is counted down.
pub(crate) fn max_forwards(head: &mut request::Parts) -> Option<u32> {
    if head.method != Method::TRACE && head.method != Method::OPTIONS {
        return None;
    }
    let left: u32 = head.headers.get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()?;
    if left > 0 {
        head.headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    Some(left)
}

fn is(value: &HeaderValue, word: &str) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests;
