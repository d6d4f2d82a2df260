//! The slots of a backend, and the queue before them: first come, first served, to half a millisecond.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::{Instant, timeout_at};

use super::line::Line;
pub(crate) use super::{
    line::{Came, Slot},
    seats::{Out, Seats, Servers},
};
use crate::config;

/// The slots of a backend's servers, and those who wait for one.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    line: Arc<Line<S>>,
    waiting: AtomicUsize,
}

/// Why there was no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// `backend.queue.max` requests wait already.
    QueueFull,
    /// None came free within `backend.queue.timeout`.
    WaitedTooLong,
}

impl<S> Slots<S> {
    pub(crate) fn new(servers: impl IntoIterator<Item = Arc<Seats<S>>>) -> Self {
        Self { line: Line::new(servers), waiting: AtomicUsize::new(0) }
    }

    pub(crate) fn line(&self) -> &Arc<Line<S>> {
        &self.line
    }

    /// Of each server.
    pub(crate) fn servers(&self) -> Servers<S> {
        self.line.servers()
    }

    /// A slot that is free now, where nobody waits for one; of this server, as long as that is not out.
    pub(crate) fn free_slot(&self, at: Option<&Arc<Seats<S>>>) -> Option<Slot<S>> {
        self.line.try_enter(at)
    }

    /// Takes a slot, or a place in the queue until there is one. Dropping the future leaves the
    /// queue. Whoever was held finds a place even in a full one: `backend.hold.max` is their bound.
    pub(crate) async fn slot(
        &self,
        at: Option<&Arc<Seats<S>>>,
        bounds: config::Queue,
        came: Came,
        was_held: bool,
        (began, now): (Instant, Instant),
    ) -> Result<Slot<S>, NoSlot> {
        if let Some(slot) = self.free_slot(at) {
            return Ok(slot);
        }
        let _place = self
            .take_place(bounds.max, was_held || came == Came::Again)
            .ok_or(NoSlot::QueueFull)?;
        let entered =
            timeout_at(now + bounds.timeout, self.line.enter(at.cloned(), came, began)).await;
        entered.map_err(|_| NoSlot::WaitedTooLong)
    }

    /// How many exchanges hold one, those at servers among them that are no longer ours.
    pub(crate) fn in_use(&self) -> usize {
        let (servers, gone) = (self.servers(), self.line.gone());
        servers.iter().chain(&gone).map(|seats| seats.taken()).sum()
    }

    pub(crate) fn count(&self) -> usize {
        self.servers().iter().map(|seats| seats.count()).sum()
    }

    /// How many wait for one.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn take_place(&self, max: usize, was_held: bool) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        (was_held || before < max).then_some(place)
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: config::Queue = config::Queue { max: 9, timeout: Duration::from_secs(5) };

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_in_length_and_in_time() {
        let (slots, one) = (Slots::new([Seats::new((), 1)]), config::Queue { max: 1, ..BOUNDS });
        let _first = slots.slot(None, one, Came::New, false, at()).await.expect("free");
        let mut second = Box::pin(slots.slot(None, one, Came::New, false, at()));
        assert!(futures(&mut second).await.is_none());
        assert_eq!(
            slots.slot(None, one, Came::New, false, at()).await.err(),
            Some(NoSlot::QueueFull)
        );
        assert!(
            futures(&mut Box::pin(slots.slot(None, one, Came::New, true, at()))).await.is_none()
        );
        assert_eq!(second.await.err(), Some(NoSlot::WaitedTooLong));
    }

    #[tokio::test]
    async fn first_come_first_served_and_who_leaves_is_skipped() {
        let slots = Slots::new([Seats::new((), 1)]);
        let first = slots.slot(None, BOUNDS, Came::New, false, at()).await.expect("free");
        let mut second = Box::pin(slots.slot(None, BOUNDS, Came::New, false, at()));
        let mut third = Box::pin(slots.slot(None, BOUNDS, Came::New, false, at()));
        assert!(futures(&mut second).await.is_none());
        assert!(futures(&mut third).await.is_none());
        drop(second);
        drop(first);
        // The slot is the third's now; nobody who comes later can take it.
        let mut fourth = Box::pin(slots.slot(None, BOUNDS, Came::New, false, at()));
        assert!(futures(&mut fourth).await.is_none());
        assert!(third.await.is_ok());
        assert!(fourth.await.is_ok());
    }

    /// When the request began, and the time.
    fn at() -> (Instant, Instant) {
        (Instant::now(), Instant::now())
    }

    /// One poll.
    async fn futures<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
