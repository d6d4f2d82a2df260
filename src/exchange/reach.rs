//! The way to the backend: the wait while it is away, the queue for a slot, the connection.
//!
//! Until the request is sent, its client's leave ends it, and the backend never hears of it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::{Exchange, run::Stopped};
use crate::{
    admission::queue::{Came, Wait},
    backend::{Backend, InLine, Link, Outbound, Slot, Turn},
    observe::trace::What,
    refusal::Refusal,
};

impl Exchange {
    /// A slot, as soon as there is one. None where it has to wait for the backend first: whoever does has no slot.
    pub(super) fn first_slot<'a>(
        &'a self,
        backend: &'a Backend,
        request: &'a Outbound,
    ) -> impl Future<Output = Result<Option<Slot>, Stopped>> {
        let place = || backend.slot(request, Came::New, false, self.record().began());
        let mut place = backend.is_there().then(place);
        // No `async` block: this is what thousands in the queue are, and that would hold parts of it twice.
        poll_fn(move |cx| {
            let Some(place) = &mut place else { return Poll::Ready(Ok(None)) };
            let slot = ready!(self.poll_slot(place, backend, request, None, cx))?;
            self.may_go_on(request)?;
            Poll::Ready(Ok(Some(slot)))
        })
    }

    /// Connects. Where it has no `slot`, or the backend is away, it waits for the backend before that, then for a
    /// slot. Whoever is here for the first time and has one has waited for it alone, and those who wait for the
    /// backend have come later.
    pub(super) async fn reach(
        &self,
        backend: &Backend,
        request: &Outbound,
        mut came: Came,
        slot: &mut Option<Slot>,
    ) -> Result<Box<Link>, Stopped> {
        loop {
            let is_there = match came {
                Came::New if slot.is_some() => !backend.is_away(),
                Came::New | Came::Again => backend.is_there(),
            };
            let mut turn = if is_there {
                Turn::at_once()
            } else {
                // Whoever is to try may need it: nobody has a slot who waits in line.
                if slot.take().is_some() {
                    // Nobody who is in the queue still has come before it.
                    came = Came::Again;
                }
                self.wait_for_turn(backend, request).await?
            };
            let held = match slot {
                Some(held) => held,
                None => {
                    // Boxed: rare, since the first one is waited for before.
                    let waits = Box::pin(self.wait_for_slot(backend, request, came, &mut turn));
                    slot.insert(waits.await?)
                }
            };
            // As above, should it give that up.
            came = Came::Again;
            if !turn.is_trial() && backend.is_away() {
                // It went away while this one was in the queue.
                continue;
            }
            let link = if turn.is_trial() {
                let connected = backend.connect(request, &turn, held);
                Box::pin(self.held(backend, request, connected)).await?
            } else {
                tokio::select! {
                    biased;
                    // Cancel-safe: what is no connection yet is none for the backend either. One that is there would
                    // only be closed.
                    link = backend.connect(request, &turn, held) => link,
                    stopped = self.left(request) => return Err(stopped),
                }
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
        let mut place = backend.slot(request, came, turn.was_held(), self.record().began());
        let slot =
            poll_fn(|cx| self.poll_slot(&mut place, backend, request, Some(turn), cx)).await?;
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

    /// A slot, for which it waits in line where none is free, unless everybody leaves, that takes too long, or the backend
    /// has been away for too long meanwhile; with a `turn` where it may have waited for the backend before that. How long it
    /// was in line is noted.
    fn poll_slot(
        &self,
        place: &mut InLine<'_>,
        backend: &Backend,
        request: &Outbound,
        turn: Option<&mut Turn<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Slot, Stopped>> {
        let slot = ready!(self.poll_in_line(place, backend, request, turn, cx));
        if let Some(wait) = place.wait() {
            self.record().queued_for(wait.since.elapsed());
        }
        Poll::Ready(slot)
    }

    fn poll_in_line(
        &self,
        place: &mut InLine<'_>,
        backend: &Backend,
        request: &Outbound,
        turn: Option<&mut Turn<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Slot, Stopped>> {
        let was_in_line = place.wait().is_some();
        if was_in_line {
            self.recall(request);
        }
        if let Poll::Ready(slot) = Pin::new(&mut *place).poll(cx) {
            return Poll::Ready(slot.ok_or(Stopped::QueueFull));
        }
        // Its place in the queue is taken by now.
        if let Some(turn) = turn {
            turn.lets_the_next_go();
        }
        let Some(Wait { since, until }) = place.wait() else { unreachable!("it waits") };
        if was_in_line {
            // Woken, and not for a slot.
            if let Some(stopped) = self.outwaited(backend, request, until) {
                return Poll::Ready(Err(stopped));
            }
        } else {
            self.happened(What::Queued, since);
            if until <= since {
                return Poll::Ready(Err(Stopped::QueuedTooLong));
            }
            backend.watch_queue();
        }
        // Who leaves gives up the place in the line, and that is wanted.
        self.poll_left(request, cx).map(Err)
    }

    /// It may have waited for long, and then what it goes on with is in none of the processor's caches: all of it is asked
    /// for here at once. Over HTTP/1 most of it was already, with the rest of what its connection goes on with; over
    /// HTTP/2 it is here alone.
    fn recall(&self, request: &Outbound) {
        self.shared.recall();
        self.record.recall();
        request.recall();
    }

    /// Has it waited in line for too long, or while the backend was away?
    fn outwaited(&self, backend: &Backend, request: &Outbound, until: Instant) -> Option<Stopped> {
        let now = Instant::now();
        if now >= until {
            return Some(Stopped::QueuedTooLong);
        }
        let is_page_load = !request.is_sent() && request.is_page_load();
        let (at, why) = backend.outwaited_at(self.record().began(), is_page_load)?;
        (at <= now).then_some(Stopped::NoAnswer(why))
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
    fn left(&self, request: &Outbound) -> impl Future<Output = Stopped> {
        poll_fn(|cx| self.poll_left(request, cx))
    }

    fn poll_left(&self, request: &Outbound, cx: &Context<'_>) -> Poll<Stopped> {
        self.poll_abandoned(cx).map(|abandoned| match abandoned {
            Ok(()) => left(request),
            Err(reason) => Stopped::Cut(reason),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_in_the_queue_is_small() {
        fn size<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Exchange::first_slot);
        assert!(size <= 96, "{size}");
    }
}
