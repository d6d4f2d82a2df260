//! Which requests are one and the same: `Idempotency-Key`, its caller, and a fingerprint.
//!
//! The field is that of draft-ietf-httpapi-idempotency-key-header: a string of RFC 8941, section
//! 3.3.3. Most clients send the bare text of a UUID instead, and that is taken as well.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header::AUTHORIZATION, request};

use crate::headers::{self, Digest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of the longest key.
const LONGEST: usize = 255;

/// What the client calls its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(Vec<u8>);

/// The field is there, and says nothing that could be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Idempotency-Key field is malformed")]
pub(crate) struct Malformed;

/// A request by which it and its retries are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    /// Of the key, within what its caller sends to this backend.
    pub key: [u8; 32],
    /// Of method, target and body.
    pub fingerprint: [u8; 32],
}

/// A name that lacks the body.
#[derive(Debug)]
pub(crate) struct Naming {
    key: [u8; 32],
    fingerprint: Digest,
}

impl Key {
    /// `None` where the request has none.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Malformed> {
        let mut key = None;
        for value in headers.get_all(IDEMPOTENCY_KEY) {
            let read = Self::read(value.as_bytes().trim_ascii())?;
            if key.replace(read.clone()).is_some_and(|other| other != read) {
                return Err(Malformed);
            }
        }
        Ok(key)
    }

    fn read(text: &[u8]) -> Result<Self, Malformed> {
        let key = match text.split_first() {
            Some((b'"', quoted)) => unquoted(quoted)?,
            _ if text.iter().all(|byte| byte.is_ascii_graphic() && !b"\",;".contains(byte)) => {
                text.to_vec()
            }
            _ => return Err(Malformed),
        };
        match key.len() {
            1..=LONGEST => Ok(Self(key)),
            _ => Err(Malformed),
        }
    }

    /// Of a head as the backend gets it. The caller is who its `Authorization` says, else its
    /// address.
    pub(crate) fn naming(&self, backend: &str, head: &request::Parts, address: IpAddr) -> Naming {
        let mut key = Digest::default();
        key.text(backend.as_bytes());
        key.text(&self.0);
        if head.headers.contains_key(AUTHORIZATION) {
            for value in head.headers.get_all(AUTHORIZATION) {
                key.text(b"authorization");
                key.text(value.as_bytes());
            }
        } else {
            key.text(b"address");
            key.text(address.to_string().as_bytes());
        }
        let mut fingerprint = Digest::default();
        fingerprint.text(head.method.as_str().as_bytes());
        fingerprint.text(headers::target(head).as_bytes());
        Naming { key: key.end(), fingerprint }
    }
}

impl Naming {
    /// More of the body.
    pub(crate) fn body(&mut self, chunk: &[u8]) {
        self.fingerprint.last(chunk);
    }

    pub(crate) fn end(self) -> Name {
        Name { key: self.key, fingerprint: self.fingerprint.end() }
    }
}

/// What stands before the closing quotation mark; parameters may follow it, and say nothing here.
fn unquoted(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut key = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    loop {
        match rest.next() {
            Some(b'"') => break,
            Some(b'\\') => match rest.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(escaped),
                _ => return Err(Malformed),
            },
            Some(byte @ b' '..=b'~') => key.push(byte),
            _ => return Err(Malformed),
        }
    }
    match rest.next() {
        None | Some(b';') => Ok(key),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn of(values: &[&[u8]]) -> Result<Option<Key>, Malformed> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("a value"));
        }
        Key::of(&headers)
    }

    fn key(text: &str) -> Key {
        Key(text.into())
    }

    #[test]
    fn a_string_and_a_bare_word_are_keys() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"\"8e03978e-40d5\""]), Ok(Some(key("8e03978e-40d5"))));
        assert_eq!(of(&[b"8e03978e-40d5"]), Ok(Some(key("8e03978e-40d5"))));
        assert_eq!(of(&[b"\"a \\\"b\\\" \\\\\""]), Ok(Some(key("a \"b\" \\"))));
        assert_eq!(of(&[b"\"a\";v=1"]), Ok(Some(key("a"))));
        assert_eq!(of(&[b"a", b"\"a\""]), Ok(Some(key("a"))));
        assert_eq!(of(&["x".repeat(LONGEST).as_bytes()]), Ok(Some(key(&"x".repeat(LONGEST)))));
    }

    #[test]
    fn everything_else_is_malformed() {
        let long = "x".repeat(LONGEST + 1);
        for value in [
            &b""[..],
            b"\"\"",
            b"\"open",
            b"\"a\\",
            b"\"a\\b\"",
            b"\"a\" b",
            b"\"a\tb\"",
            b"a b",
            b"a, b",
            b"a;b",
            b"a\"",
            b"\xc3\xa4",
            b"\"\xc3\xa4\"",
            long.as_bytes(),
        ] {
            assert_eq!(of(&[value]), Err(Malformed), "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(of(&[b"a", b"b"]), Err(Malformed));
    }

    fn name(
        change: impl FnOnce(http::request::Builder) -> http::request::Builder,
        address: [u8; 4],
        body: &[&[u8]],
    ) -> Name {
        let request = change(Request::post("/orders?a=1").header("host", "app"));
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let mut naming = Key(b"key".to_vec()).naming("default", &head, address.into());
        for chunk in body {
            naming.body(chunk);
        }
        naming.end()
    }

    #[test]
    fn the_key_is_its_callers_and_the_fingerprint_covers_method_target_and_body() {
        let plain = name(|request| request, [1; 4], &[b"one of each"]);
        assert_eq!(plain, name(|request| request, [1; 4], &[b"one ", b"of each"]));
        assert_eq!(
            plain,
            name(|request| request.header("x-other", "1"), [1; 4], &[b"one of each"])
        );
        let other_address = name(|request| request, [2; 4], &[b"one of each"]);
        assert_ne!(plain.key, other_address.key);
        assert_eq!(plain.fingerprint, other_address.fingerprint);
        let [ann, ann_elsewhere, bob] = [("ann", [1; 4]), ("ann", [2; 4]), ("bob", [1; 4])]
            .map(|(who, from)| name(|request| request.header("authorization", who), from, &[]));
        assert_eq!(ann.key, ann_elsewhere.key);
        assert_ne!(ann.key, bob.key);
        for other in [
            name(|request| request.method("PATCH"), [1; 4], &[b"one of each"]),
            name(|request| request.uri("/orders"), [1; 4], &[b"one of each"]),
            name(|request| request, [1; 4], &[b"two of each"]),
        ] {
            assert_eq!(plain.key, other.key);
            assert_ne!(plain.fingerprint, other.fingerprint);
        }
    }
}
