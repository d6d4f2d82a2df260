//! What comes of an exchange over a connection to the backend: interim answers (RFC 9110, section
//! 15.2), the head of the answer, its body (RFC 9112, sections 6 and 7). Bytes in, meaning out.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, response};

use super::head::{self, Head, LONGEST, Length, Malformed};

/// One answer at a time, and what has come of it.
#[derive(Debug)]
pub(super) struct Inbound {
    /// What has come, and was not taken yet.
    come: Bytes,
    /// So much of that was looked at, and is no whole head.
    looked_at: usize,
    body: Body,
    /// The answer is to HEAD, and so has no body whatever it says.
    bodyless: bool,
    /// The connection may serve another exchange after this.
    is_kept: bool,
    /// The last answer was of HTTP/1.0.
    pub speaks_http10: bool,
}

/// A part of an answer's body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The last one. Boxed: hardly any body has it, and it is large.
    Trailers(Box<HeaderMap>),
}

/// How far a body is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Ended,
    Length(u64),
    /// The line before a chunk is to come.
    ChunkSize,
    Chunk(u64),
    /// The end of the line behind a chunk is to come.
    ChunkEnd,
    Trailers,
    /// Its end is that of the connection.
    UntilClose,
    /// Said where none may be; the backend closes after it, if it sends it.
    Loose,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            come: Bytes::new(),
            looked_at: 0,
            body: Body::Ended,
            bodyless: false,
            is_kept: true,
            speaks_http10: false,
        }
    }

    /// A request is about to be sent.
    pub(super) fn expect(&mut self, bodyless: bool, is_kept: bool) {
        self.bodyless = bodyless;
        self.is_kept = is_kept;
    }

    /// These bytes have come.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if self.come.is_empty() {
            self.come = Bytes::copy_from_slice(bytes);
            return;
        }
        let mut come = match std::mem::take(&mut self.come).try_into_mut() {
            Ok(come) => come,
            Err(come) => BytesMut::from(&come[..]),
        };
        come.extend_from_slice(bytes);
        self.come = come.freeze();
    }

    /// The same without a copy, where nothing else waits to be taken.
    pub(super) fn hear_all(&mut self, bytes: Bytes) {
        match self.come.is_empty() {
            true => self.come = bytes,
            false => self.hear(&bytes),
        }
    }

    /// The head of the answer, once it is whole. Interim answers before it are told; `100 Continue` was
    /// for nobody but us.
    pub(super) fn head(
        &mut self,
        mut interim: impl FnMut(Response<()>),
    ) -> Result<Option<response::Parts>, Malformed> {
        loop {
            if !self.has_line() {
                return Ok(None);
            }
            let Some(Head { parts, length, is_kept }) = head::read(&mut self.come)? else {
                return Ok(None);
            };
            self.looked_at = 0;
            if self.come.is_empty() {
                self.come = Bytes::new();
            }
            match parts.status {
                StatusCode::CONTINUE => continue,
                StatusCode::SWITCHING_PROTOCOLS => {}
                status if status.is_informational() => {
                    interim(Response::from_parts(parts, ()));
                    continue;
                }
                _ => {}
            }
            self.speaks_http10 = parts.version == http::Version::HTTP_10;
            self.body = self.body_of(parts.status, length);
            // Behind an answer that ends with its connection, or has left HTTP, there is none. And some
            // send a body where none may be: one that is said may come later, behind the next request.
            let is_last = self.body == Body::UntilClose || parts.status.is_informational();
            let is_said = !matches!(length, Length::Unsaid | Length::Bytes(0));
            let is_loose = self.body == Body::Ended && is_said;
            if is_loose && !is_kept {
                self.body = Body::Loose;
            }
            self.is_kept &= is_kept && !is_last && !is_loose;
            return Ok(Some(parts));
        }
    }

    /// Is it worth to look at a head that has not been whole so far? It may come byte by byte, and is to
    /// be refused with the first line that is none.
    fn has_line(&mut self) -> bool {
        let from = std::mem::replace(&mut self.looked_at, self.come.len());
        let news = &self.come[from..];
        !news.is_empty() && (from == 0 || news.contains(&b'\n') || self.come.len() > LONGEST)
    }

    /// RFC 9112, section 6.3.
    fn body_of(&self, status: StatusCode, length: Length) -> Body {
        let bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if self.bodyless || bare || status.is_informational() {
            return Body::Ended;
        }
        match length {
            Length::Bytes(0) => Body::Ended,
            Length::Bytes(bytes) => Body::Length(bytes),
            Length::Chunked => Body::ChunkSize,
            Length::Coded | Length::Unsaid => Body::UntilClose,
        }
    }

    /// What has come of the body. None: nothing more for now, or it has ended.
    pub(super) fn piece(&mut self) -> Result<Option<Piece>, Malformed> {
        loop {
            if self.come.is_empty() {
                // Empty, it would still hold all that was read with it, for as long as nothing comes.
                self.come = Bytes::new();
                return Ok(None);
            }
            match &mut self.body {
                Body::Ended | Body::Loose => return Ok(None),
                Body::UntilClose => {
                    return Ok(Some(Piece::Data(std::mem::take(&mut self.come))));
                }
                Body::Length(left) => {
                    let data = take(&mut self.come, left);
                    if *left == 0 {
                        self.body = Body::Ended;
                    }
                    return Ok(Some(Piece::Data(data)));
                }
                Body::Chunk(left) => {
                    let data = take(&mut self.come, left);
                    if *left == 0 {
                        self.body = Body::ChunkEnd;
                    }
                    return Ok(Some(Piece::Data(data)));
                }
                Body::ChunkSize => {
                    let start = &self.come[..self.come.len().min(LINE)];
                    let Some(end) = start.iter().position(|byte| *byte == b'\n') else {
                        let is_long = start.len() == LINE;
                        return if is_long { Err(Malformed::Chunk) } else { Ok(None) };
                    };
                    let line = self.come.split_to(end + 1);
                    self.body = match chunk_size(&line)? {
                        0 => Body::Trailers,
                        size => Body::Chunk(size),
                    };
                }
                Body::ChunkEnd => match &self.come[..] {
                    [b'\r', b'\n', ..] => {
                        self.come.advance(2);
                        self.body = Body::ChunkSize;
                    }
                    [b'\r'] => return Ok(None),
                    _ => return Err(Malformed::Chunk),
                },
                Body::Trailers => {
                    let Some(trailers) = head::read_trailers(&mut self.come)? else {
                        return Ok(None);
                    };
                    self.body = Body::Ended;
                    let has_some = !trailers.is_empty();
                    return Ok(has_some.then(|| Piece::Trailers(Box::new(trailers))));
                }
            }
        }
    }

    /// How much of the body is to come, where that is known, and it is not behind something that has come already.
    pub(super) fn left(&self) -> u64 {
        match self.body {
            Body::Length(left) if self.come.is_empty() => left,
            _ => 0,
        }
    }

    /// So much of that has come, and was passed on without us.
    pub(super) fn passed(&mut self, len: u64) {
        if let Body::Length(left) = &mut self.body {
            *left = left.saturating_sub(len);
            if *left == 0 {
                self.body = Body::Ended;
            }
        }
    }

    /// The connection has ended. Does that end the body as it should?
    pub(super) fn close(&mut self) -> bool {
        self.is_kept = false;
        if self.body == Body::UntilClose {
            self.body = Body::Ended;
        }
        self.is_read()
    }

    /// The connection serves no other exchange, and what comes over it is for nobody.
    pub(super) fn spoil(&mut self) {
        self.is_kept = false;
        self.come = Bytes::new();
    }

    /// Does a body perhaps come where none may be?
    pub(super) fn is_loose(&self) -> bool {
        self.body == Body::Loose
    }

    /// Is the body at its end?
    pub(super) fn is_read(&self) -> bool {
        matches!(self.body, Body::Ended | Body::Loose)
    }

    /// Is the answer at its end, and may another one come? What is there already is an answer to nobody.
    pub(super) fn is_ready(&self) -> bool {
        self.is_kept && self.is_read() && self.come.is_empty()
    }

    /// What has come and is no HTTP any more.
    pub(super) fn into_rest(self) -> Bytes {
        self.come
    }
}

