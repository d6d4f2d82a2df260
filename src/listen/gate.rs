//! How many connections there may be at once, in the whole house.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    admission::room::{Room, Ticket},
    config::Config,
    lock::Mutex,
    pipe,
};

/// Passed by every connection of every listener.
#[derive(Debug)]
pub(crate) struct Gate {
    room: Arc<Room>,
    /// That the process may have.
    descriptors: u64,
    /// When it was last said that accepting pauses: at the bound it does so again and again.
    told: Mutex<Option<Instant>>,
}

impl Gate {
    /// For a process that may have so many descriptors.
    pub(crate) fn new(config: &Config, descriptors: u64) -> Self {
        let room = Room::new(places(config, descriptors));
        Self { room, descriptors, told: Mutex::default() }
    }

    /// From here on, what this configuration says holds.
    pub(crate) fn reload(&self, config: &Config) {
        self.room.resize(places(config, self.descriptors));
    }

    /// Waits until there is room for one more. It is accepted already: so no room is held for one
    /// that may never come.
    pub(super) async fn pass(&self) -> Ticket {
        if let Some(ticket) = self.room.try_enter() {
            return ticket;
        }
        if self.is_news() {
            tracing::warn!("client.total_connections reached; accepting pauses");
        }
        self.room.enter().await
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

/// Where descriptors are few, half of them, or more where the backends need less, are left for what
/// connections lead to.
fn places(config: &Config, descriptors: u64) -> usize {
    let wanted = config.client.total_connections;
    let backends: usize = config.backends.iter().map(|backend| backend.max_concurrency).sum();
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let others = backends + 2 * pipe::most(descriptors) + SPARE;
    let room = descriptors.saturating_sub(others).max(descriptors / 2);
    if room < wanted.min(FEW) {
        tracing::warn!(
            descriptors,
            connections = room,
            "the limit of descriptors allows fewer connections than client.total_connections"
        );
    }
    wanted.min(room).max(1)
}

/// Below this it is worth a line that connections are bounded by descriptors.
const FEW: usize = 1024;
/// Descriptors for all else: listeners, logs, event queues, spooled bodies.
const SPARE: usize = 64;
/// How long accepting pauses when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(100);
/// How long until it is said again that accepting pauses.
const AGAIN: Duration = Duration::from_secs(60);
