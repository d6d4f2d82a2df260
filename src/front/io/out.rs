//! Writing to a client's socket: our own bytes before hyper's, what is in a pipe in the place of what stands in for
//! it, and the last of all together with our end.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf as _;
use tokio::io::AsyncWrite;

use super::{Asked, ClientIo, Head};
use crate::{front::transport::Transport, pipe};

impl ClientIo {
    pub(super) fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Not in the middle of anything. hyper flushes after each poll of a request, so they need not
        // wait for its answer.
        if !self.amid
            && let Some(interims) = self.connection.take_interims()
            && !self.answering
        {
            let before = self.own.as_deref().map_or(&[][..], |own| own);
            self.own = Some(Box::new([before, &interims].concat().into()));
        }
        while let Some(own) = self.own.as_deref_mut().filter(|own| !own.is_empty()) {
            match Pin::new(&mut self.transport).poll_write(cx, own) {
                Poll::Ready(written) => own.advance(written?),
                Poll::Pending => return self.poll_stalled(cx).map(Err),
            }
            self.flows(cx);
        }
        self.own = None;
        Poll::Ready(Ok(()))
    }

    /// All that hyper has written is on its way.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        ready!(self.poll_through(cx))?;
        if let Some(now) = self.connection.flushed(cx) {
            self.answering = false;
            self.head = Head::Awaited;
            self.waiting_since = Some(now);
            self.departure = None;
            // hyper asks for the next request by itself, unless it waits for what it has asked for before. Then
            // it has to ask once more: for the bounds that hold from here on, and for a FIN that was held back.
            if std::mem::replace(&mut self.asked, Asked::Served) == Asked::InVain {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One write of what hyper has. What stands in for bytes in a pipe never goes out: they do.
    pub(super) fn poll_passed(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(at) = slices.iter().position(|slice| pipe::is_stand_in(slice)) else {
            if !self.answering
                && let Some(head) = slices.first()
            {
                self.connection.working_set.head.set(&**head);
            }
            if self.connection.is_ending() {
                return self.poll_last(cx, slices);
            }
            return self.poll_out(cx, |transport, cx| transport.poll_write_vectored(cx, slices));
        };
        let before = &slices[..at];
        if before.iter().any(|slice| !slice.is_empty()) {
            return self.poll_out(cx, |transport, cx| transport.poll_write_vectored(cx, before));
        }
        self.piped = self.connection.take_piped().or_else(|| self.piped.take());
        let Some(mut piped) = self.piped.take() else {
            // Whoever is handed such bytes is handed the pipe before.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        let most = slices[at].len();
        let polled = self.poll_out(cx, |transport, cx| {
            transport.poll_given(cx, |socket| piped.drain(socket, most))
        });
        // Empty, it is dropped, and can be filled anew.
        self.piped = Some(piped).filter(|piped| piped.len() > 0);
        polled
    }

    /// One write, within `client.write_stall`.
    pub(super) fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Transport>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_own(cx))?;
        match write(Pin::new(&mut self.transport), cx) {
            Poll::Ready(Ok(written)) => {
                self.flows(cx);
                self.amid = true;
                if !self.answering {
                    self.gone_out = 0;
                }
                self.gone_out = self.gone_out.saturating_add(written);
                self.answering |= self.connection.is_received();
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => {
                self.connection.note("client reset the connection");
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    /// One write of what our end follows.
    pub(super) fn poll_last(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_held = true;
        self.poll_out(cx, |transport, cx| transport.get_mut().poll_write_last(cx, slices))
    }

    /// What TLS has encrypted is not out yet, for all that it has taken it.
    pub(super) fn poll_through(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.transport).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.flows(cx);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                self.connection.note("client reset the connection");
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }
}
