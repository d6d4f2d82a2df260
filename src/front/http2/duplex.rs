//! A stream as one end of a tunnel (RFC 8441): its DATA frames are the bytes, `END_STREAM` is the FIN, and
//! `RST_STREAM` the reset (section 5).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Stream;

pub(super) struct StreamEnd {
    from: RecvStream,
    to: SendStream<Bytes>,
    /// Of a frame that was not read to its end.
    ahead: Bytes,
    is_shut: bool,
    /// The connection's task goes on as long as its streams are known.
    _stream: Arc<Stream>,
}

impl StreamEnd {
    pub(super) fn new(from: RecvStream, to: SendStream<Bytes>, stream: Arc<Stream>) -> Self {
        Self { from, to, ahead: Bytes::new(), is_shut: false, _stream: stream }
    }
}

impl AsyncRead for StreamEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ahead.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => self.ahead = bytes,
                Some(Err(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
            }
        }
        let len = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        // Fails where the stream is gone, and then there is nothing to give back to.
        let _ = self.from.flow_control().release_capacity(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.to.reserve_capacity(bytes.len());
        let room = match self.to.capacity() {
            0 => match ready!(self.to.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => room,
        };
        let part = Bytes::copy_from_slice(&bytes[..room.min(bytes.len())]);
        let len = part.len();
        let sent = self.to.send_data(part, false);
        Poll::Ready(sent.map(|()| len).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // h2 writes what it has as soon as it can.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.is_shut, true) {
            return Poll::Ready(Ok(()));
        }
        let sent = self.to.send_data(Bytes::new(), true);
        Poll::Ready(sent.map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

impl Drop for StreamEnd {
    /// `END_STREAM` would look like the end of what was to come.
    fn drop(&mut self) {
        if !self.is_shut {
            self.to.send_reset(Reason::CANCEL);
        }
    }
}
