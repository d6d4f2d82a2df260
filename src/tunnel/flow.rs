//! One direction of a tunnel.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::frames::Frames;

/// Bytes from one end, the source, on their way to the other, the sink. What a read has brought is
/// written at once; only what the sink does not take is kept, and nothing is read meanwhile: an idle
/// tunnel has no buffer, and a slow one has no more than [`CHUNK`] bytes.
#[derive(Debug)]
pub(super) struct Flow {
    /// None where the bytes are just bytes.
    pub frames: Option<Frames>,
    pub source: Source,
    pub sink: Sink,
    pending: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// A Close of our own, to be put behind the present frame.
    farewell: Option<Vec<u8>>,
    /// It was. Nothing may follow it (RFC 6455, section 5.5.1), so the source is no longer heard.
    pub said_close: bool,
    /// The sink is to be shut when all is out.
    finishing: bool,
    /// Bytes that the sink has taken, and bytes that nobody took.
    pub passed: u64,
    pub dropped: u64,
    /// The sink has taken no byte since.
    pub stalled_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Open,
    /// By a FIN.
    Ended,
    /// By a RST, or given up.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    Open,
    /// With a FIN.
    Shut,
    Lost,
}

impl Flow {
    pub(super) fn new(frames: Option<Frames>) -> Self {
        Self {
            frames,
            source: Source::Open,
            sink: Sink::Open,
            pending: Vec::new(),
            written: 0,
            unflushed: false,
            farewell: None,
            said_close: false,
            finishing: false,
            passed: 0,
            dropped: 0,
            stalled_since: None,
        }
    }

