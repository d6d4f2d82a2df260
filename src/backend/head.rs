//! Heads of HTTP/1 (RFC 9112): that of a request is written, that of an answer is read.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
    request, response,
    uri::PathAndQuery,
};
use hyper::ext::ReasonPhrase;

use super::maps;

/// The head of an answer.
pub(super) struct Head {
    pub parts: response::Parts,
    /// What its fields say of its body.
    pub length: Length,
    /// Its connection may serve another exchange after this.
    pub is_kept: bool,
}

/// RFC 9112, section 6.3, as far as the fields say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Unsaid,
    Bytes(u64),
    Chunked,
    /// In another coding than that, over which there is no end but that of the connection.
    Coded,
}

/// What has come is no answer of HTTP/1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("no head of an answer: {0}")]
    Head(#[from] httparse::Error),
    #[error("a status below 100")]
    Status(#[from] http::status::InvalidStatusCode),
    #[error("a field name that is none")]
    Name(#[from] http::header::InvalidHeaderName),
    #[error("a field value that is none")]
    Value(#[from] http::header::InvalidHeaderValue),
    #[error("more bytes than a head may have")]
    TooLong,
    #[error("Content-Length is no number, or two")]
    Length,
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    Coding,
    #[error("a Transfer-Encoding behind that of chunks")]
    Codings,
    #[error("no chunk where one has to be")]
    Chunk,
}

/// The head of a request, written, with lines in these pieces behind its fields.
pub(super) fn write(head: &request::Parts, lines: &[&[u8]]) -> Vec<u8> {
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    // Of a URL without a path, there may be a query alone.
    let is_bare = !target.starts_with(['/', '*']);
    let line = head.method.as_str().len() + usize::from(is_bare) + target.len() + LINE;
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    // Just so much: it is kept until the answer comes.
    let lines_len: usize = lines.iter().map(|piece| piece.len()).sum();
    let mut text = Vec::with_capacity(line + fields.sum::<usize>() + lines_len);
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.push(b' ');
    if is_bare {
        text.push(b'/');
    }
    text.extend_from_slice(target.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    for piece in lines {
        text.extend_from_slice(piece);
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// The same for a server of HTTP/1.0, which closes the connection unless it is asked not to.
pub(super) fn kept_alive(text: &[u8]) -> Vec<u8> {
    let fields = text.strip_suffix(b"\r\n").unwrap_or(text);
    [fields, b"connection: keep-alive\r\n\r\n"].concat()
}

/// Names, in small letters, and values of what was written.
pub(super) fn fields(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    text.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// Writes the head of a request, and gives back its length.
#[cfg(feature = "steps")]
#[must_use]
pub fn written(head: &request::Parts, lines: &[u8]) -> usize {
    std::hint::black_box(write(head, &[lines])).len()
}

/// Does the request end its connection?
pub(super) fn closes(head: &request::Parts) -> bool {
    head.headers.get_all(CONNECTION).iter().any(|value| names(value.as_bytes(), "close"))
}

/// Takes a head, once it is whole.
// Where it is made a part of its caller, the compiler leaves out of it what it calls for each field: 550 instructions more
// for a small answer.
#[inline(never)]
pub(super) fn read(come: &mut Bytes) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    // Names and values are looked at in here, and values stay parts of it.
    let text = come.clone();
    let config = httparse::ParserConfig::default();
    let end = match config.parse_response_with_uninit_headers(&mut parsed, &text, &mut fields)? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial if come.len() > LONGEST => return Err(Malformed::TooLong),
        httparse::Status::Partial => return Ok(None),
    };
    come.advance(end);
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(parsed.code.unwrap_or_default())?;
    if let Some(reason) = parsed.reason
        && Some(reason) != parts.status.canonical_reason()
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        parts.extensions.insert(reason);
    }
    if parsed.version == Some(0) {
        parts.version = Version::HTTP_10;
    }
    let (mut closes, mut keeps, mut length) = (false, false, Length::Unsaid);
    // One for an id of ours. hyper reads the next request into what it has written an answer from.
    parts.headers = maps::take();
    parts.headers.reserve((parsed.headers.len() + 1).max(ROOM));
    for field in &*parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes())?;
        if name == CONNECTION {
            closes |= names(field.value, "close");
            keeps |= names(field.value, "keep-alive");
            // It ends here, and where it names no field there is nothing else to be done for it.
            if is_plain(field.value) {
                continue;
            }
        }
        let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value))?;
        match name {
            TRANSFER_ENCODING if parsed.version == Some(0) => return Err(Malformed::Coding),
            TRANSFER_ENCODING if length == Length::Chunked => return Err(Malformed::Codings),
            // The last coding is the outermost one.
            TRANSFER_ENCODING => {
                length = if ends_chunked(&value) { Length::Chunked } else { Length::Coded };
            }
            CONTENT_LENGTH => length = length.and(said(&value)?)?,
            _ => {}
        }
        parts.headers.append(name, value);
    }
    let is_kept = !closes && (keeps || parts.version == Version::HTTP_11);
    Ok(Some(Head { parts, length, is_kept }))
}

