//! How many connections there may be at once, in the whole house.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::config::Config;

/// Passed by every connection of every listener.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    /// When it was last said that accepting pauses: at the bound it does so again and again.
    told: Mutex<Option<Instant>>,
}

impl Gate {
    /// For a process that may have so many descriptors. Where they are few, half of them, or more
    /// where the backends need less, are left for what connections lead to.
    pub(crate) fn new(config: &Config, descriptors: u64) -> Self {
        let wanted = config.client.total_connections;
        let backends: usize = config.backends.iter().map(|backend| backend.max_concurrency).sum();
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let room = descriptors.saturating_sub(backends + SPARE).max(descriptors / 2);
        if room < wanted.min(FEW) {
            tracing::warn!(
                descriptors,
                connections = room,
                "the limit of descriptors allows fewer connections than client.total_connections"
            );
        }
        let permits = wanted.min(room).clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(permits)), told: Mutex::default() }
    }

    /// Waits until there is room for one more. It is accepted already: so no room is held for one
    /// that may never come.
    pub(super) async fn pass(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        if self.is_news() {
            tracing::warn!("client.total_connections reached; accepting pauses");
        }
        self.permits.clone().acquire_owned().await.ok()
    }

    /// The system gives no more connections (descriptors, memory).
    pub(super) async fn pause(&self, error: io::Error) {
        if self.is_news() {
            tracing::error!(%error, "cannot accept connections; pausing");
        }
        sleep(PAUSE).await;
    }

    fn is_news(&self) -> bool {
        let mut told = self.told.lock();
        let is_news = told.is_none_or(|told| told.elapsed() > AGAIN);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }
}

/// Below this it is worth a line that connections are bounded by descriptors.
const FEW: usize = 1024;
/// Descriptors for all else: listeners, logs, event queues, spooled bodies.
const SPARE: usize = 64;
/// How long accepting pauses when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(100);
/// How long until it is said again that accepting pauses.
const AGAIN: Duration = Duration::from_secs(60);