    /// Moves what can be moved, and says whether anything was.
    pub(super) fn poll<From, To>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut From,
        to: &mut To,
    ) -> bool
    where
        From: AsyncRead + Unpin + ?Sized,
        To: AsyncWrite + Unpin + ?Sized,
    {
        let mut moved = false;
        for _ in 0..AT_ONCE {
            let before = self.passed;
            let out = self.poll_out(cx, to);
            moved |= self.passed > before;
            if out.is_pending() {
                return moved;
            }
            if self.is_between()
                && let Some(close) = self.farewell.take()
            {
                self.say(&close);
                continue;
            }
            if self.finishing && self.sink == Sink::Open {
                moved |= self.poll_shut(cx, to).is_ready();
            }
            if self.source != Source::Open || self.poll_in(cx, from, to).is_pending() {
                return moved;
            }
            moved = true;
        }
        // Others have their turn first.
        cx.waker().wake_by_ref();
        moved
    }

    /// Has the source said Close?
    pub(super) fn is_closed(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::is_closed)
    }

    /// Has the sink been told to close, by whomever?
    pub(super) fn has_told(&self) -> bool {
        self.pending.is_empty() && (self.said_close || self.is_closed())
    }

    /// Puts this Close between two frames. Where the source is gone in the middle of one, there is
    /// no such place any more: the rest of that frame is nobody's to invent, and a FIN says that it
    /// will not come.
    pub(super) fn say_close(&mut self, close: Vec<u8>) {
        if self.said_close || self.is_closed() || self.finishing {
            return;
        }
        if self.is_between() || self.source == Source::Open {
            self.farewell = Some(close);
        } else {
            self.finish();
        }
    }

    /// Shuts the sink once all is out.
    pub(super) fn finish(&mut self) {
        self.farewell = self.farewell.take().filter(|_| self.is_between());
        self.finishing = true;
    }

    /// Shuts the sink now: it takes nothing any more.
    pub(super) fn finish_now(&mut self) {
        self.farewell = None;
        self.drop_pending();
        self.finishing = true;
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// The sink is gone.
    pub(super) fn lose_sink(&mut self) {
        self.farewell = None;
        self.drop_pending();
        if self.sink == Sink::Open {
            self.sink = Sink::Lost;
        }
    }

    /// The source is gone, or no longer heard.
    pub(super) fn lose_source(&mut self) {
        if self.source == Source::Open {
            self.source = Source::Lost;
        }
        // Else it would wait for a frame that does not come.
        if self.farewell.is_some() && !self.is_between() {
            self.finish();
        }
    }

    pub(super) fn has_passed_all(&self) -> bool {
        self.pending.is_empty() && !self.unflushed
    }

    fn is_between(&self) -> bool {
        self.frames.as_ref().is_none_or(Frames::is_between)
    }

    fn say(&mut self, close: &[u8]) {
        self.said_close = true;
        self.pending.extend_from_slice(close);
    }

    /// Ready when there is nothing left to write, or nobody to write it to.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<()> {
        while self.written < self.pending.len() {
            match Pin::new(&mut *to).poll_write(cx, &self.pending[self.written..]) {
                Poll::Ready(Ok(len @ 1..)) => {
                    self.written += len;
                    self.took(len);
                }
                Poll::Ready(_) => {
                    self.lose_sink();
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
        if !self.pending.is_empty() {
            self.pending = Vec::new();
            self.written = 0;
        }
        if self.unflushed && self.sink == Sink::Open {
            match Pin::new(to).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    self.stalled_since = None;
                }
                Poll::Ready(Err(_)) => self.lose_sink(),
                Poll::Pending => {
                    // TLS takes bytes that it cannot pass on.
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// Ready when something has come, be it the end.
    fn poll_in<From, To>(&mut self, cx: &mut Context<'_>, from: &mut From, to: &mut To) -> Poll<()>
    where
        From: AsyncRead + Unpin + ?Sized,
        To: AsyncWrite + Unpin + ?Sized,
    {
        let mut room = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut room);
        match ready!(Pin::new(from).poll_read(cx, &mut chunk)) {
            Ok(()) if chunk.filled().is_empty() => self.source = Source::Ended,
            Ok(()) => self.pass(cx, chunk.filled(), to),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.source = Source::Lost,
        }
        if self.source != Source::Open && self.farewell.is_some() && !self.is_between() {
            self.finish();
        }
        Poll::Ready(())
    }

    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) {
        let heard = self.hear(bytes);
        self.dropped += (bytes.len() - heard) as u64;
        let mut rest = &bytes[..heard];
        while !rest.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, rest) {
                Poll::Ready(Ok(len @ 1..)) => {
                    self.took(len);
                    rest = &rest[len..];
                }
                Poll::Ready(_) => {
                    self.dropped += rest.len() as u64;
                    return self.lose_sink();
                }
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    break;
                }
            }
        }
        // Before a farewell that was put there meanwhile.
        self.pending.splice(..0, rest.iter().copied());
    }

    /// Follows the frames in these bytes, and says how many of the bytes are to be passed on.
    fn hear(&mut self, bytes: &[u8]) -> usize {
        let passes = self.sink == Sink::Open && !self.said_close && !self.finishing;
        let all = if passes { bytes.len() } else { 0 };
        let Some(frames) = &mut self.frames else { return all };
        let Some(close) = self.farewell.take_if(|_| passes) else {
            frames.pass(bytes);
            return all;
        };
        let of_frame = frames.take(bytes);
        if frames.is_between() {
            frames.pass(&bytes[of_frame..]);
            self.say(&close);
        } else {
            self.farewell = Some(close);
        }
        of_frame
    }

    fn took(&mut self, len: usize) {
        self.passed += len as u64;
        self.unflushed = true;
        self.stalled_since = None;
    }

    fn poll_shut(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<()> {
        self.sink = match ready!(Pin::new(to).poll_shutdown(cx)) {
            Ok(()) => Sink::Shut,
            Err(_) => Sink::Lost,
        };
        Poll::Ready(())
    }

    fn drop_pending(&mut self) {
        self.dropped += (self.pending.len() - self.written) as u64;
        self.pending = Vec::new();
        self.written = 0;
        self.stalled_since = None;
    }
}

/// Bytes read at once, and all that is ever held of one direction.
const CHUNK: usize = 16 * 1024;
/// Chunks that are passed before others have their turn.
const AT_ONCE: usize = 16;
