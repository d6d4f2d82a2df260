//! The fields of messages that pass through: what is refused, removed, and added.

use std::{net::IpAddr, sync::LazyLock};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, MAX_FORWARDS, TE, TRANSFER_ENCODING,
        UPGRADE, VIA,
    },
    request, response,
    uri::{Authority, PathAndQuery},
};

use crate::{config::OnDisconnect, front::Connection, refusal::Refusal};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// By this the application overrules `on_disconnect` for one response.
const SEAWALL_ON_DISCONNECT: HeaderName = HeaderName::from_static("seawall-on-disconnect");

/// Longest request id that is taken from a client.
const MAX_ID: usize = 128;

/// The name by which this process knows itself in `Via`; each has its own, so that a chain of
/// several is no loop.
static PSEUDONYM: LazyLock<String> = LazyLock::new(|| format!("seawall-{:08x}", fastrand::u32(..)));
static VIA_11: LazyLock<HeaderValue> = LazyLock::new(|| via("1.1"));
static VIA_10: LazyLock<HeaderValue> = LazyLock::new(|| via("1.0"));

fn via(version: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{version} {}", *PSEUDONYM))
        .unwrap_or(HeaderValue::from_static("1.1 seawall"))
}

/// Who speaks to us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    /// Its address.
    pub field: &'a HeaderValue,
    /// None where the proxy is called without a connection.
    pub connection: Option<&'a Connection>,
    /// Its `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted: bool,
}

/// Refuses what is ambiguous, contradictory, or more than we can do.
pub(crate) fn check(head: &request::Parts, connection: Option<&Connection>) -> Result<(), Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::NotImplemented("This proxy opens no tunnels for CONNECT."));
    }
    if head.uri.scheme().is_none() && head.uri.authority().is_some() {
        return Err(Refusal::BadField("The target is neither a path nor a whole URL."));
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
    let known = |host: &HeaderValue| connection.is_some_and(|connection| connection.knows(host));
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

/// Turns the head of a request into the one that the backend gets.
pub(crate) fn rebuild(
    head: &mut request::Parts,
    peer: Peer<'_>,
    id: &HeaderValue,
    backend: &HeaderValue,
) {
    // In absolute form, the target rules over Host (RFC 9112, section 3.2.2).
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
    // HTTP/1.0 has no Host, and what we send is HTTP/1.1.
    head.headers.entry(HOST).or_insert_with(|| backend.clone());
    let target = head.uri.path_and_query().cloned();
    head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let headers = &mut head.headers;
    let trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("trailers"))
    });
    strip_hop_by_hop(headers);
    strip_doubles(headers);
    // The length is said anew when the body is in, whole; that there is none can be said now.
    if headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        headers.remove(CONTENT_LENGTH);
    }
    headers.remove(EXPECT);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let via = if head.version == Version::HTTP_10 { &*VIA_10 } else { &*VIA_11 };
    append(headers, VIA, via.clone());
    forward(headers, peer);
    headers.insert(X_REQUEST_ID, id.clone());
    head.version = Version::HTTP_11;
}

