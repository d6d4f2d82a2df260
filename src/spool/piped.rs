//! What of a body is in a pipe, on its way from the backend's socket to the client's.
//!
//! For the spool that is written and read: it is in the hand of its one reader, as what hyper has taken ahead of
//! its client is, and nothing of it can go to disk. A pipe is filled when all that came before is read, and what
//! was in the one before is out: so the order is that of the body, and as long as a client keeps pace nothing else
//! is written. Behind one that does not, the spool is written to as ever.

use std::{io, os::fd::BorrowedFd, sync::Arc};

use bytes::Bytes;

use super::{Shared, Spool, budget::Share};
use crate::pipe::Pipe;

/// A part of a body, in a pipe. Counts in `spool.total_memory` for as long.
#[derive(Debug)]
pub(crate) struct Piped {
    pipe: Pipe,
    shared: Arc<Shared>,
    /// The socket has taken nothing for a moment.
    has_stalled: bool,
    _share: Share,
}

/// What of a body is in a pipe.
#[derive(Debug)]
pub(super) enum InPipe {
    Nothing,
    /// Not handed to the reader yet. Boxed: few spools have it.
    Unread(Box<Piped>),
    /// The reader has it.
    Handed,
}

/// May the next part of a body go by pipe?
enum Way {
    Open,
    /// Not yet: the reader has not all of what came before.
    Behind,
    Closed,
}

impl Spool {
    /// May what comes next go through a pipe? Waits for a reader that keeps pace, and for no other.
    pub(crate) async fn takes_pipe(&self) -> bool {
        let mut until = None;
        loop {
            // Registered before the look, so that what is read meanwhile is not missed.
            let room = self.shared.room.notified();
            match self.way() {
                Way::Open => return true,
                Way::Behind => {}
                Way::Closed => return false,
            }
            until = self.patience(until);
            let Some(until) = until else { return false };
            // Boxed, as where it is written to.
            Box::pin(self.wait_for_readers(room, until)).await;
        }
    }

    fn way(&self) -> Way {
        if !self.shared.by_pipe || self.is_short() {
            return Way::Closed;
        }
        let mut state = self.shared.state.lock();
        match state.readers.iter().flatten().next() {
            None => Way::Closed,
            Some(place) if place.offset == state.written && state.in_pipe.is_nothing() => Way::Open,
            Some(_) => {
                state.short = true;
                state.pace.begin();
                Way::Behind
            }
        }
    }

    /// A pipe for it, where there is one.
    pub(crate) fn pipe(&self) -> Option<Pipe> {
        self.shared.limits.pipes.empty()
    }

    /// Appends what is in this pipe, and gives back how many bytes were discarded by that. Only where
    /// [`Self::takes_pipe`] has said so.
    pub(crate) fn pass(&self, pipe: Pipe) -> u64 {
        let len = pipe.len() as u64;
        let mut share = self.shared.limits.total_memory.share();
        share.grow_anyway(len);
        let mut state = self.shared.state.lock();
        state.written += len;
        state.let_go();
        if state.is_unread() {
            return len;
        }
        let written = state.written;
        for place in state.readers.iter_mut().flatten() {
            place.offset = written;
        }
        state.furthest = written;
        let (shared, has_stalled) = (self.shared.clone(), false);
        state.in_pipe =
            InPipe::Unread(Box::new(Piped { pipe, shared, has_stalled, _share: share }));
        state.wake();
        0
    }
}

impl InPipe {
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Bytes that the reader was not handed yet.
    pub(super) fn unread(&self) -> u64 {
        match self {
            Self::Unread(piped) => piped.len() as u64,
            Self::Nothing | Self::Handed => 0,
        }
    }

    /// For the reader, once.
    pub(super) fn take(&mut self) -> Option<Box<Piped>> {
        if self.unread() == 0 {
            return None;
        }
        match std::mem::replace(self, Self::Handed) {
            Self::Unread(piped) => Some(piped),
            Self::Nothing | Self::Handed => None,
        }
    }
}

impl Piped {
    pub(crate) fn len(&self) -> usize {
        self.pipe.len()
    }

    /// Gives up to `most` bytes to a socket, and gives back how many it took.
    pub(crate) fn drain(&mut self, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let drained = self.pipe.drain(to, most);
        let is_full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.has_stalled |= drained.as_ref().is_err_and(is_full);
        drained
    }

    /// What stands in for it where bytes are asked for.
    pub(super) fn stand_in(&self) -> Bytes {
        self.pipe.stand_in()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.in_pipe = InPipe::Nothing;
        if self.pipe.len() == 0 && !self.has_stalled {
            state.pace.went_at_once();
        }
        state.look_whether_caught_up();
        self.shared.has_room(state);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::{Read as _, Write as _},
        os::{fd::AsFd as _, unix::net::UnixStream},
        path::PathBuf,
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        config,
        spool::{End, Reader, Retain, Store},
    };

