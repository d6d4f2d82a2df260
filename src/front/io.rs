//! The socket as hyper sees it, with what hyper leaves to others: bounds in time, the half-closed
//! client, answers of our own to what never became a request, and a patient close.

mod bare;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{Seat, departure::Departure, transport::Transport};
use crate::{
    config::Client,
    connection::Connection,
    observe::record::{Facts, Record},
    refusal::Refusal,
};

/// How long a head may take of which only a part had come when the drain began.
const LATE: Duration = Duration::from_secs(1);
/// How often a silent end of a tunnel is asked before it counts as gone.
const QUESTIONS: u32 = 4;

pub(super) struct ClientIo {
    transport: Transport,
    _seat: Seat,
    connection: Arc<Connection>,
    bounds: Arc<Client>,
    /// Bytes that were read by others, to be read before all others.
    ahead: Bytes,
    /// Bytes of our own, to go out before anything of hyper's.
    own: Bytes,
    /// Bytes of the present answer have gone out.
    answering: bool,
    /// A part of what hyper has in its buffer has gone out.
    amid: bool,
    head: Head,
    /// Since when there is nothing to read: of a head that has begun, or at all.
    waiting_since: Option<Instant>,
    /// The socket takes no byte, since this time.
    stalled_since: Option<Instant>,
    /// The one timer, set to what is due first.
    timer: Option<Pin<Box<Sleep>>>,
    departure: Option<Departure>,
    /// Told to hyper once the request, which came in the same moment, is noted.
    broken: Option<io::Error>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our own last words are on their way; hyper gets nothing more to read.
    Refused,
    /// Our side is shut; what still comes is read and dropped until this time.
    Lingering(Instant),
}

impl ClientIo {
    pub(super) fn new(
        transport: Transport,
        connection: Arc<Connection>,
        bounds: Arc<Client>,
        seat: Seat,
    ) -> Self {
        Self {
            transport,
            _seat: seat,
            connection,
            bounds,
            ahead: Bytes::new(),
            own: Bytes::new(),
            answering: false,
            amid: false,
            head: Head::Awaited,
            waiting_since: None,
            stalled_since: None,
            timer: None,
            departure: None,
            broken: None,
            state: State::Open,
        }
    }

    /// What carries the bytes, for a tunnel.
    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Has the kernel ask a client that has been silent for so long whether it is still there.
    pub(super) fn keep_alive(&self, silent: Duration) {
        let silent = silent.max(Duration::from_secs(1));
        let keepalive =
            TcpKeepalive::new().with_time(silent).with_interval(silent).with_retries(QUESTIONS);
        // Where the socket is gone already, the first read will tell.
        let _ = SockRef::from(self.transport.socket()).set_tcp_keepalive(&keepalive);
    }

