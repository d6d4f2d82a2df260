//! The life of a connection beyond its preface: streams in, and bounds on how it behaves.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    ext::Protocol,
    server::{self, SendResponse},
};
use http::{Request, header::EXPECT};
use tokio::{sync::oneshot, time::Instant};

use super::{
    io::Io,
    lasting::{Lasting, PARK},
    stream::{Begun, Tunnel},
    upload::Upload,
    wire::Wire,
};
use crate::{connection::Unflushed, headers, lock::MutexGuard, tunnel::ClientSide};

pub(super) struct Session {
    h2: server::Connection<Io, Bytes>,
    ping: Option<PingPong>,
    lasting: Lasting,
    phase: Phase,
    /// A ping is out, since this time.
    asked: Option<Instant>,
    /// When this h2 was begun.
    begun: Instant,
    /// Nothing has come for a while.
    resting: bool,
}

/// How a session ends.
pub(super) enum End {
    Closed(Result<(), h2::Error>),
    /// Nothing has come for a while, and with h2 nothing would be lost.
    Parked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Farewell was said, at this time: no further stream is taken once the client has heard of it.
    Leaving(Instant),
    /// GOAWAY is the last that h2 sends.
    Over,
}

impl Session {
    pub(super) fn new(mut h2: server::Connection<Io, Bytes>, lasting: Lasting) -> Self {
        let ping = h2.ping_pong();
        let begun = Instant::now();
        Self { h2, ping, lasting, phase: Phase::Open, asked: None, begun, resting: false }
    }

