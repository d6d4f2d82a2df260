//! What a backend has only once, however often the configuration is read again: its servers with their
//! slots and connections, and what is known of it.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use parking_lot::Mutex;

use super::{
    health::Looking,
    hold::Hold,
    look::Look,
    resolve::Asking,
    server::{Seats, Server, number},
};
use crate::{
    admission::queue::Slots,
    config::{self, Url},
    tasks::Tasks,
};

/// Lives as long as anything runs or waits at the backend.
#[derive(Debug)]
pub(super) struct Lasting {
    pub slots: Slots<Server>,
    pub hold: Hold,
    pub look: Look,
    pub asking: Asking,
    pub looking: Looking,
    /// Known once somebody serves.
    pub tasks: OnceLock<Tasks>,
    /// So that nobody looks for it who asks for the only one.
    pub has_several: AtomicBool,
    /// Locked while the servers change, and that is said.
    pub named: Mutex<Named>,
}

/// What the last configuration says.
#[derive(Debug)]
pub(super) struct Named {
    pub config: config::Backend,
    /// Another for other servers.
    pub number: u64,
    /// None has it any more, and what runs still is not to be disturbed.
    pub is_retired: bool,
}

impl Lasting {
    pub(super) fn new(config: &config::Backend) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::new(config.servers.iter().map(|url| Server::new(url, config))),
            hold: Hold::default(),
            look: Look::default(),
            asking: Asking::default(),
            looking: Looking::default(),
            tasks: OnceLock::new(),
            has_several: AtomicBool::new(config.servers.len() > 1),
            named: Mutex::new(Named {
                config: config.clone(),
                number: number(),
                is_retired: false,
            }),
        })
    }

    /// Those servers that are named still are the same, with what runs there. So is the only one where
    /// only its url has changed.
    pub(super) fn reload(&self, config: &config::Backend) {
        let mut named = self.named.lock();
        let is_same = named.config.servers == config.servers;
        let number = if is_same { named.number } else { number() };
        *named = Named { config: config.clone(), number, is_retired: false };
        let before = self.slots.servers();
        let servers = match (&*before, &*config.servers) {
            ([only], [url]) => {
                only.server.reload(url, config);
                vec![only.clone()]
            }
            (_, urls) => {
                let gone = self.slots.line().gone();
                urls.iter().flat_map(|url| servers_at(url, config, &before, &gone)).collect()
            }
        };
        self.put_in_place(&before, servers, config.max_concurrency);
    }

    pub(super) fn retire(&self) {
        let mut named = self.named.lock();
        named.is_retired = true;
        for one in self.slots.servers() {
            one.server.retire();
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.named.lock().is_retired
    }

    /// Is the process to end?
    pub(super) fn is_over(&self) -> bool {
        self.tasks.get().is_some_and(Tasks::is_draining)
    }

    /// Of the servers that the configuration names.
    pub(super) fn number(&self) -> u64 {
        self.named.lock().number
    }

    /// Has kept connections closed as they come of age. Once for each server, however often it is called.
    pub(super) fn tend(&self) {
        for one in self.slots.servers() {
            Tasks::background(async move { one.server.pool.close_aged().await });
        }
    }
}

/// Those that are there, or have exchanges still; else a new one.
fn servers_at(
    url: &Url,
    config: &config::Backend,
    before: &[Arc<Seats>],
    gone: &[Arc<Seats>],
) -> Vec<Arc<Seats>> {
    let at_url = |all: &[Arc<Seats>]| -> Vec<Arc<Seats>> {
        all.iter().filter(|one| one.server.is_at(url)).cloned().collect()
    };
    let present = Some(at_url(before)).filter(|all| !all.is_empty());
    let known = present.unwrap_or_else(|| at_url(gone));
    if known.is_empty() {
        return vec![Server::new(url, config)];
    }
    for one in &known {
        one.server.reload(url, config);
    }
    known
}
