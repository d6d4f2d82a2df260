//! How many frames a client may send that are neither request nor body.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{END_STREAM, FrameHead, kind};

/// In this time, `client.control_frames` come back.
const REFILL: Duration = Duration::from_secs(10);
/// What a request is worth in control frames: window updates for its answer, its reset.
const REQUEST: u32 = 10;
/// What a frame of an answer is worth.
const ANSWER: u32 = 2;
/// Of an answer, so many bytes are worth an update of the stream's window and one of the connection's:
/// there are clients (Go's) that give back their room as they read, in pieces of this size.
const PIECE: u32 = 4 * 1024;

/// The control frames that a client may still send.
#[derive(Debug)]
pub(super) struct Control {
    max: u32,
    left: u32,
    /// Window updates that answers have paid for. Not bounded: what a client has room for is sent at
    /// once, and it may give all of that room back later.
    updates: u32,
    since: Instant,
}

impl Control {
    pub(super) fn new(max: u32) -> Self {
        Self { max, left: max, updates: 0, since: Instant::now() }
    }

    /// Time has passed.
    pub(super) fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let back = u128::from(self.max) * passed / REFILL.as_millis();
        if back > 0 {
            self.since = now;
            self.earn(u32::try_from(back).unwrap_or(self.max));
        }
    }

    /// A frame of the client's. False where it is one too many.
    pub(super) fn received(&mut self, frame: FrameHead) -> bool {
        match frame.kind {
            kind::HEADERS => self.earn(REQUEST),
            kind::DATA if frame.len > 0 || frame.flags & END_STREAM != 0 => {}
            kind::WINDOW_UPDATE if self.updates > 0 => self.updates -= 1,
            _ if self.left == 0 => return false,
            _ => self.left -= 1,
        }
        true
    }

    /// A frame of ours.
    pub(super) fn sent(&mut self, frame: FrameHead) {
        if frame.kind == kind::DATA {
            self.earn(ANSWER);
            self.updates = self.updates.saturating_add(2 * frame.len.div_ceil(PIECE));
        }
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: FrameHead = FrameHead { len: 8, kind: 6, flags: 0, stream: 0 };
    const EMPTY: FrameHead = FrameHead { len: 0, kind: kind::DATA, flags: 0, stream: 1 };
    const LAST: FrameHead = FrameHead { flags: END_STREAM, ..EMPTY };
    const UPDATE: FrameHead = FrameHead { len: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 1 };

    #[tokio::test(start_paused = true)]
    async fn control_frames_are_paid_for_by_requests_answers_and_time() {
        let mut control = Control::new(20);
        assert!((0..20).all(|_| control.received(PING)));
        assert!(!control.received(PING));
        assert!(!control.received(EMPTY));
        assert!(control.received(LAST));
        assert!(control.received(FrameHead { len: 9, kind: kind::HEADERS, flags: 5, stream: 1 }));
        assert!((0..10).all(|_| control.received(EMPTY)));
        assert!(!control.received(PING));
        control.sent(LAST);
        assert!(control.received(PING) && control.received(PING) && !control.received(PING));
        tokio::time::advance(REFILL / 2).await;
        control.refill(Instant::now());
        assert!((0..10).all(|_| control.received(PING)));
        assert!(!control.received(PING));
    }

    #[tokio::test(start_paused = true)]
    async fn all_room_that_an_answer_took_may_be_given_back_piece_by_piece() {
        let mut control = Control::new(20);
        for _ in 0..256 {
            control.sent(FrameHead { len: 16 * 1024, ..EMPTY });
        }
        assert!((0..256 * 8).all(|_| control.received(UPDATE)));
        assert!((0..20).all(|_| control.received(UPDATE)));
        assert!(!control.received(UPDATE));
    }
}
