//! The socket of one connection to the backend, as hyper sees it; and how hyper's buffers are
//! given back while an orphan waits for its answer.
//!
//! They are most of what an orphan costs: about 28 KiB against 9. hyper cannot let go of them in
//! the middle of an exchange, but its connection can be taken apart once the request is out. When
//! the answer comes, a new one is put over the socket and told of a stand-in for the request, of
//! which no byte reaches the backend: it is there so that hyper reads the answer as one.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::Response;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    again::Written,
    driver::News,
    interim::{self, Next, Prelude},
};
use crate::socket::Socket;

/// Interim answers that wait to be told; those beyond are dropped.
const INTERIMS: usize = 8;

#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    progress: Arc<Progress>,
    news: News,
    /// What hyper had read of the answer before it was taken apart.
    begun: Bytes,
    /// While there may be interim answers to come.
    prelude: Option<Box<Prelude>>,
    play: Play,
}

/// How far the present exchange is, as only the socket knows.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// hyper's write buffer is empty: all that it was given to send is the kernel's.
    pub(super) flushed: AtomicBool,
    /// Bytes have come.
    pub(super) heard: AtomicBool,
    /// Bytes have left.
    pub(super) sent: AtomicBool,
    /// The head of the request.
    pub(super) written: Written,
    /// Interim answers have come that nobody has been told yet.
    has_interims: AtomicBool,
    interims: Mutex<Vec<Response<()>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Play {
    /// Bytes pass.
    Live,
    /// The stand-in is to come. Nothing may be read before: hyper takes that for no answer.
    StandInComes,
    /// The stand-in is swallowed as it comes.
    StandInCame,
}

impl Progress {
    /// Tells of the interim answers that have come since.
    pub(super) fn tell(&self, tell: impl Fn(Response<()>)) {
        if self.has_interims.load(Relaxed) {
            self.has_interims.store(false, Relaxed);
            std::mem::take(&mut *self.interims.lock()).into_iter().for_each(tell);
        }
    }

    fn interim(&self, response: Response<()>) {
        let mut interims = self.interims.lock();
        // Nobody takes them while an orphan is parked.
        if interims.len() < INTERIMS {
            interims.push(response);
            self.has_interims.store(true, Relaxed);
        }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.flushed.store(false, Relaxed);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.sent.store(true, Relaxed);
        }
    }
}

impl Wire {
    pub(super) fn new(socket: Socket, progress: Arc<Progress>, news: News) -> Self {
        Self { socket, progress, news, begun: Bytes::new(), prelude: None, play: Play::Live }
    }

    /// Waits until there is something to read, and makes ready for the stand-in.
    pub(super) async fn park(self, begun: Bytes) -> Self {
        if begun.is_empty() {
            // An error is found again by the read that follows.
            let _ = self.socket.readable().await;
        }
        Self { begun, play: Play::StandInComes, ..self }
    }

    /// Takes back what was read ahead of its time.
    pub(super) fn resume(self, begun: Bytes) -> Self {
        Self { begun, ..self }
    }

    /// Bytes of the answer have come.
    fn hear(&mut self, bytes: &[u8]) {
        if !self.progress.heard.load(Relaxed) {
            self.progress.heard.store(true, Relaxed);
            self.prelude = interim::may_begin(bytes).then(Box::default);
        }
        if let Some(prelude) = &mut self.prelude
            && let Next::Answer = prelude.read(bytes, |response| self.progress.interim(response))
        {
            self.prelude = None;
        }
    }

    fn swallow(&mut self, cx: &Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        self.play = Play::StandInCame;
        // hyper has found nothing to read so far, and now may.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(len))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.play == Play::StandInComes {
            return Poll::Pending;
        }
        if !self.begun.is_empty() {
            let len = self.begun.len().min(buf.remaining());
            buf.put_slice(&self.begun[..len]);
            self.begun.advance(len);
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        this.play = Play::Live;
        let before = buf.filled().len();
        let polled = this.news.read(cx, |cx| Pin::new(&mut this.socket).poll_read(cx, buf));
        if buf.filled().len() > before {
            this.hear(&buf.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.play != Play::Live {
            return self.swallow(cx, bytes.len());
        }
        self.progress.written.write(bytes);
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.progress.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.play != Play::Live {
            let len = slices.iter().map(|slice| slice.len()).sum();
            return self.swallow(cx, len);
        }
        if let [head, ..] = slices {
            self.progress.written.write(head);
        }
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.progress.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper calls this when it has nothing left to write; a socket itself holds nothing back.
        self.progress.flushed.store(true, Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
