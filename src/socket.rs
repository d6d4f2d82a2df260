//! A socket, of TCP or of the Unix kind, that writes small messages the cheapest way.
//!
//! Calls are made by rustix, which asks the kernel itself: in a process with threads, the C library looks before and
//! after each whether its thread is to be cancelled. But a read into somebody else's buffer, as hyper's, is tokio's, which
//! alone may leave that without a value before.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    buffer::spare_capacity,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags},
};
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Up to so many bytes, copying several slices into one is cheaper than a vectored write: the
/// kernel takes about 0.3 microseconds longer for it.
const SMALL: usize = 1024;

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The same call on either.
macro_rules! poll {
    ($socket:expr, $call:ident($($argument:expr),*)) => {
        match &mut *$socket {
            Socket::Tcp(stream) => Pin::new(stream).$call($($argument),*),
            Socket::Unix(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

/// The same, where it takes no more than a reference.
macro_rules! of {
    ($socket:expr, $call:ident($($argument:expr),*)) => {
        match $socket {
            Socket::Tcp(stream) => stream.$call($($argument),*),
            Socket::Unix(stream) => stream.$call($($argument),*),
        }
    };
}

impl Socket {
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// More is to come: the client is told at once what has arrived, for until then it may keep the rest
    /// (Nagle).
    pub(crate) fn acknowledge(&self) {
        if let Self::Tcp(stream) = self {
            // Where the socket is gone already, the first read will tell.
            let _ = SockRef::from(stream).set_tcp_quickack(true);
        }
    }

    /// Writes what nothing will follow but our end, by `shutdown`: the kernel keeps the last of it until
    /// then, and both are one segment.
    pub(crate) fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Nothing is held back at a Unix socket, where its end needs no segment.
        let more = if self.is_unix() { SendFlags::empty() } else { SendFlags::MORE };
        self.poll_send(cx, slices, more)
    }

    /// One write.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        flags: SendFlags,
    ) -> Poll<io::Result<usize>> {
        let flags = flags | SendFlags::NOSIGNAL;
        let most = slices.iter().map(|slice| slice.len()).sum();
        self.poll_io(cx, Interest::WRITABLE, |socket| {
            let one = as_one(slices, |bytes| rustix::net::send(socket, bytes, flags));
            let mut nothing = SendAncillaryBuffer::default();
            let len =
                one.unwrap_or_else(|| rustix::net::sendmsg(socket, slices, &mut nothing, flags))?;
            Ok((len, is_part(len, most)))
        })
    }

    /// Ready where there is something to read, or the end, as far as the worker has heard.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of!(self, poll_read_ready(cx))
    }

    /// Is there more to read, or the end, as far as the worker has heard?
    pub(crate) fn has_more(&self) -> bool {
        of!(self, try_io(Interest::READABLE, || Ok(()))).is_ok()
    }

    /// One read into what room is left there; zero is the end.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        to: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let most = to.capacity() - to.len();
        self.poll_io(cx, Interest::READABLE, |socket| {
            let (len, _) = rustix::net::recv(socket, spare_capacity(to), RecvFlags::empty())?;
            Ok((len, is_part(len, most)))
        })
    }

    /// A call once it can do something. With what it did, it says whether it was the last one that could for now, so that
    /// the next one need not be made to see that; `WouldBlock` says that this one could not.
    fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<(T, bool)>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(match interest.is_readable() {
                true => self.poll_readable(cx),
                false => of!(self, poll_write_ready(cx)),
            })?;
            let mut done = None;
            let attempt = || {
                let (value, is_last) = call(self.as_fd())?;
                done = Some(value);
                // By this it is no longer ready.
                if is_last { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            };
            let tried = of!(self, try_io(interest, attempt));
            match (done, tried) {
                (Some(value), _) => return Poll::Ready(Ok(value)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }

    /// To be watched by the present worker from here on.
    pub(crate) async fn moved(self) -> io::Result<Self> {
        // Once it is known to be writable, as it is, so it is whether there is something to read.
        Ok(match self {
            Self::Tcp(stream) => {
                let stream = TcpStream::from_std(stream.into_std()?)?;
                stream.writable().await?;
                Self::Tcp(stream)
            }
            Self::Unix(stream) => {
                let stream = UnixStream::from_std(stream.into_std()?)?;
                stream.writable().await?;
                Self::Unix(stream)
            }
        })
    }

    /// Resolves when it was reset, be it behind the other side's end. False where that is not told apart.
    pub(crate) async fn was_reset(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await.is_ok(),
            Self::Unix(_) => false,
        }
    }

    /// Takes by other means than reading what is there, once there is something. `WouldBlock` says that there is
    /// nothing more.
    pub(crate) fn poll_taken<T>(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_io(cx, Interest::READABLE, |socket| Ok((take(socket)?, false)))
    }

    /// Gives it something by other means than writing, once it takes something. `WouldBlock` says that it takes
    /// nothing more.
    pub(crate) fn poll_given<T>(
        &self,
        cx: &mut Context<'_>,
        mut give: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_io(cx, Interest::WRITABLE, |socket| Ok((give(socket)?, false)))
    }

    /// Looks at what comes first, without taking it, once it is more than `seen`. No more than that,
    /// and it is the end.
    pub(crate) async fn peek(&self, room: &mut [u8], seen: usize) -> io::Result<usize> {
        loop {
            let ready = match self {
                Self::Tcp(stream) => stream.ready(Interest::READABLE).await?,
                Self::Unix(stream) => stream.ready(Interest::READABLE).await?,
            };
            let look = || {
                let (len, _) = rustix::net::recv(self.as_fd(), &mut *room, RecvFlags::PEEK)?;
                // Else what was seen would count as news for ever.
                if len > seen || len == 0 { Ok(len) } else { Err(io::ErrorKind::WouldBlock.into()) }
            };
            let looked = of!(self, try_io(Interest::READABLE, look));
            match looked {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if ready.is_read_closed() => return Ok(seen),
                Err(_) => {}
                Ok(len) => return Ok(len),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(bytes)], SendFlags::empty())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, slices, SendFlags::empty())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_shutdown(cx))
    }
}

