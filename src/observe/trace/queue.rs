//! The spans that wait for the collector: bounded, and nobody waits for room there.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::trail::Trail;
use crate::observe::record::{Facts, Outcome};

/// A request that is over, and its exchange with it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trail: Arc<Trail>,
    pub(super) facts: Facts,
    pub(super) outcome: Outcome,
    /// Of the backend.
    pub(super) backend: Arc<str>,
    pub(super) at: Instant,
}

/// Some that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) all: Vec<Finished>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The first has come, or enough for a batch, or the process ends.
    come: Notify,
    /// The process ends: whoever waits for a collector waits no longer.
    ending: Notify,
    /// The last batch is through.
    through: Notify,
    /// `trace.memory`.
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Finished>,
    /// Of those that wait, and of the batch under way.
    bytes: usize,
    dropped: u64,
    ending: bool,
    through: bool,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            state: Mutex::default(),
            come: Notify::new(),
            ending: Notify::new(),
            through: Notify::new(),
            most,
        }
    }

    /// Drops what finds no room.
    pub(super) fn push(&self, finished: Finished) {
        let size = finished.size();
        let mut state = self.state.lock();
        if state.bytes + size > self.most {
            state.dropped += 1;
            return;
        }
        state.bytes += size;
        state.waiting.push(finished);
        let waiting = state.waiting.len();
        drop(state);
        // The sender gathers by the clock in between, so that not every request wakes it.
        if waiting == 1 || waiting == BATCH {
            self.come.notify_one();
        }
    }

    /// The next ones to send; none when the process ends and all are sent.
    pub(super) async fn batch(&self) -> Option<Batch> {
        let mut late = false;
        loop {
            let waits = {
                let mut state = self.state.lock();
                match state.waiting.len() {
                    0 if state.ending => return None,
                    0 => false,
                    waiting if waiting >= BATCH || late || state.ending => {
                        let all: Vec<_> = state.waiting.drain(..waiting.min(BATCH)).collect();
                        let bytes = all.iter().map(Finished::size).sum();
                        return Some(Batch { all, bytes });
                    }
                    _ => true,
                }
            };
            // A word that came in between is kept until then.
            match waits {
                true => late = timeout(GATHER, self.come.notified()).await.is_err(),
                false => self.come.notified().await,
            }
        }
    }

    /// There is room again.
    pub(super) fn done(&self, batch: &Batch) {
        self.state.lock().bytes -= batch.bytes;
    }

    pub(super) fn count_dropped(&self, requests: usize) {
        self.state.lock().dropped += requests as u64;
    }

    /// Requests so far whose spans were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state.lock().ending
    }

    /// Waits so long, unless the process ends.
    pub(super) async fn pause(&self, pause: Duration) {
        if !self.is_ending() {
            let _ = timeout(pause, self.ending.notified()).await;
        }
    }

    /// All that was there is sent, or dropped.
    pub(super) fn is_through(&self) {
        self.state.lock().through = true;
        self.through.notify_one();
    }

    /// Has the rest sent, and waits for that: the process ends.
    pub(super) async fn end(&self) {
        self.state.lock().ending = true;
        self.come.notify_one();
        self.ending.notify_one();
        while !self.state.lock().through {
            self.through.notified().await;
        }
    }
}

impl Finished {
    fn size(&self) -> usize {
        size_of::<Self>() + self.facts.path().map_or(0, str::len) + self.trail.size()
    }
}

/// Requests whose spans are sent at once.
const BATCH: usize = 512;
/// How long they are gathered once the first has come.
const GATHER: Duration = Duration::from_secs(1);
