//! The socket as h2 sees it: read in turns, and with its frames counted.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    frames::Frames,
    traffic::{Control, Traffic},
};
use crate::{config::Client, front::io::ClientIo};

/// A small read.
const SMALL: usize = 2 * 1024;

pub(super) struct Io {
    /// Bounds in time, the socket, and what was read of it before HTTP/2 was seen.
    under: Box<ClientIo>,
    traffic: Arc<Traffic>,
    control: Control,
    inward: Frames,
    outward: Frames,
    /// The client sends nothing more.
    ended: bool,
    /// There was more to read than a small read takes.
    busy: bool,
    /// `client.linger`.
    linger: Duration,
}

impl Io {
    pub(super) fn new(under: Box<ClientIo>, traffic: Arc<Traffic>, bounds: &Client) -> Self {
        Self {
            under,
            traffic,
            control: Control::new(bounds.control_frames),
            linger: bounds.linger,
            inward: Frames::behind_preface(),
            outward: Frames::new(),
            ended: false,
            busy: false,
        }
    }

    /// Reads little where there is little to be expected: TLS would touch all of h2's buffer before
    /// it reads, and so give each idle connection memory that it does not need.
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.busy || buf.remaining() < SMALL {
            return self.under.poll_bare_read(cx, buf);
        }
        let mut room = [MaybeUninit::uninit(); SMALL];
        let mut small = ReadBuf::uninit(&mut room);
        ready!(self.under.poll_bare_read(cx, &mut small))?;
        buf.put_slice(small.filled());
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.traffic.read(bytes.len(), now);
        self.control.refill(now);
        let (control, traffic) = (&mut self.control, &self.traffic);
        self.inward.follow(bytes, |frame| {
            if !control.received(frame) {
                traffic.flood();
            }
        });
    }

    /// So many of these bytes are out.
    fn wrote(&mut self, slices: &[IoSlice<'_>], mut written: usize) {
        for slice in slices {
            let out = &slice[..slice.len().min(written)];
            written -= out.len();
            let control = &mut self.control;
            self.outward.follow(out, |frame| control.sent(frame));
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.traffic.may_read() {
            // h2 reads on as long as there is something, and all others of this worker would wait.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(this.poll_some(cx, buf))?;
        let bytes = &buf.filled()[before..];
        this.busy = bytes.len() >= SMALL;
        if bytes.is_empty() {
            this.ended = true;
            return Poll::Ready(Ok(()));
        }
        this.count(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.under.poll_bare_write(cx, slices);
        self.traffic.block(polled.is_pending());
        let written = ready!(polled)?;
        self.wrote(slices, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.under.poll_bare_flush(cx);
        // TLS takes bytes that it cannot pass on.
        self.traffic.block(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let linger = if self.ended { Duration::ZERO } else { self.linger };
        self.under.poll_close(cx, linger)
    }
}
