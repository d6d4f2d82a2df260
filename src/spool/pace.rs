//! How far the writer goes ahead of a reader that keeps pace: not so far that what is written has left
//! the processor's cache when it is read, or goes by way of the disk for nothing.

use std::time::Duration;

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
}

impl Pace {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, is_behind: false }
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
        let is_behind = timeout_at(until, room).await.is_err();
        let mut state = self.shared.state.lock();
        state.pace.is_behind = is_behind;
        state.pace.patience = state.pace.patience.saturating_sub(since.elapsed());
    }
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
