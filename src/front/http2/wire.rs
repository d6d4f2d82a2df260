//! The socket below h2, and what is known of what passes.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{io::ReadBuf, time::Instant};

use super::{
    control::Control,
    frames::{Frames, Seen},
    standing::Standing,
};
use crate::{config::Client, front::io::ClientIo};

/// A small read.
const SMALL: usize = 2 * 1024;
/// Bytes that are read at once; then it is others' turn.
const TURN: usize = 64 * 1024;

pub(super) struct Wire {
    /// Bounds in time, the socket, and what was read of it before HTTP/2 was seen.
    under: Box<ClientIo>,
    control: Control,
    inward: Frames,
    outward: Frames,
    standing: Standing,
    /// While h2 is begun anew: what it hears in place of the client. What it says is dropped.
    script: Option<Bytes>,
    /// Bytes of our own, to go out before anything of h2's.
    own: Bytes,
    /// The socket takes no bytes at the moment.
    blocked: bool,
    /// Bytes that may still be read in this turn.
    room: usize,
    /// The client sends too many control frames.
    flooding: bool,
    /// When the last bytes came.
    heard: Instant,
    /// There was more to read than a small read takes.
    busy: bool,
    /// `client.linger`, as long as the client may be sending.
    linger: Duration,
}

impl Wire {
    pub(super) fn new(under: Box<ClientIo>, bounds: &Client) -> Self {
        Self {
            under,
            control: Control::new(bounds.control_frames),
            inward: Frames::behind_preface(),
            outward: Frames::new(),
            standing: Standing::new(),
            script: None,
            own: Bytes::new(),
            blocked: false,
            room: TURN,
            flooding: false,
            heard: Instant::now(),
            busy: false,
            linger: bounds.linger,
        }
    }

    /// The task's turn begins: h2 writes what it has, and reads.
    pub(super) fn begin_turn(&mut self) {
        self.blocked = false;
        self.room = TURN;
    }

    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn is_flooding(&self) -> bool {
        self.flooding
    }

    /// With no stream open, nothing would be lost with h2.
    pub(super) fn may_be_parked(&self, window: u32) -> bool {
        let is_between = self.inward.are_whole() && self.outward.are_whole();
        is_between && !self.blocked && self.own.is_empty() && self.standing.is_known(window)
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// h2 hears this in place of the client, behind what it has not heard yet.
    pub(super) fn rehearse(&mut self, script: &[u8]) {
        let before = self.script.take().unwrap_or_default();
        self.script = Some([&before, script].concat().into());
    }

    /// All of it was heard.
    pub(super) fn is_rehearsed(&self) -> bool {
        self.script.as_ref().is_none_or(Bytes::is_empty)
    }

    /// h2 hears the client again, and takes it to have room for `window` bytes.
    pub(super) fn go_on(&mut self, window: u32) {
        self.script = None;
        self.own = self.standing.refill(window).into();
    }

    /// True when there is something to read; false where nothing more comes.
    pub(super) fn poll_speaks(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut room = [MaybeUninit::uninit(); SMALL];
        let mut small = ReadBuf::uninit(&mut room);
        let read = ready!(self.under.poll_bare_read(cx, &mut small));
        let speaks = read.is_ok() && !small.filled().is_empty();
        if !speaks {
            self.linger = Duration::ZERO;
        }
        self.under.put_back(Bytes::copy_from_slice(small.filled()));
        Poll::Ready(speaks)
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(script) = &mut self.script {
            if script.is_empty() {
                return Poll::Pending;
            }
            buf.put_slice(&script.split_to(script.len().min(buf.remaining())));
            return Poll::Ready(Ok(()));
        }
        if self.room == 0 || self.flooding {
            // h2 reads on as long as there is something, and all others of this worker would wait.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.poll_some(cx, buf))?;
        let bytes = &buf.filled()[before..];
        self.busy = bytes.len() >= SMALL;
        if bytes.is_empty() {
            self.linger = Duration::ZERO;
            return Poll::Ready(Ok(()));
        }
        self.received(bytes);
        Poll::Ready(Ok(()))
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

    fn received(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.room = self.room.saturating_sub(bytes.len());
        self.heard = now;
        self.control.refill(now);
        let (control, standing, flooding) =
            (&mut self.control, &mut self.standing, &mut self.flooding);
        self.inward.follow(bytes, |seen| {
            if let Seen::Head(frame) = seen {
                *flooding |= !control.received(frame);
            }
            standing.received(seen);
        });
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.script.is_some() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        ready!(self.poll_own(cx))?;
        let polled = self.under.poll_bare_write(cx, slices);
        self.blocked = polled.is_pending();
        let written = ready!(polled)?;
        self.sent(slices, written);
        Poll::Ready(Ok(written))
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let polled = self.under.poll_bare_write(cx, &[IoSlice::new(&self.own)]);
            self.blocked = polled.is_pending();
            self.own.advance(ready!(polled)?);
        }
        Poll::Ready(Ok(()))
    }

    /// So many of these bytes are out.
    fn sent(&mut self, slices: &[IoSlice<'_>], mut written: usize) {
        for slice in slices {
            let out = &slice[..slice.len().min(written)];
            written -= out.len();
            let (control, standing) = (&mut self.control, &mut self.standing);
            self.outward.follow(out, |seen| {
                if let Seen::Head(frame) = seen {
                    control.sent(frame);
                }
                standing.sent(seen);
            });
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.script.is_some() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_own(cx))?;
        let polled = self.under.poll_bare_flush(cx);
        // TLS takes bytes that it cannot pass on.
        self.blocked = polled.is_pending();
        polled
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.standing.end();
        self.under.poll_close(cx, self.linger)
    }
}
