//! The life of a tunnel, from the answer that opened it to the end of both its ends.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tungstenite::protocol::frame::coding::CloseCode;

use super::{
    Bounds, Duplex, Protocol,
    flow::{Flow, Sink, Source},
    frames::{Frames, close},
};
use crate::observe::record::Ended;

/// Whoever is told what happens in a tunnel.
pub(crate) trait Witness {
    /// So many bytes have passed by now.
    fn passed(&mut self, counts: Counts);
    /// The client has left without an end in order. Only once.
    fn client_left(&mut self, why: &'static str);
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// From client to backend.
    pub up: u64,
    /// From backend to client.
    pub down: u64,
    /// From the backend, to nobody.
    pub discarded: u64,
}

/// How a tunnel ended, from the backend's side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub ended: Ended,
    pub reason: Option<&'static str>,
}

/// Two ends, and what flows between them.
pub(crate) struct Life<W> {
    client: Box<dyn Duplex>,
    backend: Box<dyn Duplex>,
    /// From client to backend.
    up: Flow,
    down: Flow,
    protocol: Protocol,
    bounds: Bounds,
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    witness: W,
    client_gone: bool,
    backend_gone: bool,
    /// The client's socket takes nothing any more; what it had sent before is read yet.
    client_deaf: bool,
    phase: Phase,
    /// When something last moved.
    active: Instant,
    timer: Pin<Box<Sleep>>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// One end has left, or was told to close. None: the drain has a bound of its own.
    Closing(Option<Instant>),
    /// It took too long. Both ends get a FIN, and until this time for their own.
    Shutting(Instant),
    /// That took too long, too.
    GivenUp,
}

impl<W: Witness> Life<W> {
    /// Without a `client`, it has left before it could become an end of it.
    pub(crate) fn new(
        client: Option<Box<dyn Duplex>>,
        backend: Box<dyn Duplex>,
        protocol: Protocol,
        bounds: Bounds,
        draining: CancellationToken,
        witness: W,
    ) -> Self {
        let frames = || (protocol == Protocol::WebSocket).then(Frames::default);
        let active = Instant::now();
        let is_there = client.is_some();
        let mut life = Self {
            client: client.unwrap_or_else(|| Box::new(tokio::io::empty())),
            backend,
            up: Flow::new(frames()),
            down: Flow::new(frames()),
            protocol,
            bounds,
            draining: Some(Box::pin(draining.cancelled_owned())),
            witness,
            client_gone: false,
            backend_gone: false,
            client_deaf: false,
            phase: Phase::Open,
            active,
            timer: Box::pin(sleep_until(active + bounds.idle)),
            end: None,
        };
        if !is_there {
            life.lose_client("client left before the tunnel was open");
        }
        life
    }

    /// Until the backend's side is over: closed, in order wherever that is ours to decide.
    pub(crate) async fn until_backend_is_over(&mut self) -> End {
        poll_fn(|cx| self.poll_until(cx, Self::is_backend_over)).await;
        // Given up, it is closed here: the slot is the next one's when this returns.
        self.backend = Box::new(tokio::io::empty());
        let in_order = End { ended: Ended::Delivered, reason: None };
        *self.end.get_or_insert(in_order)
    }

    /// Both ends are told to close, within [`Bounds::closing`], for this reason.
    pub(crate) fn close_both(&mut self, why: &'static str) {
        match (self.phase, self.protocol) {
            (Phase::Open, Protocol::WebSocket) => self.tell_both(why),
            (Phase::Open, Protocol::Other) => {
                self.end(Ended::Cut, why);
                self.up.finish();
                self.down.finish();
            }
            // A drain has told them, and would wait for longer.
            (Phase::Closing(None), _) => self.phase = Phase::Open,
            // It is at its end.
            _ => return,
        }
        self.begin_closing();
    }

