//! Which exchanges can be joined: join, or start.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use super::{
    Ready, Watcher,
    identity::Identity,
    shared::{Open, Shared, To},
    start, start_open,
};
use crate::spool::Retain;

/// The exchanges that run for requests that others may send as well. Each is in it from its start
/// to its end, so its bound is that of exchanges: the slots and queues of all backends.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    running: Arc<Mutex<HashMap<Identity, Arc<Shared>>>>,
    /// `join.max_body`.
    max_body: u64,
}

/// An exchange's place in the registry, until it is dropped.
#[derive(Debug)]
pub(super) struct Listing {
    registry: Registry,
    identity: Identity,
}

impl Registry {
    pub(crate) fn new(config: &crate::config::Join) -> Self {
        Self { running: Arc::default(), max_body: config.max_body }
    }

    /// Joins the exchange that runs for an equal request, if it is open to this caller, else starts
    /// one. Decided under one lock: of equal requests that come at once, one starts an exchange.
    pub(crate) fn join_or_start(
        &self,
        identity: Identity,
        caller: IpAddr,
        mut ready: Ready,
    ) -> Watcher {
        let mut running = self.running.lock();
        if let Some(shared) = running.get(&identity)
            && let Some(seat) = shared.take_seat(caller)
        {
            return Watcher::equal(shared, seat, ready);
        }
        let Some(writes) = ready.plan.backend.writes.clone() else { return start(ready) };
        // What an orphan may discard bounds what is retained of it, too.
        let bound = self.max_body.min(ready.plan.policy.orphan.max_bytes);
        ready.plan.retain = Retain::Upto(bound);
        let listing = Box::new(Listing { registry: self.clone(), identity });
        let open = Open::new(caller, To::Equals { writes, since: 0 });
        let watcher = start_open(ready, open, Some(listing));
        // The one before may run on; nobody finds it any more.
        running.insert(identity, watcher.shared.clone());
        watcher
    }
}

impl Listing {
    /// Takes this exchange from the registry, unless another one is there by now.
    pub(super) fn end(&self, shared: &Arc<Shared>) {
        let mut running = self.registry.running.lock();
        if running.get(&self.identity).is_some_and(|listed| Arc::ptr_eq(listed, shared)) {
            running.remove(&self.identity);
        }
    }
}
