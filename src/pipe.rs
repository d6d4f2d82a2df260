//! Pipes, through which bytes go from one socket to another without coming to us (`splice`, in Linux alone).
//!
//! Whoever writes to a client is handed bytes, and of those in a pipe there are none. So it is handed others,
//! which stand in for them: as many, from one block of memory by whose address they are known. What they say is
//! nothing, and they never go out.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// All pipes of the house.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    all: Arc<AtomicUsize>,
    free: Mutex<Vec<Arc<Ends>>>,
}

/// A pipe, and how many bytes are in it. Dropped empty, it serves others; else what is in it goes with it.
#[derive(Debug)]
pub(crate) struct Pipe {
    ends: Arc<Ends>,
    len: usize,
    pipes: Arc<Pipes>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    all: Arc<AtomicUsize>,
}

impl Pipes {
    /// One with nothing in it. None where there are too many, or no descriptors.
    pub(crate) fn empty(self: &Arc<Self>) -> Option<Pipe> {
        let free = self.free.lock().pop();
        let ends = free.or_else(|| Ends::new(&self.all))?;
        Some(Pipe { ends, len: 0, pipes: self.clone() })
    }
}

impl Ends {
    fn new(all: &Arc<AtomicUsize>) -> Option<Arc<Self>> {
        let more = |many| (many < MANY).then_some(many + 1);
        all.fetch_update(Relaxed, Relaxed, more).ok()?;
        let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            all.fetch_sub(1, Relaxed);
            return None;
        };
        // Where that is not granted, it goes in smaller strides.
        let _ = fcntl_setpipe_size(&write, STRIDE);
        Some(Arc::new(Self { read, write, all: all.clone() }))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Relaxed);
    }
}

impl Pipe {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes up to `most` bytes from a socket, and gives back how many: zero is the end of what comes. Only into
    /// an empty pipe: so `WouldBlock` says of the socket that nothing is there, and not of the pipe that it is
    /// full.
    pub(crate) fn fill(&mut self, from: BorrowedFd<'_>, most: u64) -> io::Result<usize> {
        debug_assert_eq!(self.len, 0, "only an empty pipe is filled");
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(STRIDE);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        self.len = splice(from, None, &self.ends.write, None, most, flags)?;
        Ok(self.len)
    }

    /// Gives up to `most` bytes to a socket, and gives back how many it took.
    pub(crate) fn drain(&mut self, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let most = most.min(self.len);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let taken = splice(self.ends.read.as_fd(), None, to, None, most, flags)?;
        self.len -= taken;
        Ok(taken)
    }

    /// What stands in for the bytes in it.
    pub(crate) fn stand_in(&self) -> Bytes {
        // On the heap, where what nobody touches takes no memory; constant, it would make the binary larger.
        let block = BLOCK.get_or_init(|| Box::leak(vec![0; STRIDE].into_boxed_slice()));
        Bytes::from_static(&block[..self.len])
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.len == 0 {
            let mut free = self.pipes.free.lock();
            if free.len() < KEPT {
                free.push(self.ends.clone());
            }
        }
    }
}

/// Do these stand in for what is in a pipe?
pub(crate) fn is_stand_in(bytes: &[u8]) -> bool {
    BLOCK.get().is_some_and(|block| block.as_ptr_range().contains(&bytes.as_ptr()))
}

static BLOCK: OnceLock<&'static [u8]> = OnceLock::new();

/// Bytes in a pipe at most. More at once was measured to bring nothing.
const STRIDE: usize = 256 * 1024;
/// Pipes that there are at most, each with two descriptors: enough for four times as many large answers at once as
/// a backend has slots unless it is told otherwise, since slow readers keep theirs. Without privileges, Linux grants
/// twice as many of this size to one user.
const MANY: usize = 128;
/// Empty ones that are kept: as many as such a backend has slots.
const KEPT: usize = 32;
