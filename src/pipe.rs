//! Pipes, through which bytes go from one socket to another without coming to us (`splice`, in Linux alone).
//!
//! Whoever writes to a client is handed bytes, and of those in a pipe there are none. So it is handed others,
//! which stand in for them: as many, from one block of memory by whose address they are known. What they say is
//! nothing, and they never go out.

use std::{
    io::{self, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::lock::Mutex;

/// All pipes of the house.
#[derive(Debug)]
pub(crate) struct Pipes {
    most: usize,
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

/// So many pipes there may be in a process that may have so many descriptors, of which each takes two.
pub(crate) fn most(descriptors: usize) -> usize {
    (descriptors / PART).min(MOST)
}

impl Pipes {
    /// As many as [`most`] says, of the descriptors that this process may have by now.
    pub(crate) fn new() -> Arc<Self> {
        let (descriptors, _) = rlimit::Resource::NOFILE.get().unwrap_or_default();
        let most =
            if works() { most(usize::try_from(descriptors).unwrap_or(usize::MAX)) } else { 0 };
        Arc::new(Self { most, all: Arc::default(), free: Mutex::default() })
    }

    /// One with nothing in it. None where there are too many, or no descriptors.
    pub(crate) fn empty(self: &Arc<Self>) -> Option<Pipe> {
        let free = self.free.lock().pop();
        let ends = free.or_else(|| Ends::new(self))?;
        Some(Pipe { ends, len: 0, pipes: self.clone() })
    }
}

/// Does the system let bytes go from a socket into a pipe, and from there to a socket? Some sandboxes do not, and
/// an answer that is in a pipe could not come out any more.
fn works() -> bool {
    let once = || -> io::Result<usize> {
        let (mut before, socket) = UnixStream::pair()?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        before.write_all(b"?")?;
        splice(&socket, None, &write, None, 1, SpliceFlags::NONBLOCK)?;
        Ok(splice(&read, None, &socket, None, 1, SpliceFlags::NONBLOCK)?)
    };
    once().is_ok_and(|passed| passed == 1)
}

impl Ends {
    fn new(pipes: &Pipes) -> Option<Arc<Self>> {
        let Pipes { most, all, .. } = pipes;
        let more = |many| (many < *most).then_some(many + 1);
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

/// Bytes in a pipe at most: what is read at once, too, where large bodies are copied.
const STRIDE: usize = 256 * 1024;
/// Pipes that there are at most, each with two descriptors: enough for four times as many large answers at once as
/// a backend has slots unless it is told otherwise, since slow readers keep theirs. Without privileges, Linux grants
/// twice as many of this size to one user.
const MOST: usize = 128;
/// Where descriptors are few, connections need them more: pipes take a sixteenth of them.
const PART: usize = 32;
/// Empty ones that are kept: as many as such a backend has slots.
const KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_an_empty_pipe_serves_others() {
        let pipes = Pipes::new();
        let (mut before, from) = UnixStream::pair().expect("sockets");
        let (to, mut behind) = UnixStream::pair().expect("sockets");
        from.set_nonblocking(true).expect("so set");
        let mut pipe = pipes.empty().expect("a pipe");
        let nothing = pipe.fill(from.as_fd(), 10).expect_err("nothing has come");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        before.write_all(b"some bytes").expect("room");
        assert_eq!(pipe.fill(from.as_fd(), 8).expect("bytes"), 8);
        assert_eq!(pipe.drain(to.as_fd(), 5).expect("room"), 5);
        assert_eq!(pipe.drain(to.as_fd(), 5).expect("room"), 3);
        let mut come = [0; 8];
        behind.read_exact(&mut come).expect("bytes");
        assert_eq!(&come, b"some byt");
        drop(pipe);
        assert_eq!((pipes.free.lock().len(), pipes.all.load(Relaxed)), (1, 1));
        let mut pipe = pipes.empty().expect("the same");
        assert_eq!(pipe.fill(from.as_fd(), 8).expect("bytes"), 2);
        drop(pipe);
        assert_eq!((pipes.free.lock().len(), pipes.all.load(Relaxed)), (0, 0));
        drop(before);
        assert_eq!(pipes.empty().expect("a pipe").fill(from.as_fd(), 8).expect("the end"), 0);
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let pipes = Pipes::new();
        let mut all: Vec<_> = (0..pipes.most).map(|_| pipes.empty().expect("a pipe")).collect();
        assert!(pipes.empty().is_none());
        all.pop();
        all.extend(pipes.empty());
        assert_eq!(all.len(), pipes.most);
        drop(all);
        let kept = KEPT.min(pipes.most);
        assert_eq!((pipes.free.lock().len(), pipes.all.load(Relaxed)), (kept, kept));
        assert_eq!([1_024, 65_536].map(most), [32, 128]);
    }

    #[test]
    fn what_stands_in_is_known_by_where_it_is() {
        let mut pipe = Pipes::new().empty().expect("a pipe");
        pipe.len = 1000;
        let stand_in = pipe.stand_in();
        assert_eq!(stand_in.len(), 1000);
        assert!(is_stand_in(&stand_in) && is_stand_in(&stand_in[999..]));
        assert!(!is_stand_in(&[0; 1000]) && !is_stand_in(&[]));
    }
}
