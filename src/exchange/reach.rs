//! The way to the backend: the wait while it is away, the queue for a slot, the connection.
//!
//! Until the request is sent, its client's leave ends it, and the backend never hears of it.

use std::future::Future;

use tokio::time::Instant;

use super::{Exchange, run::Stopped};
use crate::{
    admission::queue::Slot,
    backend::{Backend, Link, Outbound, Turn, Watched as _},
    refusal::Refusal,
};

impl Exchange {
    /// Waits while the backend is away, then for a slot, and connects.
    pub(super) async fn reach(
        &self,
        backend: &Backend,
        request: &Outbound,
        mut slot: Option<Slot>,
    ) -> Result<(Slot, Box<Link>), Stopped> {
        loop {
            if !backend.is_there() {
                // Whoever is to try may need it.
                slot = None;
            }
            let turn = self.wait_for_turn(backend, request).await?;
            let slot = match slot.take() {
                Some(slot) => slot,
                None => self.wait_for_slot(backend, request).await?,
            };
            let connect = backend.connect(request, &turn);
            let link = match turn {
                // Not to be left half-way: the backend would see a connection without a request.
                Turn::Go => connect.await,
                Turn::Try { .. } => Box::pin(self.held(backend, request, connect)).await?,
            };
            match link {
                Ok(link) if self.is_wanted() => return Ok((slot, link)),
                Ok(_) => return Err(left(request)),
                Err(_) if backend.holds() => {}
                Err(why) => return Err(Stopped::NoAnswer(why)),
            }
        }
    }

    async fn wait_for_turn<'a>(
        &self,
        backend: &'a Backend,
        request: &Outbound,
    ) -> Result<Turn<'a>, Stopped> {
        if backend.is_there() {
            return Ok(Turn::Go);
        }
        // Boxed, as all that is rare: every exchange would bear its size.
        let turn = Box::pin(self.held(backend, request, backend.turn())).await?;
        turn.map_err(Stopped::NoAnswer)
    }

    async fn wait_for_slot(&self, backend: &Backend, request: &Outbound) -> Result<Slot, Stopped> {
        if let Some(slot) = backend.slots.free_slot() {
            return if self.is_wanted() { Ok(slot) } else { Err(Stopped::Abandoned) };
        }
        let queued = Instant::now();
        let slot = Box::pin(self.patiently(backend, request, backend.slots.slot())).await;
        self.record().note(|outcome| outcome.queue += queued.elapsed());
        let slot = slot?.map_err(Stopped::NoSlot)?;
        if self.is_wanted() { Ok(slot) } else { Err(Stopped::Abandoned) }
    }

    /// Awaits `part`, which waits for the backend to come back.
    async fn held<T>(
        &self,
        backend: &Backend,
        request: &Outbound,
        part: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let began = Instant::now();
        let done = self.patiently(backend, request, part).await;
        self.record().note(|outcome| outcome.held += began.elapsed());
        done
    }

    /// Awaits `part`, unless everybody leaves, or the backend stays away for too long.
    async fn patiently<T>(
        &self,
        backend: &Backend,
        request: &Outbound,
        part: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let is_sent = request.is_sent();
        let outwaited = async {
            let is_page_load = !is_sent && request.is_page_load();
            backend.outwaited(self.record().began(), is_page_load).await
        };
        tokio::select! {
            biased;
            // Cancel-safe: who leaves a line gives up the place in it, and that is wanted.
            done = part => Ok(done),
            () = self.abandoned() => Err(left(request)),
            refusal = outwaited => Err(Stopped::NoAnswer(refusal)),
        }
    }
}

/// Nobody waits any more.
fn left(request: &Outbound) -> Stopped {
    match request.is_sent() {
        // The backend has cut it, and for nobody it is not sent again.
        true => Stopped::NoAnswer(Refusal::ClosedEarly),
        false => Stopped::Abandoned,
    }
}
