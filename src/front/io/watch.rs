//! Whether the client is still there while its answer is awaited, or on its way. hyper reads nothing then, and so
//! needs no buffer for it.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::{ClientIo, State};
use crate::front::departure::Departure;

impl ClientIo {
    /// What came of a write, unless it has to wait, and the client has left.
    pub(super) fn unless_left(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(_) => written,
            Poll::Pending => self.poll_left(cx).map(Err),
        }
    }

    /// Ready when it has left. What it sends meanwhile is kept for later, up to [`AHEAD`].
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let is_awaited = self.connection.is_owing() && self.connection.is_received();
        if !is_awaited || self.state != State::Open {
            return Poll::Pending;
        }
        while !self.connection.is_half_closed() {
            let most = AHEAD - self.ahead.len().min(AHEAD);
            if most == 0 {
                return Poll::Pending;
            }
            let heard = match self.transport.poll_readable(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(_) => self.poll_heard(cx, most),
            };
            match heard {
                Poll::Pending => {
                    self.connection.found_open();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => self.connection.half_close(),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    self.note_lost(&error);
                    return Poll::Ready(error);
                }
            }
        }
        match self.poll_half_closed(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Keeps up to so many bytes of what it sends, and tells how many came; none is its end. Apart, since each poll of a
    /// connection would have the room for them on its stack.
    #[inline(never)]
    fn poll_heard(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); AHEAD];
        let mut buf = ReadBuf::uninit(&mut room[..most]);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buf))?;
        let heard = buf.filled();
        if !heard.is_empty() {
            self.ahead = [&self.ahead, heard].concat().into();
        }
        Poll::Ready(Ok(heard.len()))
    }

    /// Nothing can be read any more, for this reason.
    pub(super) fn note_lost(&self, error: &io::Error) {
        self.connection.note(match error.kind() {
            // A FIN that TLS has not announced: not half-closed, but gone.
            io::ErrorKind::UnexpectedEof => "client closed the connection",
            _ => "client reset the connection",
        });
    }

    /// A FIN has come. In the middle of a request body it is for the receiver to judge; while the
    /// answer is pending it may be a half-closed client, or one that is gone.
    pub(super) fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper throws away what it has not written of an answer when it hears of an end.
        if !self.connection.is_owing() {
            return Poll::Ready(Ok(()));
        }
        if !self.connection.is_received() {
            self.connection.fall_short(cx);
            return Poll::Pending;
        }
        if self.departure.is_none() && self.connection.does_fin_leave() {
            self.connection.note("client closed the connection");
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let may_ask = !self.answering && !self.connection.is_http10() && self.own.is_none();
        let departure = self.departure.get_or_insert_with(|| Box::new(Departure::new()));
        let house = &self.seat.house;
        if let Poll::Ready(error) = departure.poll(cx, &mut self.transport, house, may_ask) {
            self.connection.note("client closed the connection");
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

/// Bytes that are kept for a client that sends more while it is owed an answer. Behind so many, nothing is seen
/// until its next request is read, its end neither.
const AHEAD: usize = 8 * 1024;