/// Says for whom the request is forwarded. From peers that are not trusted, nothing is kept.
fn forward(headers: &mut HeaderMap, peer: Peer<'_>) {
    let host = headers.get(HOST).cloned();
    let element = match (peer.connection, &host) {
        (Some(connection), Some(host)) => Some(connection.forwarded(host)),
        (Some(connection), None) => Some(forwarded(connection.peer.ip(), None)),
        (None, _) => None,
    };
    if peer.trusted {
        append(headers, X_FORWARDED_FOR, peer.field.clone());
        if let Some(element) = element {
            append(headers, FORWARDED, element);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        return;
    }
    headers.insert(X_FORWARDED_FOR, peer.field.clone());
    match element {
        Some(element) => drop(headers.insert(FORWARDED, element)),
        None => drop(headers.remove(FORWARDED)),
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match host {
        Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
        None => drop(headers.remove(X_FORWARDED_HOST)),
    }
}

/// One element of `Forwarded` (RFC 7239).
pub(crate) fn forwarded(address: IpAddr, host: Option<&HeaderValue>) -> HeaderValue {
    let host = host.and_then(|host| host.to_str().ok());
    // Checked to be an authority, which holds no quotes.
    let host = host.map(|host| format!(";host=\"{host}\"")).unwrap_or_default();
    let text = match address.to_canonical() {
        IpAddr::V4(address) => format!("for={address};proto=http{host}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\";proto=http{host}"),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("for=unknown"))
}

/// Turns the head of a response into the one that the client gets. Gives back what the
/// application says of clients that leave.
pub(crate) fn accept(
    head: &mut response::Parts,
    id: &HeaderValue,
) -> Result<Option<OnDisconnect>, Refusal> {
    // Nobody asked for an upgrade, and interim answers end where they are not passed on.
    if head.status.is_informational() {
        return Err(Refusal::AnswerMalformed);
    }
    let mut overrules = false;
    let mut has_id = false;
    for (name, value) in &head.headers {
        if *name == TRANSFER_ENCODING && !is(value, "chunked") {
            return Err(Refusal::AnswerMalformed);
        }
        has_id |= *name == X_REQUEST_ID;
        overrules |= *name == SEAWALL_ON_DISCONNECT;
    }
    strip_hop_by_hop(&mut head.headers);
    if !has_id {
        head.headers.append(X_REQUEST_ID, id.clone());
    }
    head.version = Version::HTTP_11;
    Ok(if overrules { overruled(&mut head.headers) } else { None })
}

fn overruled(headers: &mut HeaderMap) -> Option<OnDisconnect> {
    headers.remove(SEAWALL_ON_DISCONNECT).and_then(|value| {
        let policy = value.to_str().ok().and_then(OnDisconnect::from_header);
        if policy.is_none() {
            tracing::warn!(?value, "Seawall-On-Disconnect is not finish, cancel or finish_for=30s");
        }
        policy
    })
}

/// Does this response go on for ever, by its type?
pub(crate) fn is_endless(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(http::header::CONTENT_TYPE) else { return false };
    let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    kind.eq_ignore_ascii_case(b"text/event-stream")
        || kind.eq_ignore_ascii_case(b"multipart/x-mixed-replace")
}

/// RFC 9110, section 7.6.1.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Looked for in one pass: most messages have none of them, or one.
    let of_hop = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];
    let mut present = of_hop.each_ref().map(|_| false);
    for name in headers.keys() {
        if let Some(index) = of_hop.iter().position(|one| one == name) {
            present[index] = true;
        }
    }
    if present[0] {
        strip_named(headers);
    }
    for (name, present) in of_hop.iter().zip(present) {
        if present {
            headers.remove(name);
        }
    }
}

/// Removes fields that CGI and WSGI take for one of ours: to them, `_` and `-` are the same.
fn strip_doubles(headers: &mut HeaderMap) {
    let odd = |name: &&HeaderName| name.as_str().contains('_');
    if !headers.keys().any(|name| odd(&name)) {
        return;
    }
    let ours = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        FORWARDED,
        VIA,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_REQUEST_ID,
    ];
    let odd: Vec<HeaderName> = headers.keys().filter(odd).cloned().collect();
    for name in odd {
        if ours.iter().any(|one| *one == *name.as_str().replace('_', "-")) {
            headers.remove(name);
        }
    }
}

/// Removes what `Connection` names.
fn strip_named(headers: &mut HeaderMap) {
    let of_connection = |value: &HeaderValue| is(value, "close") || is(value, "keep-alive");
    if headers.get_all(CONNECTION).iter().all(of_connection) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // Without these the message would be another one.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Adds to a list field, in the one line that simple backends read.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let mut list = Vec::new();
    for present in headers.get_all(&name) {
        list.extend_from_slice(present.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        headers.insert(name, value);
        return;
    }
    list.extend_from_slice(value.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&list).unwrap_or(value));
}

/// The client's own id where it is fit to be logged, else a new one.
pub(crate) fn id_of(headers: &HeaderMap) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    headers.get(X_REQUEST_ID).filter(fit).cloned().unwrap_or_else(request_id)
}

/// Sixteen hexadecimal digits.
pub(crate) fn request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..).to_le_bytes();
    let id = random.map(|byte| DIGITS[usize::from(byte & 15)]);
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("0"))
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
mod tests {
    use http::Request;

    use super::*;
    use crate::observe::access::AccessLog;

    fn rebuilt(request: http::request::Builder, trusted: bool) -> request::Parts {
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        let field = HeaderValue::from_static("192.0.2.1");
        let peer = "192.0.2.1:5".parse().expect("an address");
        let connection = Connection::new(peer, AccessLog::off());
        rebuild(
            &mut head,
            Peer { field: &field, connection: Some(&connection), trusted },
            &HeaderValue::from_static("id"),
            &HeaderValue::from_static("backend:5000"),
        );
        head
    }

    fn refused(request: http::request::Builder) -> Option<Refusal> {
        check(&request.body(()).expect("a request").into_parts().0, None).err()
    }