/// It is all there was, or all that was taken: the next call would do nothing.
fn is_part(len: usize, most: usize) -> bool {
    0 < len && len < most
}

/// Writes them as one, where that is cheaper.
fn as_one<T>(slices: &[IoSlice<'_>], write: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if let [only] = slices {
        return Some(write(only));
    }
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return None;
    }
    // No array, which would be zeroed before.
    let mut copy = SmallVec::<[u8; SMALL]>::new();
    for slice in slices {
        copy.extend_from_slice(slice);
    }
    Some(write(&copy))
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    async fn pairs() -> [(Socket, Socket); 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dialled = TcpStream::connect(listener.local_addr().expect("an address")).await;
        let (accepted, _) = listener.accept().await.expect("who has dialled");
        let (one, other) = UnixStream::pair().expect("two");
        let tcp = (Socket::Tcp(dialled.expect("a connection")), Socket::Tcp(accepted));
        [tcp, (Socket::Unix(one), Socket::Unix(other))]
    }

    /// Many slices at once, as far as they are taken, until nothing more is.
    fn write_on(socket: &mut Socket, cx: &mut Context<'_>, sent: &mut usize) -> Poll<()> {
        let piece = [b'x'; 3000];
        loop {
            let slices = [IoSlice::new(&piece); 20];
            match Pin::new(&mut *socket).poll_write_vectored(cx, &slices) {
                Poll::Ready(len) => *sent += len.expect("written"),
                Poll::Pending => return Poll::Pending,
            }
            if *sent > 40_000_000 {
                return Poll::Ready(());
            }
        }
    }

    #[tokio::test]
    async fn who_could_write_but_a_part_is_woken_when_more_is_taken() {
        for (mut writer, reader) in pairs().await {
            let (mut sent, mut taken) = (0, 0);
            let wrote = async {
                poll_fn(|cx| write_on(&mut writer, cx, &mut sent)).await;
                writer.shutdown().await.expect("its end");
            };
            let read = async {
                let mut room = Vec::with_capacity(10_000);
                while poll_fn(|cx| reader.poll_recv(cx, &mut room)).await.expect("read") > 0 {
                    taken += room.len();
                    room.clear();
                }
            };
            let both = async { tokio::join!(wrote, read) };
            timeout(Duration::from_secs(20), both).await.expect("all of it");
            assert_eq!(sent, taken);
        }
    }

    #[tokio::test]
    async fn what_comes_with_the_end_is_read_before_it() {
        for (mut writer, mut reader) in pairs().await {
            writer.write_all(b"half").await.expect("written");
            writer.shutdown().await.expect("its end");
            let mut room = Vec::with_capacity(64);
            for len in [4, 0, 0] {
                let read = poll_fn(|cx| reader.poll_recv(cx, &mut room));
                let read = timeout(Duration::from_secs(5), read).await.expect("no wait");
                assert_eq!(read.expect("read"), len);
            }
            assert_eq!(room, b"half");
            let mut rest = Vec::new();
            reader.write_all(b"answered").await.expect("the other way is open");
            drop(reader);
            writer.read_to_end(&mut rest).await.expect("read");
            assert_eq!(rest, b"answered");
        }
    }

    #[tokio::test]
    async fn a_writer_without_a_reader_hears_of_it() {
        for (mut writer, reader) in pairs().await {
            drop(reader);
            let mut written = Ok(());
            for _ in 0..100 {
                written = writer.write_all(b"for nobody").await;
                tokio::task::yield_now().await;
            }
            let error = written.expect_err("nobody is there");
            let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    }
}
