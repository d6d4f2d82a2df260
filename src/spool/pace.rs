//! How far the writer goes ahead of a reader that keeps pace: not so far that what is written has left
//! the processor's cache when it is read, or goes by way of the disk for nothing.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::futures::Notified,
    time::{Instant, timeout_at},
};

use super::{Retain, Spool, State};

/// Of the readers of one spool.
#[derive(Debug)]
pub(super) struct Pace {
    /// What is left of `spool.patience`.
    patience: Duration,
    /// They were waited for in vain, and have not caught up since.
    is_behind: bool,
    /// The client's socket took at once all that was waited for: it is not its fault that there was a wait.
    is_ours: bool,
}

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, is_behind: false, is_ours: false }
    }

    /// What is waited for from here on is not out yet.
    pub(super) fn begin(&mut self) {
        self.is_ours = false;
    }

    /// It is out, and the client's socket never had to wait for its client.
    pub(super) fn went_at_once(&mut self) {
        self.is_ours = true;
    }

    /// All that was written is read.
    pub(super) fn caught_up(&mut self) {
        self.is_behind = false;
    }
}

impl Spool {
    /// Until when to wait for room for one chunk: as before, where it has been waited for already. None: the
    /// writer goes ahead.
    pub(super) fn patience(&self, until: Option<Instant>) -> Option<Instant> {
        let state = self.shared.state.lock();
        let patience = state.pace.patience.min(self.shared.limits.patience / AT_ONCE);
        state.is_patient().then(|| until.unwrap_or_else(|| Instant::now() + patience))
    }

    /// A reader that makes too little room by then is slow, and nothing waits for it until it has caught up.
    pub(super) async fn wait_for_readers(&self, room: Notified<'_>, until: Instant) {
        let since = Instant::now();
        // Cancel-safe: room that is made as this ends is seen by whoever looks next.
        let mut room = pin!(room);
        let is_behind =
            !comes_in_turn(room.as_mut()).await && timeout_at(until, room).await.is_err();
        let mut state = self.shared.state.lock();
        state.pace.is_behind = is_behind;
        // Else many large answers at once would have each other's turns count as the slowness of their clients.
        if !std::mem::take(&mut state.pace.is_ours) {
            state.pace.patience = state.pace.patience.saturating_sub(since.elapsed());
        }
    }
}

/// Is it there once all others that are ready had their turn? Then it needs no timer: one that is due soon costs a
/// system call.
async fn comes_in_turn(mut room: Pin<&mut Notified<'_>>) -> bool {
    let mut is_turn = false;
    poll_fn(|cx| {
        if room.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if std::mem::replace(&mut is_turn, true) {
            return Poll::Ready(false);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

impl State {
    /// Bytes that may be in memory.
    pub(super) fn bound(&self, memory: u64) -> u64 {
        if self.is_patient() { memory / PART } else { memory }
    }

    /// Where something is retained, no reader makes room.
    fn is_patient(&self) -> bool {
        self.retain == Retain::Nothing && !self.pace.is_behind && !self.pace.patience.is_zero()
    }
}

/// So much of `spool.memory` is in use before the writer waits.
const PART: u64 = 4;
/// So much of `spool.patience` is spent at a time.
const AT_ONCE: u32 = 10;
