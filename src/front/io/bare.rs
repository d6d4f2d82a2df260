//! The same socket for those who do not speak HTTP/1 over it.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{ClientIo, State};

/// Read ahead at once: the size of hyper's first buffer, so that a head costs no more reads than if
/// hyper had done it.
const READ: usize = 8 * 1024;

impl ClientIo {
    pub(in crate::front) fn is_http2_agreed(&self) -> bool {
        self.transport.is_http2_agreed()
    }

    /// What was read, and is to be read again.
    pub(in crate::front) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads more of it; false where nothing more comes.
    pub(in crate::front) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // On the stack: a silent connection has no buffer.
        let mut room = [MaybeUninit::uninit(); READ];
        let mut buf = ReadBuf::uninit(&mut room);
        let before = std::mem::take(&mut self.ahead);
        let polled = Pin::new(&mut *self).poll_read(cx, &mut buf);
        self.ahead = match before.is_empty() {
            true => Bytes::copy_from_slice(buf.filled()),
            false => [&before, buf.filled()].concat().into(),
        };
        polled.map_ok(|()| !buf.filled().is_empty())
    }

    /// What hyper has read, and is to be read again.
    pub(in crate::front) fn put_back(&mut self, bytes: Bytes) {
        // Empty, they may still hold a buffer.
        if !bytes.is_empty() {
            // A part of a head may have come together with the request before.
            self.look(&bytes);
            let behind = std::mem::take(&mut self.ahead);
            self.ahead = if behind.is_empty() { bytes } else { [bytes, behind].concat().into() };
        }
    }

    pub(super) fn read_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        if self.ahead.is_empty() {
            // Else it would hold its memory as long as the connection lives.
            self.ahead = Bytes::new();
        }
    }

    /// Reads, with no bound in time.
    pub(in crate::front) fn poll_bare_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.read_ahead(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.transport).poll_read(cx, buf));
        match &read {
            Ok(()) if buf.filled().len() > before => {}
            Ok(()) => self.connection.note("client closed the connection"),
            Err(_) => self.connection.note("client reset the connection"),
        }
        Poll::Ready(read)
    }

    /// Writes, within `client.write_stall`.
    pub(in crate::front) fn poll_bare_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |transport, cx| transport.poll_write_vectored(cx, slices))
    }

    pub(in crate::front) fn poll_bare_flush(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_through(cx)
    }

    /// Shuts our side, and reads on for so long; then it is to be dropped. Closing a socket with bytes
    /// unread resets it, and a reset can overtake our last words.
    pub(in crate::front) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        linger: Duration,
    ) -> Poll<io::Result<()>> {
        if let State::Lingering(until) = self.state {
            return self.poll_linger(cx, until);
        }
        if linger.is_zero() && self.transport.is_plain() && !self.is_held {
            // It is closed now, which says the same. Not where the kernel still keeps the answer: a client that
            // has sent more than its request would have a reset in its place.
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.transport).poll_shutdown(cx) {
            Poll::Ready(shut) => shut?,
            // TLS has a last word, for which there may be no room.
            Poll::Pending => return self.poll_stalled(cx).map(Err),
        }
        if linger.is_zero() {
            return Poll::Ready(Ok(()));
        }
        let until = Instant::now() + linger;
        self.state = State::Lingering(until);
        self.poll_linger(cx, until)
    }
}