fn take(come: &mut Bytes, left: &mut u64) -> Bytes {
    // Lossless: no more than there is.
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(come.len());
    *left -= len as u64;
    come.split_to(len)
}

/// RFC 9112, section 7.1. What extensions say is for this hop alone.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed::Chunk)?;
    if line.contains(&b'\r') {
        return Err(Malformed::Chunk);
    }
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let size = std::str::from_utf8(size).ok().map(|size| size.trim_end_matches([' ', '\t']));
    // A number may have a sign, which a size has not.
    let size = size.filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
    size.and_then(|size| u64::from_str_radix(size, 16).ok()).ok_or(Malformed::Chunk)
}

/// Bytes of the line before a chunk.
const LINE: usize = 4096;

/// Reads the head of an answer that comes whole.
#[cfg(feature = "steps")]
#[must_use]
pub fn head_of(bytes: &[u8]) -> Option<response::Parts> {
    let mut inbound = Inbound::new();
    inbound.hear(bytes);
    inbound.head(drop).ok()?
}

/// What is made of a stream that comes in these pieces and then ends.
#[cfg(feature = "fuzzing")]
pub(crate) fn of_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Told> {
    let (mut inbound, mut told) = (Inbound::new(), Told::default());
    let mut is_answered = false;
    for piece in pieces {
        inbound.hear(piece);
        if !is_answered {
            let Some(head) = inbound.head(|head| told.heads.push(head)).ok()? else { continue };
            told.heads.push(Response::from_parts(head, ()));
            is_answered = true;
        }
        while let Some(piece) = inbound.piece().ok()? {
            match piece {
                Piece::Data(data) => told.body.extend_from_slice(&data),
                Piece::Trailers(trailers) => told.trailers = Some(*trailers),
            }
        }
    }
    if !is_answered {
        // Of the pieces, lines alone were looked at.
        inbound.looked_at = 0;
        inbound.head(|_| ()).ok()?;
    }
    told.is_whole = is_answered && inbound.close();
    Some(told)
}

/// What is told of a stream, to fuzzers.
#[cfg(feature = "fuzzing")]
#[derive(Debug, Default)]
pub struct Told {
    /// Of interim answers, then of the answer.
    pub heads: Vec<Response<()>>,
    /// Of the answer.
    pub body: Vec<u8>,
    /// Behind the body.
    pub trailers: Option<HeaderMap>,
    /// It has come to its end.
    pub is_whole: bool,
}

#[cfg(test)]
mod tests;
