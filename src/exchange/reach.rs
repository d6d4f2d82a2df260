//! The way to the backend: the wait while it is away, the queue for a slot, the connection.
//!
//! Until the request is sent, its client's leave ends it, and the backend never hears of it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Exchange, run::Stopped};
use crate::{
    admission::queue::{Came, NoSlot},
    backend::{Backend, Link, Outbound, Slot, Turn},
    observe::trace::What,
    refusal::Refusal,
};

impl Exchange {
    /// Waits while the backend is away, then for a `slot`, and connects. A request that the backend
    /// may have seen already has one.
    pub(super) async fn reach(
        &self,
        backend: &Backend,
        request: &Outbound,
        slot: &mut Option<Slot>,
    ) -> Result<Box<Link>, Stopped> {
        let mut came = if slot.is_some() { Came::Again } else { Came::New };
        loop {
            let mut turn = if backend.is_there() {
                Turn::at_once()
            } else {
                // Whoever is to try may need it: nobody has a slot who waits in line.
                *slot = None;
                self.wait_for_turn(backend, request).await?
            };
            let held = match slot {
                Some(held) => held,
                None => slot.insert(self.wait_for_slot(backend, request, came, &mut turn).await?),
            };
            // Should it have to give that up, nobody who is in the queue still has come before it.
            came = Came::Again;
            if !turn.is_trial() && backend.is_away() {
                // It went away while this one was in the queue.
                continue;
            }
            let link = if turn.is_trial() {
                let connected = backend.connect(request, &turn, held);
                Box::pin(self.held(backend, request, connected)).await?
            } else {
                // Not to be left half-way: the backend would see a connection without a request.
                backend.connect(request, &turn, held).await
            };
            match link {
                Ok(link) => {
                    self.may_go_on(request)?;
                    return Ok(link);
                }
                // Another one has a slot free, or the queue for it.
                Err(_) if held.is_out() => *slot = None,
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
        // Boxed, as all that is rare: every exchange would bear its size.
        let turn = Box::pin(self.held(backend, request, backend.turn())).await?;
        turn.map_err(Stopped::NoAnswer)
    }

    async fn wait_for_slot(
        &self,
        backend: &Backend,
        request: &Outbound,
        came: Came,
        turn: &mut Turn<'_>,
    ) -> Result<Slot, Stopped> {
        let slot = match backend.free_slot(Some(request)) {
            Some(slot) => slot,
            None => Box::pin(self.queue(backend, request, came, turn)).await?,
        };
        turn.lets_the_next_go();
        self.may_go_on(request)?;
        Ok(slot)
    }

    /// Whether it is still to be sent. An operator may have ended it while it connected, or in the
    /// moment in which its slot came, and nothing of that is for the backend to bear.
    fn may_go_on(&self, request: &Outbound) -> Result<(), Stopped> {
        match self.is_to_be_sent() {
            Ok(true) => Ok(()),
            Ok(false) => Err(left(request)),
            Err(reason) => Err(Stopped::Cut(reason)),
        }
    }

    async fn queue(
        &self,
        backend: &Backend,
        request: &Outbound,
        came: Came,
        turn: &mut Turn<'_>,
    ) -> Result<Slot, Stopped> {
        let queued = Instant::now();
        self.happened(What::Queued, queued);
        let slot = self.in_line(backend, request, came, turn, queued).await;
        self.record().note(|outcome| outcome.queue += queued.elapsed());
        slot
    }

    /// Waits in line for a slot, unless everybody leaves. How long that may take, and whether the backend has
    /// been away for too long meanwhile, is looked at now and then: to be told of both would cost as much
    /// as the whole wait, which is short for most.
    async fn in_line(
        &self,
        backend: &Backend,
        request: &Outbound,
        came: Came,
        turn: &mut Turn<'_>,
        queued: Instant,
    ) -> Result<Slot, Stopped> {
        let (began, until) = (self.record().began(), queued + backend.config.queue.timeout);
        let mut slot = pin!(backend.slot(request, came, turn.was_held(), began));
        let mut look = until.min(queued + LOOK);
        loop {
            let in_order = poll_fn(|cx| {
                let polled = slot.as_mut().poll(cx);
                // Its place in the queue is taken by now.
                turn.lets_the_next_go();
                polled
            });
            tokio::select! {
                biased;
                // Cancel-safe, all: who waits in line has the place in it, and the others only wait.
                slot = in_order => return slot.map_err(Stopped::NoSlot),
                stopped = self.left(request) => return Err(stopped),
                () = sleep_until(look) => {}
            }
            let now = Instant::now();
            if now >= until {
                return Err(Stopped::NoSlot(NoSlot::WaitedTooLong));
            }
            let is_page_load = !request.is_sent() && request.is_page_load();
            look = until.min(match backend.outwaited_at(began, is_page_load) {
                Some((at, why)) if at <= now => return Err(Stopped::NoAnswer(why)),
                Some((at, _)) => at.min(now + LOOK),
                None => now + LOOK,
            });
        }
    }

    /// Awaits `part`, which waits for the backend to come back.
    async fn held<T>(
        &self,
        backend: &Backend,
        request: &Outbound,
        part: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let began = Instant::now();
        self.happened(What::Held, began);
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
        let outwaited = async {
            let is_page_load = !request.is_sent() && request.is_page_load();
            backend.outwaited(self.record().began(), is_page_load).await
        };
        tokio::select! {
            biased;
            // Cancel-safe: who leaves a line gives up the place in it, and that is wanted.
            done = part => Ok(done),
            stopped = self.left(request) => Err(stopped),
            refusal = outwaited => Err(Stopped::NoAnswer(refusal)),
        }
    }

    /// Resolves when everybody has left, or an operator ends it.
    async fn left(&self, request: &Outbound) -> Stopped {
        match self.abandoned().await {
            Ok(()) => left(request),
            Err(reason) => Stopped::Cut(reason),
        }
    }
}

/// So often who waits in line looks for how long it has done so.
const LOOK: Duration = Duration::from_millis(250);

/// Nobody waits any more.
fn left(request: &Outbound) -> Stopped {
    match request.is_sent() {
        // The backend has cut it, and for nobody it is not sent again.
        true => Stopped::NoAnswer(Refusal::ClosedEarly),
        false => Stopped::Abandoned,
    }
}