    /// Gives h2 up.
    pub(super) fn park(self: Box<Self>) -> Lasting {
        self.lasting
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Takes no further request.
    pub(super) fn drain(&mut self) {
        self.lasting.connection.drain();
        self.leave();
    }

    /// Says farewell (RFC 9113, section 6.8); the streams that run are finished.
    fn leave(&mut self) {
        self.phase = Phase::Leaving(Instant::now());
        self.h2.graceful_shutdown();
    }

    /// Takes streams and bytes; ready when the connection is over, or silent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // Before h2 writes: what comes while it does is for the next time.
            let unflushed = self.lasting.streams.unflushed(cx);
            let polled = self.poll_streams(cx);
            // Where the connection has broken, what was not out before is lost.
            let is_lost = polled.is_ready() && self.lasting.connection.why().is_some();
            if self.wire().is_blocked() || is_lost {
                self.lasting.streams.keep(unflushed);
            } else {
                unflushed.into_iter().for_each(Unflushed::flushed);
            }
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(End::Closed(ended));
            }
            if self.send_away_if_rude() {
                continue;
            }
            if self.may_be_parked() {
                return Poll::Ready(End::Parked);
            }
            if !ready!(self.poll_bounds(cx)) {
                return Poll::Ready(End::Closed(Ok(())));
            }
        }
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.wire().begin_turn();
        for _ in 0..TURN {
            match ready!(self.h2.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.begin(request, respond),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if self.is_farewell_overdue() {
            // Nothing of it was done, so that it may come again elsewhere (section 8.7).
            respond.send_reset(Reason::REFUSED_STREAM);
            return self.end_where_none_is_left();
        }
        (self.resting, self.lasting.pause) = (false, PARK);
        let (mut head, body) = request.into_parts();
        headers::join_cookies(&mut head);
        let stream = self.lasting.streams.begin(head.headers.contains_key(EXPECT));
        let (upload, tunnel) = match head.extensions.remove::<Protocol>() {
            None => (Upload::new(body, &head.headers, stream.clone()), None),
            Some(protocol) => {
                let (tunnel, end) = oneshot::channel();
                let side = ClientSide::of_connect(protocol.as_str(), async { end.await.ok() });
                head.extensions.insert(side);
                (Upload::nothing(stream.clone()), Some(Box::new(Tunnel { from: body, to: tunnel })))
            }
        };
        let request = Request::from_parts(head, upload);
        let write_stall = self.lasting.bounds.write_stall;
        let begun = Begun { request, respond, stream, tunnel, write_stall };
        let proxy = self.lasting.proxy.clone();
        proxy.tasks().stream(Box::pin(begun.serve(proxy.clone())));
    }

    /// h2 takes streams until the client has acknowledged our farewell, and one that never does would
    /// hold up a drain by opening more and more of them.
    fn is_farewell_overdue(&self) -> bool {
        matches!(self.phase, Phase::Leaving(since) if since.elapsed() > FAREWELL)
    }

    fn end_where_none_is_left(&mut self) {
        if self.is_alone() {
            self.phase = Phase::Over;
            self.h2.abrupt_shutdown(Reason::NO_ERROR);
        }
    }

    /// True where it is sent away now.
    fn send_away_if_rude(&mut self) -> bool {
        let why = if self.wire().is_flooding() {
            "client sends too many control frames: client.control_frames"
        } else if self.lasting.streams.are_mostly_reset() {
            "client resets most streams before they are answered: client.early_resets"
        } else {
            return false;
        };
        if std::mem::replace(&mut self.phase, Phase::Over) == Phase::Over {
            return false;
        }
        tracing::warn!(client = %self.lasting.connection.name, why, "HTTP/2 connection sent away");
        self.lasting.connection.note(why);
        self.h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        true
    }

    /// Bounds in time. Ready where h2 has something to do about one; false where nobody is there
    /// to do it for.
    fn poll_bounds(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let pong = self.ping.as_mut().is_some_and(|ping| ping.poll_pong(cx).is_ready());
        if pong || self.asked.is_some_and(|asked| self.wire().heard() > asked) {
            self.asked = None;
        }
        match self.h2.has_streams() {
            true => (self.lasting.idle, self.resting) = (None, false),
            false if self.lasting.idle.is_none() => self.lasting.idle = Some(Instant::now()),
            false => {}
        }
        let (idle, bounds) = (self.lasting.idle, self.lasting.bounds.clone());
        let due = match (self.phase, idle) {
            (Phase::Over, _) => return Poll::Pending,
            (Phase::Open, Some(idle)) if self.resting => idle + bounds.idle,
            (Phase::Open, Some(idle)) => {
                (idle + bounds.idle).min(self.silent(idle) + self.lasting.pause)
            }
            (Phase::Leaving(since), Some(idle)) => since.max(idle) + FAREWELL,
            (_, None) => self.asked.unwrap_or_else(|| self.wire().heard()) + bounds.ping,
        };
        ready!(self.poll_due(cx, due));
        match (self.phase, idle) {
            (Phase::Open, Some(idle)) if idle + bounds.idle > due => self.resting = true,
            (Phase::Open, Some(_)) => self.leave(),
            (_, Some(_)) => {
                self.phase = Phase::Over;
                self.h2.abrupt_shutdown(Reason::NO_ERROR);
            }
            (_, None) if self.asked.is_some() => {
                self.lasting.connection.note("client did not answer a ping");
                return Poll::Ready(false);
            }
            (_, None) => {
                self.asked = Some(Instant::now());
                if let Some(ping) = &mut self.ping {
                    // It fails where one is out already, and that one will do.
                    let _ = ping.send_ping(Ping::opaque());
                }
            }
        }
        Poll::Ready(true)
    }

    /// Ready once `due` has come. The timer is only moved when it must be: what is due is later
    /// with every byte, and a timer that fires early is set again.
    fn poll_due(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = &mut self.lasting.timer;
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

    fn may_be_parked(&self) -> bool {
        let is_idle = self.resting && !self.h2.has_streams() && self.is_alone();
        is_idle
            && self.is_open()
            && self.wire().may_be_parked(self.lasting.bounds.connection_window)
    }

    /// Since when nothing has come.
    fn silent(&self, idle: Instant) -> Instant {
        idle.max(self.begun).max(self.wire().heard())
    }

    /// Each stream that is served has its part in what they have in common.
    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.lasting.streams) == 1
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.lasting.io.wire()
    }
}

/// Streams that are begun at once; then it is others' turn: that of these streams, to begin with.
const TURN: usize = 8;
/// How long a client may take to acknowledge a farewell.
const FAREWELL: Duration = Duration::from_secs(1);