    /// What is left is the client's side.
    pub(crate) async fn until_client_is_over(&mut self) {
        if self.phase == Phase::Closing(None) {
            self.phase = Phase::Closing(Some(Instant::now() + self.bounds.closing));
        }
        poll_fn(|cx| self.poll_until(cx, Self::is_client_over)).await;
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, is_done: fn(&Self) -> bool) -> Poll<()> {
        loop {
            let before = self.up.passed + self.down.passed;
            let up = self.up.poll(cx, &mut self.client, &mut self.backend);
            let down = self.down.poll(cx, &mut self.backend, &mut self.client);
            if up || down {
                self.active = Instant::now();
                self.witness.passed(self.counts());
            }
            if self.up.passed + self.down.passed > before {
                self.renew_closing();
            }
            let changed = self.react();
            if self.phase == Phase::GivenUp || is_done(self) {
                return Poll::Ready(());
            }
            if changed || self.poll_drain(cx).is_ready() {
                continue;
            }
            ready!(self.poll_due(cx));
            self.overdue();
        }
    }

    /// Draws the conclusions from what the flows have come to. Says whether they are to be polled
    /// again.
    fn react(&mut self) -> bool {
        if !self.backend_gone && self.down.source != Source::Open {
            self.lose_backend();
            return true;
        }
        if !self.client_gone && self.down.sink == Sink::Lost && !self.client_deaf {
            self.client_deaf = true;
            return true;
        }
        if !self.client_gone
            && let Some(why) = self.why_client_is_gone()
        {
            self.lose_client(why);
            return true;
        }
        match self.protocol {
            Protocol::WebSocket => self.close(),
            Protocol::Other => self.pass_fin_on(),
        }
    }

