//! The fields of an answer, as its client gets them.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, HOST, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    response,
};

use super::{forwarding::append, hop_by_hop::strip_hop_by_hop, is};
use crate::{
    config::OnDisconnect,
    refusal::Refusal,
    request_id::{RequestId, X_REQUEST_ID},
};

/// Turns the head of a response into the one that the client gets. Gives back what the
/// application says of clients that leave.
pub(crate) fn accept(
    head: &mut response::Parts,
    id: &RequestId,
) -> Result<Option<OnDisconnect>, Refusal> {
    // Nobody asked for an upgrade, and interim answers end where they are not passed on.
    if head.status.is_informational() {
        return Err(Refusal::AnswerMalformed);
    }
    clear(head, id)
}

/// The same for an answer that opens a tunnel. Gives back the protocol that it names.
pub(crate) fn switched(
    head: &mut response::Parts,
    id: &RequestId,
) -> Result<Option<HeaderValue>, Refusal> {
    let protocol = head.headers.get(UPGRADE).cloned();
    clear(head, id)?;
    // It has no body (RFC 9112, section 6).
    head.headers.remove(CONTENT_LENGTH);
    Ok(protocol)
}

fn clear(head: &mut response::Parts, id: &RequestId) -> Result<Option<OnDisconnect>, Refusal> {
    let mut overrules = false;
    let mut has_id = false;
    let mut is_coded = false;
    let mut lengths = 0;
    for (name, value) in &head.headers {
        if *name == TRANSFER_ENCODING {
            if !is(value, "chunked") {
                return Err(Refusal::AnswerMalformed);
            }
            is_coded = true;
        }
        lengths += usize::from(*name == CONTENT_LENGTH);
        has_id |= *name == X_REQUEST_ID;
        overrules |= *name == SEAWALL_ON_DISCONNECT;
    }
    strip_hop_by_hop(&mut head.headers);
    if is_coded {
        // The coding rules over it, and it may lie (RFC 9112, section 6.3).
        head.headers.remove(CONTENT_LENGTH);
    } else if lengths > 1
        && let Some(length) = head.headers.get(CONTENT_LENGTH).cloned()
    {
        // All the same, else the answer would have been refused.
        head.headers.insert(CONTENT_LENGTH, length);
    }
    if !has_id {
        head.headers.append(X_REQUEST_ID, id.value());
    }
    head.version = Version::HTTP_11;
    Ok(if overrules { overruled(&mut head.headers) } else { None })
}

/// Can the body of one answer go with the head of the other? Only the time may differ.
pub(crate) fn is_same_answer(one: &response::Parts, other: &response::Parts) -> bool {
    let fields = |head: &response::Parts| {
        let mut fields = head.headers.clone();
        fields.remove(http::header::DATE);
        fields
    };
    one.status == other.status && fields(one) == fields(other)
}

/// Marks the answer of an exchange that is another client's (RFC 9211, section 2.6), and gives it
/// the id of the request that it answers.
pub(crate) fn collapsed(head: &mut response::Parts, id: &RequestId) {
    append(&mut head.headers, CACHE_STATUS, HeaderValue::from_static("seawall; collapsed"));
    head.headers.insert(X_REQUEST_ID, id.value());
}

/// Marks an answer that an earlier request has brought about.
pub(crate) fn replayed(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    headers.insert(X_REQUEST_ID, id.value());
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

/// May a cache that many share keep it for all of them (RFC 9111, section 5.2.2)?
pub(crate) fn is_public(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
    })
}

/// Turns the trailers of a response into those that the client gets. Some clients merge them with the
/// fields of the head, so none may be there that would have been acted on in the head (RFC 9110,
/// section 6.5.1).
pub(crate) fn accept_trailers(mut trailers: Box<HeaderMap>) -> Option<Box<HeaderMap>> {
    strip_hop_by_hop(&mut trailers);
    for name in [CONTENT_LENGTH, TRAILER, HOST, SET_COOKIE, SEAWALL_ON_DISCONNECT, X_REQUEST_ID] {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// Turns the head of an interim answer into the one that the client gets.
pub(crate) fn accept_interim(head: &mut http::Response<()>) {
    strip_hop_by_hop(head.headers_mut());
    // It has no body (RFC 9110, section 15.2), and what it says of one would be read as framing.
    head.headers_mut().remove(CONTENT_LENGTH);
}

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// By this the application overrules `on_disconnect` for one response.
const SEAWALL_ON_DISCONNECT: HeaderName = HeaderName::from_static("seawall-on-disconnect");
