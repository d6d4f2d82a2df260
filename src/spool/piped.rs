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
    _share: Share,
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
            Some(place) if place.offset == state.written && !state.in_pipe => Way::Open,
            Some(_) => {
                state.short = true;
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
        state.in_pipe = true;
        state.piped = Some(Box::new(Piped { pipe, shared: self.shared.clone(), _share: share }));
        state.wake();
        0
    }
}

impl Piped {
    pub(crate) fn len(&self) -> usize {
        self.pipe.len()
    }

    /// Gives up to `most` bytes to a socket, and gives back how many it took.
    pub(crate) fn drain(&mut self, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.pipe.drain(to, most)
    }

    /// What stands in for it where bytes are asked for.
    pub(super) fn stand_in(&self) -> Bytes {
        self.pipe.stand_in()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.in_pipe = false;
        state.look_whether_caught_up();
        self.shared.has_room(state);
    }
}
