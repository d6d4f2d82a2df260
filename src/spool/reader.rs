//! Reading a spool, in memory or on disk, as fast as it is written or as slow as one likes.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::Frame;

use super::{End, Piped, Place, Retain, Shared, State, disk};

/// One reader; it keeps what it has not read yet, and only that.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    index: usize,
    from_disk: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send + Sync>>>,
    ended: bool,
}

/// The writer stopped before the end, or the disk did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the body was cut before its end")]
    Cut,
    #[error("the spool cannot be read back: {0}")]
    Disk(io::Error),
    #[error("a part of the body is in a pipe, and nobody here can pass that on")]
    InPipe,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index, from_disk: None, ended: false }
    }

    /// Has everything been read, trailers included?
    pub(crate) fn is_ended(&self) -> bool {
        self.ended || self.shared.state.lock().is_read_up(self.index)
    }

    /// Bytes that have come, and that are gone when this is dropped: nobody else reads them.
    pub(crate) fn unread(&self) -> u64 {
        let state = self.shared.state.lock();
        let alone = state.retain == Retain::Nothing && state.readers.iter().flatten().count() == 1;
        let own = state.readers.get(self.index).and_then(Option::as_ref);
        let piped = state.in_pipe.unread();
        own.filter(|_| alone).map_or(0, |place| state.written - place.offset + piped)
    }

    /// Is `spool.total_memory` nearly used up? Then little is to be taken ahead.
    pub(crate) fn is_short(&self) -> bool {
        self.shared.limits.total_memory.is_short()
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_passed(cx, |_| false)
    }

    /// The same for one that can `pass` on what is in a pipe: it is told, and gets a frame of what stands in for
    /// that. False where it cannot.
    pub(crate) fn poll_passed(
        &mut self,
        cx: &mut Context<'_>,
        pass: impl FnOnce(Box<Piped>) -> bool,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(read) = &mut self.from_disk {
                let bytes = ready!(read.as_mut().poll(cx)).map_err(Broken::Disk);
                self.from_disk = None;
                return Poll::Ready(Some(bytes.map(|bytes| {
                    let mut state = self.shared.state.lock();
                    state.advance(self.index, bytes.len());
                    self.shared.has_room(state);
                    Frame::data(bytes)
                })));
            }
            let mut state = self.shared.state.lock();
            match state.next(self.index, cx) {
                Next::Chunk(chunk) => {
                    state.advance(self.index, chunk.len());
                    self.shared.has_room(state);
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                Next::Disk { offset, end } => {
                    let Some(file) = state.disk.as_ref().map(|disk| (disk.file(), disk.from))
                    else {
                        unreachable!("what is below memory and unread is on disk");
                    };
                    drop(state);
                    let (file, from) = file;
                    let memory = self.shared.limits.total_memory.clone();
                    let read = disk::read(file, offset - from, end - from, memory);
                    self.from_disk = Some(Box::pin(read));
                }
                Next::Piped(piped) => {
                    drop(state);
                    let stand_in = piped.stand_in();
                    let is_passed = pass(piped);
                    let frame = is_passed.then(|| Frame::data(stand_in)).ok_or(Broken::InPipe);
                    return Poll::Ready(Some(frame));
                }
                Next::Wait => return Poll::Pending,
                Next::End(end) => {
                    drop(state);
                    self.ended = true;
                    return Poll::Ready(match end {
                        End::Whole(None) => None,
                        End::Whole(Some(trailers)) => Some(Ok(Frame::trailers(*trailers))),
                        End::Cut => Some(Err(Broken::Cut)),
                    });
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.readers[self.index] = None;
        state.let_go();
        // It tells the spool that it is gone: not under the lock.
        let piped = state.in_pipe.take();
        self.shared.has_room(state);
        drop(piped);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Reader").field("index", &self.index).finish_non_exhaustive()
    }
}

enum Next {
    Piped(Box<Piped>),
    Chunk(Bytes),
    Disk { offset: u64, end: u64 },
    Wait,
    End(End),
}

impl State {
    fn place(&mut self, index: usize) -> &mut Place {
        match self.readers.get_mut(index) {
            Some(Some(place)) => place,
            _ => unreachable!("a reader keeps its place until it is dropped"),
        }
    }

    fn next(&mut self, index: usize, cx: &Context<'_>) -> Next {
        if let Some(piped) = self.in_pipe.take() {
            // All else came behind it.
            return Next::Piped(piped);
        }
        let offset = self.place(index).offset;
        if offset < self.memory_from {
            return Next::Disk { offset, end: self.memory_from };
        }
        let mut from = self.memory_from;
        for chunk in &self.chunks {
            let behind = from + chunk.len() as u64;
            if offset < behind {
                let mut rest = chunk.clone();
                // Lossless: an offset within a chunk is below its length, which is a `usize`.
                rest.advance(usize::try_from(offset - from).unwrap_or(0));
                return Next::Chunk(rest);
            }
            from = behind;
        }
        if let Some(end) = &self.end {
            return Next::End(end.clone());
        }
        let place = self.place(index);
        if !place.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            place.waker = Some(cx.waker().clone());
        }
        Next::Wait
    }

    fn advance(&mut self, index: usize, len: usize) {
        let place = self.place(index);
        place.offset += len as u64;
        let offset = place.offset;
        self.furthest = self.furthest.max(offset);
        self.let_go();
    }

    fn is_read_up(&mut self, index: usize) -> bool {
        let is_all = self.place(index).offset == self.written && self.in_pipe.unread() == 0;
        matches!(self.end, Some(End::Whole(None))) && is_all
    }
}
