//! One connection to the backend. Whoever awaits something of it drives it meanwhile: there is no
//! task of its own, and no wake-up between tasks. While it waits it has no buffer, so that an orphan
//! costs next to nothing; and the head of the request stays with its owner, who can send it once more.

mod pour;

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Response, response};
use http_body::Body as _;
use tokio::{
    io::AsyncWrite as _,
    time::{Instant, timeout},
};
use tokio_util::io::poll_read_buf;

use super::{
    head::Malformed,
    inbound::{Inbound, Piece},
    outbound::Outbound,
    pool::Open,
    wire::Wire,
};
use crate::{
    socket::Socket,
    spool::{Broken, SendBody},
};

#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    inbound: Inbound,
    /// Of the request: what the socket has not taken yet.
    rest: Bytes,
    /// Of the request: where more of it is to come from.
    body: Option<SendBody>,
    /// Bytes of the request have left.
    pub(super) is_sent: bool,
    /// Bytes have come since.
    pub(super) has_heard: bool,
    /// Where large bodies are read to; nothing else has any room there.
    bulk: BytesMut,
    /// Bytes of all that was read to since somebody asked.
    kept: u64,
    /// How often what a read may bring at once was doubled.
    doubled: u8,
    /// The server that it leads to.
    pub(super) server: u64,
    open: Open,
    /// It has served another exchange before.
    pub(super) was_kept: bool,
    /// When its present exchange got it.
    pub(crate) since: Instant,
}