    fn why_client_is_gone(&self) -> Option<&'static str> {
        match self.up.source {
            Source::Lost => Some("client reset the tunnel"),
            // A WebSocket knows no half-closed ends: who has said Close says nothing more, and who
            // has not has gone.
            Source::Ended if self.protocol == Protocol::WebSocket => {
                Some("client closed the tunnel without a Close")
            }
            _ if self.client_deaf => Some("client reset the tunnel"),
            Source::Open | Source::Ended => None,
        }
    }

    /// The client is gone: the backend is told so in order.
    fn lose_client(&mut self, why: &'static str) {
        self.client_gone = true;
        if self.up.source != Source::Ended {
            self.up.lose_source();
            self.down.lose_sink();
        }
        if !self.up.is_closed() {
            self.witness.client_left(why);
        }
        match self.protocol {
            Protocol::WebSocket => self.up.say_close(close(CloseCode::Away, true)),
            Protocol::Other => self.up.finish(),
        }
        self.begin_closing();
    }

    /// The backend has ended its side.
    fn lose_backend(&mut self) {
        self.backend_gone = true;
        let reset = self.down.source == Source::Lost;
        match self.protocol {
            Protocol::WebSocket => {
                let knows = self.down.is_closed() || self.up.is_closed() || self.up.said_close;
                if !knows && !self.client_gone {
                    self.end(
                        Ended::Failed,
                        match reset {
                            true => "the backend reset the tunnel",
                            false => "the backend closed the tunnel without a Close",
                        },
                    );
                    self.down.say_close(close(CloseCode::Restart, false));
                }
                self.down.finish();
            }
            Protocol::Other if reset => {
                if !self.client_gone {
                    self.end(Ended::Failed, "the backend reset the tunnel");
                }
            }
            // Half-closed: the client may go on.
            Protocol::Other => return self.down.finish(),
        }
        self.up.finish_now();
        self.begin_closing();
    }

    /// Once an end has said Close and has been told it, it gets a FIN: nothing more is to be said.
    fn close(&mut self) -> bool {
        if self.up.is_closed() || self.down.is_closed() {
            self.begin_closing();
        }
        let backend = finish_closed(&self.down, &mut self.up);
        let client = finish_closed(&self.up, &mut self.down);
        backend || client
    }

    fn pass_fin_on(&mut self) -> bool {
        let ended = self.up.source != Source::Open && !self.up.is_finishing();
        if ended {
            self.up.finish();
        }
        ended
    }

    /// The process is to end.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(draining) = &mut self.draining else { return Poll::Pending };
        ready!(draining.as_mut().poll(cx));
        self.draining = None;
        // What is not known to us cannot be ended in order: it may go on until `drain.timeout`.
        if self.phase != Phase::Open || self.protocol != Protocol::WebSocket {
            return Poll::Pending;
        }
        self.tell_both("the process ended");
        self.phase = Phase::Closing(None);
        Poll::Ready(())
    }

    fn overdue(&mut self) {
        let now = Instant::now();
        let client_stalled =
            self.down.stalled_since.is_some_and(|since| now >= since + self.bounds.write_stall);
        if client_stalled && !self.client_gone {
            return self.lose_client("client took no byte for client.write_stall");
        }
        match self.phase {
            Phase::Open => self.close_both("tunnel.idle reached"),
            Phase::Closing(_) => {
                if !self.is_backend_over() {
                    self.end(Ended::Cut, "tunnel.closing reached");
                } else if !self.down.has_passed_all() && !self.client_gone {
                    self.client_gone = true;
                    self.witness.client_left("client took no byte for tunnel.closing");
                }
                self.up.finish_now();
                self.down.finish_now();
                self.phase = Phase::Shutting(now + self.bounds.closing);
            }
            Phase::Shutting(_) | Phase::GivenUp => self.phase = Phase::GivenUp,
        }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due() else { return Poll::Pending };
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }

    /// What comes first of all bounds.
    fn due(&self) -> Option<Instant> {
        let stalled = self.down.stalled_since.filter(|_| !self.client_gone);
        let stalled = stalled.map(|since| since + self.bounds.write_stall);
        let phase = match self.phase {
            Phase::Open => {
                // A backend that takes nothing may still send: this bounds both.
                let since = self.up.stalled_since.unwrap_or(self.active).min(self.active);
                Some(since + self.bounds.idle)
            }
            Phase::Closing(until) => until,
            Phase::Shutting(until) => Some(until),
            Phase::GivenUp => None,
        };
        [stalled, phase].into_iter().flatten().min()
    }

    fn tell_both(&mut self, why: &'static str) {
        self.end(Ended::Cut, why);
        self.up.say_close(close(CloseCode::Away, true));
        self.down.say_close(close(CloseCode::Away, false));
    }

    fn begin_closing(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing(Some(Instant::now() + self.bounds.closing));
        }
    }

    /// A Close stands behind all that was said before it. While that is still on its way to an end
    /// that takes it, nobody is late.
    fn renew_closing(&mut self) {
        if let Phase::Closing(Some(until)) = &mut self.phase
            && !self.client_gone
            && !self.backend_gone
        {
            *until = self.active + self.bounds.closing;
        }
    }

    /// The first cause is the one that counts.
    fn end(&mut self, ended: Ended, reason: &'static str) {
        self.end.get_or_insert(End { ended, reason: Some(reason) });
    }

    fn is_backend_over(&self) -> bool {
        self.up.sink != Sink::Open && self.down.source != Source::Open
    }

    /// Where the backend was reset, and no Close can say so, the client's end is left unshut: it is
    /// to be broken off.
    fn is_client_over(&self) -> bool {
        let broken = self.protocol == Protocol::Other
            && self.down.source == Source::Lost
            && self.down.has_passed_all();
        broken || (self.down.sink != Sink::Open && self.up.source != Source::Open)
    }

    fn counts(&self) -> Counts {
        Counts { up: self.up.passed, down: self.down.passed, discarded: self.down.dropped }
    }
}

/// `from` has said Close, and `to` has told the same end one.
fn finish_closed(from: &Flow, to: &mut Flow) -> bool {
    let closed = from.is_closed() && to.has_told() && !to.is_finishing();
    if closed {
        to.finish();
    }
    closed
}