    /// A FIN has come. In the middle of a request body it is for the receiver to judge; while the
    /// answer is pending it may be a half-closed client, or one that is gone.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper throws away what it has not written of an answer when it hears of an end.
        if !self.connection.is_owing() {
            return Poll::Ready(Ok(()));
        }
        if !self.connection.is_received() {
            return Poll::Pending;
        }
        if self.departure.is_none() {
            if self.connection.does_fin_leave() {
                self.connection.note("client closed the connection");
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            // Out of descriptors, it counts as half-closed; its leaving shows when the answer is
            // written.
            let Ok(departure) = Departure::new(&self.transport) else { return Poll::Pending };
            self.departure = Some(departure);
        }
        let may_ask = !self.answering && !self.connection.is_http10() && self.own.is_empty();
        let Some(departure) = &mut self.departure else { return Poll::Pending };
        if let Poll::Ready(error) = departure.poll(cx, &mut self.transport, may_ask) {
            self.connection.note("client closed the connection");
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    /// No bytes yet: has the client taken too long?
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_owing() {
            return Poll::Pending;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if self.head == Head::Awaited {
            ready!(self.poll_due(cx, since + self.bounds.idle));
            // To hyper this is a client that closed an idle connection.
            return Poll::Ready(Ok(()));
        }
        let bound = self.bounds.head_timeout;
        let bound = if self.connection.is_draining() { bound.min(LATE) } else { bound };
        ready!(self.poll_due(cx, since + bound));
        self.refuse(&Refusal::HeadTimeout);
        ready!(self.poll_own(cx))?;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready once `due` has come. The timer is only moved when it must be: what is due is later
    /// with every request, and a timer that fires early is set again.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Answers what never became a request, and logs it.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Refused;
        self.own = refusal.bytes();
        let began = self.waiting_since.unwrap_or_else(Instant::now);
        let sent = Some(self.own.len() as u64);
        log_refusal(&self.connection, refusal, began, sent);
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Not in the middle of anything. hyper flushes after each poll of a request, so they need not
        // wait for its answer.
        if !self.amid
            && let Some(interims) = self.connection.take_interims()
            && !self.answering
        {
            self.own = [&self.own[..], &interims].concat().into();
        }
        while !self.own.is_empty() {
            match Pin::new(&mut self.transport).poll_write(cx, &self.own) {
                Poll::Ready(written) => self.own.advance(written?),
                Poll::Pending => return self.poll_stalled(cx).map(Err),
            }
            self.stalled_since = None;
        }
        Poll::Ready(Ok(()))
    }

    /// The socket takes nothing: for too long already?
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.poll_due(cx, since + self.bounds.write_stall));
        self.connection.note("client took no byte for client.write_stall");
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// One write, within `client.write_stall`.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Transport>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_own(cx))?;
        match write(Pin::new(&mut self.transport), cx) {
            Poll::Ready(Ok(written)) => {
                self.stalled_since = None;
                self.amid = true;
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

    /// What TLS has encrypted is not out yet, for all that it has taken it.
    fn poll_through(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.transport).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled_since = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                self.connection.note("client reset the connection");
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    /// A part of a head. What hyper finds too long may be its first line; nearly every head comes
    /// whole, and then nobody will ask.
    fn look(&mut self, head: &[u8]) {
        if self.head != Head::Fields {
            let is_past = head.ends_with(b"\r\n\r\n") || head.contains(&b'\n');
            self.head = if is_past { Head::Fields } else { Head::Line };
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<io::Result<()>> {
        let mut scrap = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.transport).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && Instant::now() < until => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.poll_due(cx, until).map(Ok),
            }
        }
    }
}

/// The line of what never became a request. `sent`: bytes of an answer, where one could be given.
pub(super) fn log_refusal(
    connection: &Connection,
    refusal: &Refusal,
    began: Instant,
    sent: Option<u64>,
) {
    let facts = Facts {
        id: crate::headers::request_id(),
        client: Some(connection.name.clone()),
        line: None,
        began,
    };
    let record = Record::open(&connection.log, facts);
    record.note(|outcome| {
        outcome.status = sent.map(|_| refusal.status());
        outcome.because(refusal.reason());
        outcome.visit = record.elapsed();
        outcome.delivered = sent.unwrap_or(0);
    });
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
            this.look(&buf.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        if this.state != State::Open {
            ready!(this.poll_own(cx))?;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.connection.is_half_closed() {
            return this.poll_half_closed(cx);
        }
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Err(error));
        }
        match Pin::new(&mut this.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                if !this.connection.is_owing() {
                    if this.head == Head::Awaited {
                        this.waiting_since = None;
                    }
                    this.look(&buf.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                this.connection.half_close();
                // Whoever receives a body must look again: nothing more will come.
                cx.waker().wake_by_ref();
                this.poll_half_closed(cx)
            }
            Poll::Ready(Err(error)) => {
                this.connection.note(match error.kind() {
                    // A FIN that TLS has not announced: not half-closed, but gone.
                    io::ErrorKind::UnexpectedEof => "client closed the connection",
                    _ => "client reset the connection",
                });
                if !this.connection.is_serving() {
                    return Poll::Ready(Err(error));
                }
                this.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => this.poll_overdue(cx),
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
        self.poll_out(cx, |transport, cx| transport.poll_write(cx, bytes))
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
        self.poll_out(cx, |transport, cx| transport.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper's buffer is empty.
        self.amid = false;
        ready!(self.poll_own(cx))?;
        ready!(self.poll_through(cx))?;
        if let Some(now) = self.connection.flushed(cx) {
            self.answering = false;
            self.head = Head::Awaited;
            self.waiting_since = Some(now);
            self.departure = None;
            // hyper reads on only when it is woken: by bytes, by the bound for idle connections, or
            // now, where a FIN that was held back is to be seen.
            if self.connection.is_half_closed() {
                cx.waker().wake_by_ref();
            } else {
                let _ = self.poll_overdue(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Lingering(until) = self.state {
            return self.poll_linger(cx, until);
        }
        ready!(self.as_mut().poll_flush(cx))?;
        // Where the client may still be sending, we read on for a while.
        let unread = self.state == State::Refused || !self.connection.is_received();
        let linger = if unread && !self.connection.is_half_closed() {
            self.bounds.linger
        } else {
            Duration::ZERO
        };
        self.poll_close(cx, linger)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.connection.is_to_be_reset() {
            // Nothing can be done where it fails: the socket is gone then, too.
            let _ =
                socket2::SockRef::from(self.transport.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}