/// Why no answer came, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the backend closed the connection before its answer was whole")]
    Closed,
    #[error("the connection was lost")]
    Lost(#[from] io::Error),
    #[error("the backend spoke before it was asked")]
    Unasked,
    #[error("what the backend sent is not HTTP/1")]
    Malformed(#[from] Malformed),
    #[error("the request cannot be read back")]
    Request(#[from] Broken),
}

impl Link {
    pub(super) fn over(socket: Socket, server: u64, open: Open) -> Box<Self> {
        Box::new(Self {
            socket,
            inbound: Inbound::new(),
            rest: Bytes::new(),
            body: None,
            is_sent: false,
            has_heard: false,
            bulk: BytesMut::new(),
            kept: 0,
            doubled: 0,
            server,
            open,
            was_kept: false,
            since: Instant::now(),
        })
    }

    /// Sends the request, or what of it the socket takes at once; the rest goes out while the answer is
    /// awaited. Only a connection on which nothing has come since its last answer is used.
    pub(super) async fn send(&mut self, request: &Outbound) -> Result<(), Fault> {
        (self.is_sent, self.has_heard, self.kept) = (false, false, 0);
        let keep_alive = self.inbound.speaks_http10 && !request.closes;
        self.inbound.expect(request.wants_no_body(), !request.closes);
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.poll_hear(cx) {
                return Poll::Ready(Err(if read? == 0 { Fault::Closed } else { Fault::Unasked }));
            }
            self.body = Some(request.body.body()).filter(|body| !body.is_end_stream());
            Poll::Ready(self.poll_first(cx, &request.head(keep_alive)))
        })
        .await
    }

    /// The first write: the head, and what there is of the body.
    fn poll_first(&mut self, cx: &mut Context<'_>, text: &[u8]) -> Result<(), Fault> {
        let data = match &mut self.body {
            None => Bytes::new(),
            Some(body) => next_of(body, cx)?.unwrap_or_default(),
        };
        let slices = [IoSlice::new(text), IoSlice::new(&data)];
        let slices = if data.is_empty() { &slices[..1] } else { &slices };
        let written = match Pin::new(&mut self.socket).poll_write_vectored(cx, slices) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        self.is_sent = written > 0;
        self.rest = match written.checked_sub(text.len()) {
            Some(written) => data.slice(written..),
            None => [&text[written..], &data].concat().into(),
        };
        Ok(())
    }

    /// Awaits the head of the answer. Interim answers that come before it are told.
    pub(super) async fn answer(
        &mut self,
        interim: impl Fn(Response<()>),
    ) -> Result<response::Parts, Fault> {
        // A moment ago, in the same poll, the socket had nothing, and wakes this task when that changes.
        let mut is_awaited = self.is_out();
        poll_fn(|cx| {
            if std::mem::take(&mut is_awaited) {
                return Poll::Pending;
            }
            self.poll_rest(cx)?;
            loop {
                if let Some(parts) = self.inbound.head(&interim)? {
                    return Poll::Ready(Ok(parts));
                }
                if ready!(self.poll_hear(cx))? == 0 {
                    return Poll::Ready(Err(Fault::Closed));
                }
            }
        })
        .await
    }

    /// What has come already of the body, as small bodies have that come with their head.
    pub(crate) fn at_once(&mut self) -> Poll<Option<Result<Piece, Fault>>> {
        match self.inbound.piece() {
            Ok(Some(piece)) => Poll::Ready(Some(Ok(piece))),
            Ok(None) if self.is_read() => Poll::Ready(None),
            Ok(None) => Poll::Pending,
            Err(malformed) => Poll::Ready(Some(Err(malformed.into()))),
        }
    }

    /// Awaits the next piece of the body; none is its end.
    pub(crate) async fn piece(&mut self) -> Option<Result<Piece, Fault>> {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(piece) = self.at_once() {
                    return Poll::Ready(piece);
                }
                if let Err(fault) = self.poll_rest(cx) {
                    return Poll::Ready(Some(Err(fault)));
                }
                match ready!(self.poll_hear(cx)) {
                    Ok(0) if self.inbound.close() => return Poll::Ready(None),
                    Ok(0) => return Poll::Ready(Some(Err(Fault::Closed))),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
        })
        .await
    }

    /// Bytes of memory that this piece, the last that came, keeps. The first one in a buffer counts for all of
    /// it, those behind it for themselves: they may be there for longer.
    pub(crate) fn kept(&mut self, piece: &Bytes) -> u64 {
        std::mem::take(&mut self.kept).max(piece.len() as u64)
    }

    /// What comes next may wait for long: it is not to keep a large buffer meanwhile.
    pub(crate) fn read_little(&mut self) {
        if self.doubled > LITTLE {
            (self.doubled, self.bulk) = (LITTLE, BytesMut::new());
        }
    }

    /// Is the answer read to its end?
    pub(crate) fn is_read(&self) -> bool {
        self.inbound.is_read()
    }

    /// Is it read, and the request out? Then nothing is left to be done.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_read() && !self.inbound.is_loose() && self.is_out()
    }

    /// The answer is read. Some backends answer before they have read the request: this sends the
    /// rest of it, until all is out, or nobody takes it any more.
    pub(crate) async fn settle(&mut self) {
        if self.inbound.is_loose() {
            // Cancel-safe: nobody wants what is read.
            let _ = timeout(LOOSE, poll_fn(|cx| self.poll_closed(cx))).await;
        }
        if self.is_out() {
            return;
        }
        poll_fn(|cx| {
            while self.poll_rest(cx).is_ok() && !self.is_out() {
                match ready!(self.poll_hear(cx)) {
                    Ok(1..) => self.inbound.spoil(),
                    // It is over, and no answer needs it any more.
                    Ok(0) | Err(_) => break,
                }
            }
            Poll::Ready(())
        })
        .await;
        if !self.is_out() {
            self.inbound.spoil();
        }
    }

    /// Discards what comes until the backend closes, as it has said.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Ok(1..) = ready!(self.poll_hear(cx)) {
            self.inbound.spoil();
        }
        Poll::Ready(())
    }

    /// The backend has left HTTP, as it was asked to.
    pub(super) async fn into_wire(mut self: Box<Self>) -> Wire {
        // An error is found again by whoever uses the socket.
        let _ = poll_fn(|cx| match self.poll_rest(cx) {
            Ok(()) if !self.is_out() => Poll::Pending,
            done => Poll::Ready(done),
        })
        .await;
        Wire::new(self.socket, self.open, self.inbound.into_rest())
    }

    /// Does the other side close it within this time, unasked?
    pub(super) async fn closes_within(&mut self, time: Duration) -> bool {
        timeout(time, poll_fn(|cx| self.poll_hear(cx))).await.is_ok()
    }

    /// It was closed instead of an answer. Had that been done before the request came there? Then a RST follows
    /// the FIN (RFC 9293, section 3.10.7.1), and nobody has read any of it. Who has read it all says FIN alone. Not
    /// to be asked of a request with a body: some read its head, shut their side, and leave the body unread, which is
    /// FIN and RST, too.
    pub(super) async fn closed_before(&self) -> bool {
        let is_whole = self.is_sent && self.is_out() && !self.has_heard;
        is_whole && timeout(CROSSED, self.socket.was_reset()).await.unwrap_or(false)
    }

    /// Can it serve another exchange?
    pub(super) fn is_ready(&self) -> bool {
        self.inbound.is_ready() && self.is_out()
    }

    /// To be watched by the present worker from here on.
    pub(super) async fn moved(self: Box<Self>) -> io::Result<Box<Self>> {
        let mut link = *self;
        link.socket = link.socket.moved().await?;
        Ok(Box::new(link))
    }

    /// It is to be kept.
    pub(super) fn rest(&mut self) {
        self.was_kept = true;
        (self.doubled, self.bulk) = (0, BytesMut::new());
    }

    /// Is the request out?
    fn is_out(&self) -> bool {
        self.rest.is_empty() && self.body.is_none()
    }

    /// Sends on what is left of the request, as far as the socket takes it. Where it takes nothing any
    /// more, the answer may be there nevertheless: some answer a request that they do not want to read.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        loop {
            if self.rest.is_empty() {
                let Some(body) = &mut self.body else { return Ok(()) };
                match next_of(body, cx)? {
                    Some(data) => self.rest = data,
                    None if body.is_end_stream() => self.body = None,
                    None => return Ok(()),
                }
                continue;
            }
            match Pin::new(&mut self.socket).poll_write(cx, &self.rest) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(written)) => {
                    self.is_sent = true;
                    self.rest.advance(written);
                }
                Poll::Ready(Err(_)) => {
                    (self.rest, self.body) = (Bytes::new(), None);
                    self.inbound.spoil();
                }
            }
        }
    }

    /// Reads, and gives back how much; zero is the end of the connection.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.doubled > 0 {
            return self.poll_hear_bulk(cx);
        }
        let mut room = ROOM.take();
        room.reserve(SMALL);
        let polled = self.socket.poll_recv(cx, &mut room);
        let len = room.len();
        self.has_heard |= len > 0;
        self.kept += len as u64;
        if len == room.capacity() {
            self.doubled = 2;
        }
        if len < SMALL / 2 {
            // What comes takes as much as it is.
            self.inbound.hear(&room);
            room.clear();
            ROOM.set(room);
        } else {
            // A copy would cost more than to hold up to twice as much for a while.
            self.inbound.hear_all(room.into());
        }
        polled
    }

    fn poll_hear_bulk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let most = SMALL << self.doubled;
        if self.bulk.capacity() < most / 2 {
            self.bulk.reserve(most);
            self.kept += self.bulk.capacity() as u64;
        }
        let room = self.bulk.capacity();
        let Poll::Ready(len) = poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.bulk) else {
            // An orphan may wait for long.
            self.bulk = BytesMut::new();
            return Poll::Pending;
        };
        let len = len?;
        self.has_heard |= len > 0;
        self.inbound.hear_all(self.bulk.split().freeze());
        if len == room {
            self.doubled = MOST.min(self.doubled + 1);
        } else if len < SMALL {
            (self.doubled, self.bulk) = (0, BytesMut::new());
        } else if len < room / 2 {
            // What is read keeps all of its buffer: that is to be about as large.
            self.doubled = LITTLE.max(self.doubled - 1);
        }
        Poll::Ready(Ok(len))
    }
}

thread_local! {
    /// Where what is small is read to, of one worker: a connection that waits has no buffer.
    static ROOM: RefCell<Vec<u8>> = RefCell::default();
}

/// What is there of the rest of a body.
fn next_of(body: &mut SendBody, cx: &mut Context<'_>) -> Result<Option<Bytes>, Broken> {
    match Pin::new(body).poll_frame(cx) {
        // It has no trailers.
        Poll::Ready(Some(frame)) => Ok(frame?.into_data().ok()),
        Poll::Ready(None) | Poll::Pending => Ok(None),
    }
}

/// Where a backend sends a body with an answer that may have none, and closes then, it is heard out for so
/// long: else it would write into a closed socket.
const LOOSE: Duration = Duration::from_secs(1);
/// So long after the FIN that a request has crossed on its way, the RST for that may come: longer than any way to
/// a server behind us.
const CROSSED: Duration = Duration::from_millis(10);
/// What is read at once where no more is expected: pages and pictures come whole.
const SMALL: usize = 32 * 1024;
/// So often that is doubled for large bodies: 256 KiB.
const MOST: u8 = 3;
/// So often where memory is short: 64 KiB.
const LITTLE: u8 = 1;
