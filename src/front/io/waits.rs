//! How long a client may keep us waiting: for a head, for the next request, for room to write, for its
//! end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    time::Instant,
};

use super::{Acknowledged, ClientIo, Head, alarm::Alarm};
use crate::{refusal::Refusal, tasks::LATE};

impl ClientIo {
    /// No bytes yet: has the client taken too long?
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_owing() {
            return Poll::Pending;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if self.head == Head::Awaited {
            let idle = self.bounds.idle;
            if self.connection.may_rest() {
                ready!(self.poll_due(cx, since + idle.min(PARK)));
                self.connection.rest();
            }
            ready!(self.poll_due(cx, since + idle));
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

    /// Nothing more is here. Where the client still owes a part of its request, it may wait to hear that the
    /// part before has arrived, and the kernel waits for an answer to say so: once, for from the first answer
    /// on, that is the kernel's usual way.
    pub(super) fn hurry(&mut self) {
        let is_partial = match self.connection.is_owing() {
            true => !self.connection.is_received(),
            false => self.head != Head::Awaited,
        };
        if is_partial && self.acknowledged == Acknowledged::ByAnswer {
            self.acknowledge();
        }
    }

    /// Tells the client at once what has arrived.
    pub(in crate::front) fn acknowledge(&mut self) {
        self.acknowledged = Acknowledged::AtOnce;
        self.transport.socket().acknowledge();
    }

    /// The socket takes nothing: for too long already?
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        self.connection.stall();
        ready!(self.poll_due(cx, since + self.bounds.write_stall));
        self.connection.note("client took no byte for client.write_stall");
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// The socket has taken something.
    pub(super) fn flows(&mut self, cx: &Context<'_>) {
        if self.stalled_since.take().is_some() {
            self.connection.flow(cx);
        }
    }

    pub(super) fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        until: Instant,
    ) -> Poll<io::Result<()>> {
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

    /// Has the kernel ask a client that has been silent for so long whether it is still there.
    pub(in crate::front) fn keep_alive(&self, silent: Duration) {
        let silent = silent.max(Duration::from_secs(1));
        let keepalive =
            TcpKeepalive::new().with_time(silent).with_interval(silent).with_retries(QUESTIONS);
        // Where the socket is gone already, the first read will tell.
        let _ = SockRef::from(self.transport.socket()).set_tcp_keepalive(&keepalive);
    }

    fn poll_due(&mut self, cx: &Context<'_>, due: Instant) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Alarm::at(due));
        alarm.poll(due, &self.connection, cx)
    }
}

/// How often a silent end of a tunnel is asked before it counts as gone.
const QUESTIONS: u32 = 4;
/// A kept connection that is silent for so long is parked. Those that are busy must not be: it takes
/// longer to serve the first request anew than the next one.
const PARK: Duration = Duration::from_secs(1);
