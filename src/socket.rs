//! A socket, of TCP or of the Unix kind, that writes small messages the cheapest way.

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
        self.poll_part(cx, Interest::WRITABLE, most, |socket| {
            if let Some(sent) = as_one(slices, |bytes| rustix::net::send(socket, bytes, flags)) {
                return sent;
            }
            rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)
        })
    }

    /// One read into what room is left there; zero is the end.
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        to: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let most = to.capacity() - to.len();
        self.poll_part(cx, Interest::READABLE, most, |socket| {
            let (len, _) = rustix::net::recv(socket, spare_capacity(to), RecvFlags::empty())?;
            Ok(len)
        })
    }

    /// One call that may do a part of what is asked. It is the kernel's own, and not that of the C library, which in a
    /// process with threads looks before and after it whether this one is to be cancelled.
    fn poll_part(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        most: usize,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match interest.is_readable() {
                true => of!(self, poll_read_ready(cx)),
                false => of!(self, poll_write_ready(cx)),
            })?;
            let mut done = None;
            let tried = of!(
                self,
                try_io(interest, || {
                    let len = call(self.as_fd())?;
                    done = Some(len);
                    // A part is all there is now: so much is known without another call.
                    if 0 < len && len < most {
                        Err(io::ErrorKind::WouldBlock.into())
                    } else {
                        Ok(())
                    }
                })
            );
            match (done, tried) {
                (Some(len), _) => return Poll::Ready(Ok(len)),
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
        loop {
            ready!(of!(self, poll_read_ready(cx)))?;
            match of!(self, try_io(Interest::READABLE, || take(self.as_fd()))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                taken => return Poll::Ready(taken),
            }
        }
    }

    /// Gives it something by other means than writing, once it takes something. `WouldBlock` says that it takes
    /// nothing more.
    pub(crate) fn poll_given<T>(
        &self,
        cx: &mut Context<'_>,
        mut give: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(of!(self, poll_write_ready(cx)))?;
            match of!(self, try_io(Interest::WRITABLE, || give(self.as_fd()))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                given => return Poll::Ready(given),
            }
        }
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

/// Writes them as one, where that is cheaper.
fn as_one<T>(slices: &[IoSlice<'_>], write: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if let [only] = slices {
        return Some(write(only));
    }
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return None;
    }
    let (mut copy, mut len) = ([0; SMALL], 0);
    for slice in slices {
        copy[len..len + slice.len()].copy_from_slice(slice);
        len += slice.len();
    }
    Some(write(&copy[..len]))
}
