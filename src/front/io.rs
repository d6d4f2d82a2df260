//! The socket as hyper sees it, with what hyper leaves to others: bounds in time, the half-closed
//! client, answers of our own to what never became a request, and a patient close.

mod alarm;
mod bare;
mod out;
mod waits;
mod watch;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use self::alarm::Alarm;
use super::{Seat, departure::Departure, transport::Transport};
use crate::{
    config::Client,
    connection::Connection,
    observe::record::{Facts, Record},
    refusal::Refusal,
    request_id::RequestId,
    spool::Piped,
};

pub(super) struct ClientIo {
    transport: Transport,
    seat: Seat,
    connection: Arc<Connection>,
    bounds: Arc<Client>,
    /// Bytes that were read before hyper asked for them, to be read before all others.
    ahead: Bytes,
    /// Bytes of our own, to go out before anything of hyper's. Boxed: few have any.
    own: Option<Box<Bytes>>,
    /// Bytes of the present answer have gone out.
    answering: bool,
    /// So many, of this one or the last.
    gone_out: usize,
    /// What stands behind bytes that hyper was handed, as far as it is not out.
    piped: Option<Box<Piped>>,
    /// A part of what hyper has in its buffer has gone out.
    amid: bool,
    /// The kernel keeps the last of the answer until it hears of our end.
    is_held: bool,
    acknowledged: Acknowledged,
    head: Head,
    asked: Asked,
    /// Since when there is nothing to read: of a head that has begun, or at all.
    waiting_since: Option<Instant>,
    /// The socket takes no byte, since this time.
    stalled_since: Option<Instant>,
    alarm: Option<Alarm>,
    /// Boxed: few have it.
    departure: Option<Box<Departure>>,
    state: State,
}

/// What has come of the next head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Awaited,
    /// A part of its first line.
    Line,
    Fields,
}

/// What came of hyper's last wish for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// There was something, or no answer was owed.
    Served,
    /// Nothing, while one was.
    InVain,
}

/// How the client hears that what it has sent has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledged {
    ByAnswer,
    /// More was to come.
    AtOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our own last words are on their way; hyper gets nothing more to read.
    Refused,
    /// Our side is shut; what still comes is read and dropped until this time.
    Lingering(Instant),
}

impl ClientIo {
    /// There may be more.
    fn has_read(&self) {
        let has_more = !self.ahead.is_empty() || self.transport.socket().has_more();
        self.connection.has_read(has_more);
    }

    pub(super) fn new(
        transport: Transport,
        connection: Arc<Connection>,
        bounds: Arc<Client>,
        seat: Seat,
    ) -> Self {
        if transport.is_plain() {
            connection.plain();
        }
        Self {
            transport,
            seat,
            connection,
            bounds,
            ahead: Bytes::new(),
            own: None,
            answering: false,
            gone_out: 0,
            piped: None,
            amid: false,
            is_held: false,
            acknowledged: Acknowledged::ByAnswer,
            head: Head::Awaited,
            asked: Asked::Served,
            waiting_since: None,
            stalled_since: None,
            alarm: None,
            departure: None,
            state: State::Open,
        }
    }

    /// What carries the bytes, for a tunnel.
    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Answers what never became a request, and logs it.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Refused;
        self.own = Some(Box::new(refusal.bytes()));
        let began = self.waiting_since.unwrap_or_else(Instant::now);
        log_refusal(&self.connection, refusal, began, true);
    }

    /// hyper is handed these bytes.
    fn heard(&mut self, bytes: &[u8]) {
        self.asked = Asked::Served;
        if self.stalled_since.is_none() {
            self.connection.stop_clock();
        }
        if !self.connection.is_owing() {
            if self.head == Head::Awaited {
                // hyper may read twice before it is asked to let go.
                self.connection.rouse();
            }
            self.look(bytes);
        }
    }

    /// A part of a head. What hyper finds too long may be its first line; nearly every head comes
    /// whole, and then nobody will ask. Some send an empty line behind a body, with which none begins.
    fn look(&mut self, head: &[u8]) {
        if self.head == Head::Awaited && head.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        if self.head == Head::Awaited {
            self.waiting_since = None;
        }
        if self.head != Head::Fields {
            let is_past = head.ends_with(b"\r\n\r\n") || head.contains(&b'\n');
            self.head = if is_past { Head::Fields } else { Head::Line };
        }
    }
}

/// The line of what never became a request. `sent`: an answer could be given.
pub(super) fn log_refusal(connection: &Connection, refusal: &Refusal, began: Instant, sent: bool) {
    let facts =
        Facts { id: RequestId::new(), client: Some(connection.name.clone()), line: None, began };
    let record = Record::open(&connection.books, facts);
    if sent {
        record.answered_with(refusal.status());
        record.passed(refusal.length());
    }
    record.note(|outcome| {
        outcome.because(refusal.reason());
        outcome.refusal = Some(refusal.kind());
    });
    record.visited_until(Instant::now());
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if !this.ahead.is_empty() {
            this.read_ahead(buf);
            this.heard(&buf.filled()[before..]);
            this.has_read();
            return Poll::Ready(Ok(()));
        }
        if this.state != State::Open {
            ready!(this.poll_own(cx))?;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.connection.is_half_closed() {
            return this.poll_half_closed(cx);
        }
        match Pin::new(&mut this.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                this.heard(&buf.filled()[before..]);
                this.has_read();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                this.connection.half_close();
                this.poll_half_closed(cx)
            }
            Poll::Ready(Err(error)) => {
                this.note_lost(&error);
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                if this.connection.is_owing() {
                    this.asked = Asked::InVain;
                }
                this.hurry();
                this.poll_overdue(cx)
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.connection.is_owing() {
            // No request is being served, so these are hyper's own words on a head that does not
            // parse: a bare status line. Ours say more.
            let refusal = match Refusal::of_parser(bytes.get(9..12).unwrap_or_default()) {
                Refusal::HeadTooLong if self.head != Head::Fields => Refusal::TargetTooLong,
                refusal => refusal,
            };
            self.refuse(&refusal);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = self.poll_passed(cx, &[IoSlice::new(bytes)]);
        self.unless_left(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.connection.is_owing() {
            let head = slices.iter().find(|slice| !slice.is_empty());
            return match head {
                Some(head) => self.poll_write(cx, head),
                None => Poll::Ready(Ok(0)),
            };
        }
        let written = self.poll_passed(cx, slices);
        self.unless_left(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper's buffer is empty.
        self.amid = false;
        let flushed = self.poll_flushed(cx)?;
        match self.poll_left(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => flushed.map(Ok),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Lingering(until) = self.state {
            return self.poll_linger(cx, until);
        }
        ready!(self.as_mut().poll_flush(cx))?;
        // Where the client may still be sending, we read on for a while. Few do behind a whole request (some
        // send an empty line); but whatever comes to a closed socket is answered by a reset, and that
        // overtakes what is on its way.
        let unread = self.state == State::Refused || !self.connection.is_received();
        let linger = if (unread || self.gone_out > ON_ITS_WAY) && !self.connection.is_half_closed()
        {
            self.bounds.linger
        } else {
            Duration::ZERO
        };
        self.poll_close(cx, linger)
    }
}

/// An answer of no more bytes is at the client when its connection is closed, or nearly.
const ON_ITS_WAY: usize = 16 * 1024;

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.connection.is_to_be_reset() {
            // Nothing can be done where it fails: the socket is gone then, too.
            let _ = SockRef::from(self.transport.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}