    fn store() -> Store {
        let (patience, dir) = (Duration::from_secs(100), PathBuf::new());
        let (memory, total_memory, total_disk) = (400, 1 << 20, 1 << 20);
        Store::new(&config::Spool { memory, patience, total_memory, total_disk, dir })
    }

    fn pipe_of(spool: &Spool, bytes: &[u8]) -> Pipe {
        let (mut before, from) = UnixStream::pair().expect("sockets");
        before.write_all(bytes).expect("room");
        let mut pipe = spool.pipe().expect("a pipe");
        assert_eq!(pipe.fill(from.as_fd(), 1000).expect("bytes"), bytes.len());
        pipe
    }

    /// What the reader is handed now, and whether it is in a pipe.
    fn next(reader: &mut Reader) -> Option<(Bytes, Option<Box<Piped>>)> {
        let mut piped = None;
        let frame = poll_fn(|cx| {
            reader.poll_passed(cx, |come| {
                piped = Some(come);
                true
            })
        });
        let frame = frame.now_or_never()??.expect("a frame");
        Some((frame.into_data().expect("data"), piped))
    }

    fn drained(piped: &mut Piped) -> Vec<u8> {
        let (to, mut behind) = UnixStream::pair().expect("sockets");
        let mut come = vec![0; piped.len()];
        piped.drain(to.as_fd(), come.len()).expect("room");
        behind.read_exact(&mut come).expect("bytes");
        come
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_a_pipe_comes_between_what_was_written_before_and_what_is_written_then() {
        let store = store();
        let spool = store.spool_of(Retain::Nothing, true);
        let mut reader = spool.reader();
        spool.write(Bytes::from_static(b"before")).await.expect("room");
        assert!(spool.takes_pipe().now_or_never().is_none(), "the reader has not all yet");
        assert_eq!(next(&mut reader).expect("bytes").0, "before");
        assert!(spool.takes_pipe().await);
        assert_eq!(spool.pass(pipe_of(&spool, b"in a pipe")), 0);
        assert_eq!((reader.unread(), store.held()[0].used), (9, 9));
        assert!(spool.takes_pipe().now_or_never().is_none(), "it is not out yet");
        spool.write(Bytes::from_static(b"behind")).await.expect("room");
        spool.end(End::Whole(None));
        let (stand_in, piped) = next(&mut reader).expect("bytes");
        assert_eq!(stand_in.len(), 9);
        assert_eq!(next(&mut reader).expect("bytes").0, "behind");
        assert!(reader.is_ended());
        let mut piped = piped.expect("a pipe");
        assert_eq!(drained(&mut piped), b"in a pipe");
        drop(piped);
        assert_eq!(store.held()[0].used, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_pace_is_waited_for_and_no_other() {
        let spool = store().spool_of(Retain::Nothing, true);
        let mut reader = spool.reader();
        let mut fill = || {
            assert_eq!(spool.pass(pipe_of(&spool, b"bytes")), 0);
            next(&mut reader).and_then(|(_, piped)| piped).expect("a pipe")
        };
        let since = Instant::now();
        let mut first = fill();
        let (is_taken, ()) = tokio::join!(spool.takes_pipe(), async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            drained(&mut first);
            drop(first);
        });
        assert_eq!((is_taken, since.elapsed().as_secs()), (true, 9));
        let second = fill();
        assert!(!spool.takes_pipe().await);
        assert_eq!(since.elapsed().as_secs(), 19, "a tenth of all patience at a time");
        assert!(!spool.takes_pipe().await);
        assert_eq!(since.elapsed().as_secs(), 19, "and nothing until it has caught up");
        drop(second);
        assert!(spool.takes_pipe().await);
    }

    #[tokio::test]
    async fn what_nobody_takes_any_more_is_discarded() {
        let store = store();
        let spool = store.spool_of(Retain::Nothing, true);
        let reader = spool.reader();
        let late = pipe_of(&spool, b"late");
        assert_eq!(spool.pass(pipe_of(&spool, b"bytes")), 0);
        assert_eq!(reader.unread(), 5);
        drop(reader);
        assert_eq!(store.held()[0].used, 0);
        assert!(!spool.takes_pipe().await);
        assert_eq!((spool.pass(late), spool.written()), (4, 9));
    }

    #[tokio::test]
    async fn who_cannot_pass_it_on_is_handed_an_error_and_what_is_retained_takes_no_pipe() {
        let store = store();
        let spool = store.spool_of(Retain::Nothing, true);
        let mut reader = spool.reader();
        assert_eq!(spool.pass(pipe_of(&spool, b"bytes")), 0);
        let frame = poll_fn(|cx| reader.poll_frame(cx)).await.expect("something");
        assert!(frame.is_err());
        for spool in [store.spool_of(Retain::All, true), store.spool(Retain::Nothing)] {
            let _reader = spool.reader();
            assert!(!spool.takes_pipe().await);
        }
    }
}
