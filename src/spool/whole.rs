//! Bodies that have come whole, in one piece: they need no spool.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::{Broken, Piped, Reader, Store, state::LARGE};

/// The body of an answer, for one who reads it.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it, until it is taken.
    Whole(Bytes),
    /// As it comes.
    Spooled(Reader),
}

impl Store {
    /// A body that is there, in a piece that keeps so many bytes of memory. A large one counts as long as
    /// anybody has it, as in a spool.
    pub(crate) fn whole(&self, body: Bytes, kept: u64) -> Body {
        let is_large = body.len() >= LARGE;
        Body::Whole(if is_large { self.limits.total_memory.counted(body, kept) } else { body })
    }
}

impl Body {
    /// Has everything been read, trailers included?
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Spooled(reader) => reader.is_ended(),
        }
    }

    /// Bytes that have come, and that are gone when this is dropped: nobody else reads them.
    pub(crate) fn unread(&self) -> u64 {
        match self {
            Self::Whole(body) => body.len() as u64,
            Self::Spooled(reader) => reader.unread(),
        }
    }

    /// Is it to be taken only as fast as the client does? What is whole is small.
    pub(crate) fn is_short(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Spooled(reader) => reader.is_short(),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_passed(cx, |_| false)
    }

    /// The same for one that can `pass` on what is in a pipe.
    pub(crate) fn poll_passed(
        &mut self,
        cx: &mut Context<'_>,
        pass: impl FnOnce(Box<Piped>) -> bool,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Spooled(reader) => reader.poll_passed(cx, pass),
        }
    }
}