/// The end of a chunked body: an empty line, perhaps with fields before it.
pub(super) fn read_trailers(come: &mut Bytes) -> Result<Option<HeaderMap>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let text = come.clone();
    let (end, fields) = match httparse::parse_headers(&text, &mut fields)? {
        httparse::Status::Complete(parsed) => parsed,
        httparse::Status::Partial if come.len() > LONGEST_TRAILERS => {
            return Err(Malformed::TooLong);
        }
        httparse::Status::Partial => return Ok(None),
    };
    come.advance(end);
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes())?;
        trailers.append(name, HeaderValue::from_maybe_shared(text.slice_ref(field.value))?);
    }
    Ok(Some(trailers))
}

impl Length {
    /// A coding rules over it (RFC 9112, section 6.3), and two must be the same.
    fn and(self, bytes: u64) -> Result<Self, Malformed> {
        match self {
            Self::Unsaid => Ok(Self::Bytes(bytes)),
            Self::Bytes(before) if before != bytes => Err(Malformed::Length),
            said => Ok(said),
        }
    }
}

/// A length, which some say several times in one field.
fn said(value: &HeaderValue) -> Result<u64, Malformed> {
    let mut said = None;
    for part in value.as_bytes().split(|byte| *byte == b',') {
        let part = part.trim_ascii();
        let digits = std::str::from_utf8(part).ok().filter(|text| !text.starts_with('+'));
        let length = digits.and_then(|text| text.parse().ok()).ok_or(Malformed::Length)?;
        if said.replace(length).is_some_and(|before: u64| before != length) {
            return Err(Malformed::Length);
        }
    }
    said.ok_or(Malformed::Length)
}

fn names(value: &[u8], option: &str) -> bool {
    let parts = value.split(|byte| *byte == b',');
    parts.into_iter().any(|part| part.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

fn is_plain(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

fn ends_chunked(value: &HeaderValue) -> bool {
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// What a head has besides its fields, method and target.
const LINE: usize = "  HTTP/1.1\r\n\r\n".len();
/// For the fields of a small request.
const ROOM: usize = 12;
/// Of an answer.
const FIELDS: usize = 100;
/// Bytes of a head.
pub(super) const LONGEST: usize = 400 * 1024;
const LONGEST_TRAILERS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<Option<Head>, Malformed> {
        read(&mut Bytes::copy_from_slice(text.as_bytes()))
    }

    fn answer(text: &str) -> Head {
        read_all(text).expect("well-formed").expect("whole")
    }

    #[test]
    fn what_follows_a_head_is_left() {
        let mut come = Bytes::from_static(b"HTTP/1.1 200 Fine\r\nA: b\r\na: c\r\n\r\nbody");
        let head = read(&mut come).expect("well-formed").expect("whole");
        assert_eq!(come, "body");
        assert_eq!(head.parts.headers.get_all("a").iter().count(), 2);
        let reason = head.parts.extensions.get::<ReasonPhrase>().expect("its own");
        assert_eq!(reason.as_bytes(), b"Fine");
        assert!(head.is_kept && head.length == Length::Unsaid);
    }

    #[test]
    fn who_says_close_closes_and_http_1_0_closes_unless_it_says_otherwise() {
        for (text, is_kept) in [
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: x, close\r\nConnection: keep-alive\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(answer(text).is_kept, is_kept, "{text}");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_none() {
        let of = |fields: &str| read_all(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        for fields in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1, 2\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 1x\r\n",
            "Content-Length: 99999999999999999999\r\n",
        ] {
            assert!(matches!(of(fields), Err(Malformed::Length)), "{fields}");
        }
        for (fields, length) in [
            ("Content-Length: 7\r\nContent-Length: 7, 7\r\n", Length::Bytes(7)),
            ("Content-Length: 7\r\nTransfer-Encoding: x, Chunked\r\n", Length::Chunked),
            ("Transfer-Encoding: chunked\r\nContent-Length: 7\r\n", Length::Chunked),
            ("Transfer-Encoding: chunked, x\r\n", Length::Coded),
        ] {
            let head = of(fields).expect("well-formed").expect("whole");
            assert_eq!(head.length, length, "{fields}");
        }
        let old = read_all("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(matches!(old, Err(Malformed::Coding)));
    }

    #[test]
    fn a_head_that_does_not_end_is_not_kept_for_ever() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(LONGEST));
        assert!(matches!(read_all(&endless), Err(Malformed::TooLong)));
    }

    #[test]
    fn a_request_is_written_as_it_is() {
        let request = http::Request::builder().method("PURGE").uri("/a?b=%22");
        let value = HeaderValue::from_bytes(b"\xe4").expect("a value");
        let head = request.header("x-a", value).body(()).expect("a request").into_parts().0;
        let text = write(&head, &[b"x-b: ", b"c\r\n"]);
        assert_eq!(text, b"PURGE /a?b=%22 HTTP/1.1\r\nx-a: \xe4\r\nx-b: c\r\n\r\n");
        assert_eq!(text.len(), text.capacity());
        let kept =
            b"PURGE /a?b=%22 HTTP/1.1\r\nx-a: \xe4\r\nx-b: c\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(kept_alive(&text), kept);
        assert!(fields(&text).eq([(&b"x-a"[..], &b"\xe4"[..]), (b"x-b", b"c")]));
    }
}
