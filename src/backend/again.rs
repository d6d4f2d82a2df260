//! What it takes to send a request once more.
//!
//! hyper takes the request and gives nothing back of what it has sent. A copy of all fields would be
//! made for every request, and is hardly ever needed; so the head is kept as it was written, which
//! is one copy of a few hundred bytes, and is read back where it is needed.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Uri, header::CONNECTION, request};
use parking_lot::Mutex;

use super::{send::Outbound, wire::Progress};
use crate::spool::Received;

/// The head of a request as it was written.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The present request may be sent once more.
    wanted: bool,
    text: Vec<u8>,
}

/// A request that may be sent once more.
#[derive(Debug)]
pub(crate) struct Again {
    pub(super) progress: Arc<Progress>,
    pub(super) body: Received,
    pub(super) upgrades: bool,
}

impl Again {
    /// The request, unless nobody wanted it any more. Its connection was lost: the backend has seen it,
    /// and may be about to end.
    pub(crate) fn request(self) -> Option<Outbound> {
        let head = self.progress.written.read_back()?;
        Some(Outbound::again(Box::new(head), self.body, self.upgrades))
    }
}

impl Written {
    /// A request is about to be written.
    pub(super) fn expect(&self, wanted: bool) {
        let mut state = self.0.lock();
        state.wanted = wanted;
        state.text.clear();
    }

    /// hyper writes these bytes. It has the whole head ready before it writes any of it.
    pub(super) fn write(&self, bytes: &[u8]) {
        let mut state = self.0.lock();
        if state.wanted && state.text.is_empty() {
            state.text.extend_from_slice(bytes);
        }
    }

    /// The request is not sent once more.
    pub(super) fn forget(&self) {
        *self.0.lock() = State::default();
    }

    fn read_back(&self) -> Option<request::Parts> {
        let text = std::mem::take(&mut self.0.lock().text);
        let lines = text.split(|byte| *byte == b'\n').count();
        let mut fields = vec![httparse::EMPTY_HEADER; lines];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(&text).ok()?;
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
        head.uri = Uri::try_from(parsed.path?).ok()?;
        for field in &*parsed.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            // hyper says so where the server speaks HTTP/1.0: of that connection, and not of another.
            if name != CONNECTION || field.value != b"keep-alive" {
                head.headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
            }
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"GET /a?b=%22 HTTP/1.0\r\nhost: a\r\nte: trailers\r\nconnection: te\r\nx-a: \xe4\r\n\
        x-a: \r\nconnection: keep-alive\r\n\r\nbody";

    #[test]
    fn a_head_is_read_back_as_it_was_before_hyper_had_it() {
        let written = Written::default();
        written.expect(true);
        written.write(TEXT);
        written.write(b"more of the body");
        let head = written.read_back().expect("a head");
        assert_eq!((head.method, head.uri), (Method::GET, Uri::from_static("/a?b=%22")));
        assert_eq!(head.version, http::Version::HTTP_11);
        let fields: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let value = |value: &'static [u8]| HeaderValue::from_bytes(value).expect("a value");
        assert_eq!(fields.len(), 5);
        for field in [("connection", &value(b"te")), ("x-a", &value(b"\xe4")), ("x-a", &value(b""))]
        {
            assert!(fields.contains(&field), "{field:?} in {fields:?}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_not_kept() {
        let written = Written::default();
        written.expect(false);
        written.write(TEXT);
        assert!(written.read_back().is_none());
        written.expect(true);
        written.write(TEXT);
        written.forget();
        assert!(written.read_back().is_none());
    }
}
