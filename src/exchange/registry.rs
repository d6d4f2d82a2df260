//! Which exchanges can be joined: join, or start.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use super::{
    Ready, Watcher,
    identity::Identity,
    open::{Open, To},
    shared::Shared,
    start_open,
};
use crate::{replay::Claim, spool::Retain};

/// The exchanges that run for requests that others may send as well. Each is in it from its start
/// to its end, so its bound is that of exchanges: the slots and queues of all backends.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    running: Arc<Mutex<HashMap<Identity, Arc<Shared>>>>,
    /// `join.max_body`.
    max_body: u64,
}

/// Where others find an exchange.
#[derive(Debug)]
pub(super) enum Known {
    /// Who sends an equal request.
    ToEquals(Listing),
    /// Who sends the same one again. Given away when the exchange ends.
    ToRetries(Mutex<Option<Claim<Arc<Shared>>>>),
}

/// An exchange's place in the registry.
#[derive(Debug)]
pub(super) struct Listing {
    registry: Registry,
    identity: Identity,
}

impl Registry {
    pub(crate) fn new(config: &crate::config::Join) -> Self {
        Self { running: Arc::default(), max_body: config.max_body }
    }

    /// With the bounds of this configuration.
    pub(crate) fn reloaded(&self, config: &crate::config::Join) -> Self {
        Self { running: self.running.clone(), max_body: config.max_body }
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
        let writes = ready.plan.means.backend.shared.writes.clone();
        // What an orphan may discard bounds what is retained of it, too.
        let bound = self.max_body.min(ready.plan.means.backend.config.orphan.max_bytes);
        ready.plan.retain = Retain::Upto(bound);
        let known = Box::new(Known::ToEquals(Listing { registry: self.clone(), identity }));
        let open = Open::new(caller, To::Equals { writes, since: 0 });
        let watcher = start_open(ready, open, known);
        // The one before may run on; nobody finds it any more.
        running.insert(identity, watcher.shared.clone());
        watcher
    }
}

impl Known {
    pub(super) fn to_retries(claim: Claim<Arc<Shared>>) -> Self {
        Self::ToRetries(Mutex::new(Some(claim)))
    }

    /// From here on retries find it; equals do since it was listed.
    pub(super) fn runs(&self, shared: &Arc<Shared>) {
        if let Self::ToRetries(claim) = self
            && let Some(claim) = &*claim.lock()
        {
            claim.runs(shared.clone());
        }
    }

    /// To be kept, or dropped so that a retry can run.
    pub(super) fn claim(&self) -> Option<Claim<Arc<Shared>>> {
        match self {
            Self::ToEquals(_) => None,
            Self::ToRetries(claim) => claim.lock().take(),
        }
    }

    /// The exchange is over. Unless another one is in its place by now, there is none.
    pub(super) fn end(&self, shared: &Arc<Shared>) {
        let Self::ToEquals(Listing { registry, identity }) = self else { return };
        let mut running = registry.running.lock();
        if running.get(identity).is_some_and(|listed| Arc::ptr_eq(listed, shared)) {
            running.remove(identity);
        }
    }
}