    #[test]
    fn fields_of_the_hop_and_those_that_connection_names_stay_here() {
        let head = rebuilt(
            Request::get("/")
                .header("Host", "a")
                .header("Connection", "close, X-Secret")
                .header("Connection", "host")
                .header("X-Secret", "1")
                .header("Keep-Alive", "timeout=5")
                .header("Proxy-Connection", "keep-alive")
                .header("TE", "gzip")
                .header("Upgrade", "h2c")
                .header("Cookie", "a=b"),
            false,
        );
        let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let kept = [
            "cookie",
            "forwarded",
            "host",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ];
        assert_eq!(names, kept);
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let request = || {
            Request::get("/")
                .header("Host", "site:80")
                .header("X-Forwarded-For", "203.0.113.9")
                .header("X-Forwarded-Proto", "https")
                .header("Forwarded", "for=203.0.113.9")
        };
        let head = rebuilt(request(), false);
        assert_eq!(head.headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(head.headers["x-forwarded-proto"], "http");
        assert_eq!(head.headers["x-forwarded-host"], "site:80");
        assert_eq!(head.headers["forwarded"], "for=192.0.2.1;proto=http;host=\"site:80\"");
        let head = rebuilt(request(), true);
        assert_eq!(head.headers["x-forwarded-for"], "203.0.113.9, 192.0.2.1");
        assert_eq!(head.headers["x-forwarded-proto"], "https");
        assert!(
            head.headers["forwarded"]
                .to_str()
                .expect("text")
                .starts_with("for=203.0.113.9, for=192")
        );
    }

    #[test]
    fn an_absolute_target_rules_over_host() {
        let head = rebuilt(Request::get("http://right/path?q").header("Host", "wrong"), false);
        assert_eq!(head.headers[HOST], "right");
        assert_eq!(head.uri, "/path?q");
    }

    #[test]
    fn a_request_that_was_here_before_is_a_loop() {
        let head = rebuilt(Request::get("/").header("Host", "a").header("Via", "1.0 fred"), false);
        let via = head.headers[VIA].to_str().expect("text");
        assert!(via.starts_with("1.0 fred, 1.1 seawall-"), "{via}");
        assert_eq!(check(&head, None).err(), Some(Refusal::Loop));
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        let get = || Request::get("/");
        assert_eq!(refused(get().header("Host", "a")), None);
        assert_eq!(refused(get().version(Version::HTTP_10)), None);
        assert!(matches!(refused(get()), Some(Refusal::BadField(_))));
        for host in ["a@b", "a b", "a,b", "a/b", "a:b", "a:1:2"] {
            assert!(
                matches!(refused(get().header("Host", host)), Some(Refusal::BadField(_))),
                "{host}"
            );
        }
        let twice = get().header("Host", "a").header("Host", "a");
        assert!(matches!(refused(twice), Some(Refusal::BadField(_))));
        let coded = get().header("Host", "a").header("Transfer-Encoding", "gzip, chunked");
        assert!(matches!(refused(coded), Some(Refusal::NotImplemented(_))));
        let expecting = get().header("Host", "a").header("Expect", "tea");
        assert_eq!(refused(expecting), Some(Refusal::ExpectationUnknown));
    }

    #[test]
    fn what_wsgi_takes_for_ours_does_not_get_by() {
        let head = rebuilt(
            Request::get("/")
                .header("Host", "a")
                .header("X_Forwarded_For", "1")
                .header("content_length", "5")
                .header("my_own", "kept"),
            false,
        );
        assert!(head.headers.keys().all(|name| !name.as_str().contains('_') || name == "my_own"));
        assert!(head.headers.contains_key("my_own"));
    }

    #[test]
    fn a_request_without_host_gets_the_backends() {
        let head = rebuilt(Request::get("/").version(Version::HTTP_10), false);
        assert_eq!(head.headers[HOST], "backend:5000");
        assert_eq!(head.headers[VIA].as_bytes()[..4], *b"1.0 ");
    }

    #[test]
    fn an_id_that_is_fit_is_kept() {
        let id = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a value");
            id_of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
        };
        assert_eq!(id("abc-1"), "abc-1");
        assert_ne!(id("a b"), "a b");
        assert_eq!(id("").len(), 16);
        assert_eq!(id(&"x".repeat(MAX_ID + 1)).len(), 16);
    }

    #[test]
    fn the_application_overrules_by_a_field_that_stays_here() {
        let (mut head, ()) = http::Response::builder()
            .header("Seawall-On-Disconnect", "cancel")
            .header("Connection", "close")
            .body(())
            .expect("a response")
            .into_parts();
        let id = HeaderValue::from_static("id");
        assert_eq!(accept(&mut head, &id), Ok(Some(OnDisconnect::Cancel)));
        assert_eq!(head.headers.len(), 1);
    }
}
