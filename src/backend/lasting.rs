//! What a backend has only once, however often the configuration is read again: its slots, its
//! connections, what is known of it, and where it is dialled.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arc_swap::ArcSwap;

use super::{
    dial::Dialler,
    hold::Hold,
    look::Look,
    pool::{Bounds, Pool},
};
use crate::{admission::queue::Slots, config};

/// Lives as long as anything runs or waits at the backend.
#[derive(Debug)]
pub(super) struct Lasting {
    pub slots: Slots,
    pub hold: Hold,
    pub pool: Pool,
    pub look: Look,
    server: ArcSwap<Server>,
}

/// Where a backend is dialled.
#[derive(Debug)]
pub(super) struct Server {
    pub dialler: Dialler,
    pub connect_timeout: std::time::Duration,
    /// Another for each url: connections to one are none to the next.
    pub number: u64,
}

/// The last number of a server.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Lasting {
    pub(super) fn new(config: &config::Backend) -> Arc<Self> {
        let server = Server::new(config, NUMBERS.fetch_add(1, Relaxed) + 1);
        Arc::new(Self {
            slots: Slots::new(config.max_concurrency),
            hold: Hold::default(),
            look: Look::default(),
            pool: Pool::new(bounds(config, server.number)),
            server: ArcSwap::from_pointee(server),
        })
    }

    pub(super) fn reload(&self, config: &config::Backend) {
        let before = self.server();
        let number = match before.dialler.url() == &config.url {
            true => before.number,
            false => NUMBERS.fetch_add(1, Relaxed) + 1,
        };
        // Before the pool knows: who dials the former one now keeps no connection to it.
        self.server.store(Arc::new(Server::new(config, number)));
        self.slots.resize(config.max_concurrency);
        self.pool.rebound(bounds(config, number));
    }

    pub(super) fn retire(&self) {
        let Server { number, .. } = *self.server();
        let max_age = std::time::Duration::ZERO;
        self.pool.rebound(Bounds { max: 0, max_age, server: number });
    }

    /// As the last configuration has it.
    pub(super) fn server(&self) -> Arc<Server> {
        self.server.load_full()
    }
}

impl Server {
    fn new(config: &config::Backend, number: u64) -> Self {
        let (dialler, connect_timeout) = (Dialler::new(config), config.connect_timeout);
        Self { dialler, connect_timeout, number }
    }
}

fn bounds(config: &config::Backend, server: u64) -> Bounds {
    Bounds { max: config.max_concurrency, max_age: config.idle, server }
}
