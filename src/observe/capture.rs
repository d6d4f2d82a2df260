//! What is taken down of a request and of what its client was answered, for the inspector: both heads,
//! and the beginnings of both bodies. What is secret is masked before it is kept.

use http::{HeaderMap, HeaderName, Version, request, uri::PathAndQuery};

use super::{recent::Recent, record::Facts};
use crate::lock::{Mutex, MutexGuard};

/// Of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    pub request: Option<RequestHead>,
    pub request_body: Body,
    /// The fields of the answer.
    pub answer: Option<Vec<Field>>,
    pub answer_body: Body,
    /// There was no more room for some of it.
    pub is_short: bool,
    /// What it is charged.
    pub(super) bytes: u64,
}

/// As it came. Method and target are told by the facts.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    pub version: Version,
    /// Over TLS.
    pub is_secure: bool,
    /// Of the target, where that names one: of HTTP/2, or in absolute form.
    pub authority: Option<Box<str>>,
    /// The target of the facts is not what it was.
    pub is_target_masked: bool,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: HeaderName,
    /// A copy, since a slice would keep the whole read buffer.
    pub value: Box<[u8]>,
    /// The value is not what it was.
    pub is_masked: bool,
}

/// Its first bytes, and how many there were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    pub begin: Vec<u8>,
    pub len: u64,
}

/// Takes down what comes, within the bounds of [`Recent`].
#[derive(Debug)]
pub(crate) struct Capturing<'a> {
    recent: &'a Recent,
    capture: MutexGuard<'a, Capture>,
}

impl<'a> Capturing<'a> {
    pub(super) fn new(recent: &'a Recent, capture: &'a Mutex<Capture>) -> Self {
        Self { recent, capture: capture.lock() }
    }

    /// So far.
    pub(crate) fn told(&self) -> &Capture {
        &self.capture
    }

    pub(crate) fn request(&mut self, head: &request::Parts, facts: &Facts, is_secure: bool) {
        let authority = head.uri.authority().map(|authority| authority.as_str().into());
        let Some(fields) = self.fields(&head.headers) else { return };
        let target = head.uri.path_and_query().map(PathAndQuery::as_str);
        self.capture.request = Some(RequestHead {
            version: head.version,
            is_secure,
            authority,
            is_target_masked: target.is_some() && facts.path() != target,
            fields,
        });
    }

    pub(crate) fn request_body(&mut self, chunk: &[u8]) {
        self.body(|capture| &mut capture.request_body, chunk);
    }

    pub(crate) fn answer(&mut self, fields: &HeaderMap) {
        self.capture.answer = self.fields(fields);
    }

    pub(crate) fn answer_body(&mut self, chunk: &[u8]) {
        self.body(|capture| &mut capture.answer_body, chunk);
    }

    fn fields(&mut self, fields: &HeaderMap) -> Option<Vec<Field>> {
        let size = |(name, value): (&HeaderName, &http::HeaderValue)| {
            size_of::<Field>() + name.as_str().len() + value.len()
        };
        if !self.charge(fields.iter().map(size).sum()) {
            return None;
        }
        let mask = self.recent.mask();
        let field = |(name, value): (&HeaderName, &http::HeaderValue)| {
            let masked = mask.of(name, value.as_bytes());
            Field {
                name: name.clone(),
                is_masked: masked.is_some(),
                value: masked.map_or_else(|| value.as_bytes().into(), Vec::into_boxed_slice),
            }
        };
        Some(fields.iter().map(field).collect())
    }

    fn body(&mut self, which: fn(&mut Capture) -> &mut Body, chunk: &[u8]) {
        let body = which(&mut self.capture);
        let room = self.recent.body_room(body.begin.len());
        // What is kept are the first bytes, without a gap.
        let is_whole = body.begin.len() as u64 == body.len;
        body.len += chunk.len() as u64;
        let taken = &chunk[..room.min(chunk.len())];
        if is_whole && !taken.is_empty() && self.charge(taken.len()) {
            let begin = &mut which(&mut self.capture).begin;
            begin.reserve_exact(taken.len());
            begin.extend_from_slice(taken);
        }
    }

    fn charge(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let fits = self.recent.charge(bytes);
        match fits {
            true => self.capture.bytes += bytes,
            false => self.capture.is_short = true,
        }
        fits
    }
}

impl Body {
    pub(crate) fn is_whole(&self) -> bool {
        self.begin.len() as u64 == self.len
    }
}
