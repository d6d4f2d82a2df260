//! Requests with an `Idempotency-Key`: run, attach or replay.

use std::{net::IpAddr, sync::Arc};

use super::{
    Ready, Watcher,
    open::{Open, To},
    registry::Known,
    shared::Shared,
    start_open,
};
use crate::{
    refusal::Refusal,
    replay::{Answer, InMemory, Name, NoTurn, Replay, Turn},
    spool::Retain,
};

/// The exchanges of such requests, running and over.
#[derive(Debug)]
pub(crate) struct Replays {
    replay: Replay<Arc<Shared>>,
    /// `replay.max_body`.
    max_body: u64,
}

/// What there is for such a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its own exchange, or the one of the request that it retries.
    Exchange(Watcher),
    /// What that came to.
    Kept(Answer),
}

impl Replays {
    pub(crate) fn new(config: &crate::config::Replay) -> Self {
        Self { replay: Replay::new(config), max_body: config.max_body }
    }

    /// What is kept by this process.
    pub(crate) fn in_memory(&self) -> InMemory {
        self.replay.in_memory()
    }

    /// With the bounds of this configuration.
    pub(crate) fn reloaded(&self, config: &crate::config::Replay) -> Self {
        Self { replay: self.replay.reloaded(config), max_body: config.max_body }
    }

    /// May be dropped at any time.
    pub(crate) async fn run_attach_or_replay(
        &self,
        name: &Name,
        caller: IpAddr,
        mut ready: Ready,
    ) -> Result<Found, Refusal> {
        let attach = |shared: &Arc<Shared>| Some((shared.clone(), shared.take_seat(caller)?));
        match self.replay.turn(name, attach).await {
            Ok(Turn::Run(claim)) => {
                ready.plan.retain = Retain::Upto(self.max_body);
                let open = Open::new(caller, To::Retries);
                let known = Box::new(Known::to_retries(claim));
                Ok(Found::Exchange(start_open(ready, open, known)))
            }
            Ok(Turn::Attached((shared, seat))) => {
                Ok(Found::Exchange(Watcher::retry(&shared, seat, ready)))
            }
            Ok(Turn::Kept(answer)) => {
                // Another seawall may have run it, and here nobody has heard of that write yet.
                ready.plan.means.backend.shared.writes.raise();
                Ok(Found::Kept(answer))
            }
            Err(NoTurn::Other) => Err(Refusal::KeyOfAnother),
            Err(NoTurn::Running) => Err(Refusal::StillRunning),
            Err(NoTurn::Unknown) => Err(Refusal::ResultUnknown),
        }
    }
}
