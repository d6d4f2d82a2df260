//! The slots of a backend, and the queue before them: first come, first served.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::{Instant, timeout_at};

use super::room::{Room, Ticket};
use crate::config;

/// The right to have one exchange running at the backend. Owned by the exchange until its end,
/// so that an orphan keeps it.
#[derive(Debug)]
pub(crate) struct Slot {
    _ticket: Ticket,
}

/// A backend's slots, and those who wait for one.
#[derive(Debug)]
pub(crate) struct Slots {
    room: Arc<Room>,
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

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { room: Room::new(count), waiting: AtomicUsize::new(0) }
    }

    /// From here on there are so many; what is too many goes as it comes free.
    pub(crate) fn resize(&self, count: usize) {
        self.room.resize(count);
    }

    /// A slot that is free now, where nobody waits for one.
    pub(crate) fn free_slot(&self) -> Option<Slot> {
        Some(Slot { _ticket: self.room.try_enter()? })
    }

    /// Takes a slot, or a place in the queue until there is one. Dropping the future leaves the
    /// queue. Whoever was held finds a place even in a full one: `backend.hold.max` is their bound.
    pub(crate) async fn slot(
        &self,
        bounds: config::Queue,
        was_held: bool,
        now: Instant,
    ) -> Result<Slot, NoSlot> {
        if let Some(slot) = self.free_slot() {
            return Ok(slot);
        }
        let _place = self.take_place(bounds.max, was_held).ok_or(NoSlot::QueueFull)?;
        match timeout_at(now + bounds.timeout, self.room.enter()).await {
            Ok(ticket) => Ok(Slot { _ticket: ticket }),
            Err(_) => Err(NoSlot::WaitedTooLong),
        }
    }

    /// How many exchanges hold one.
    pub(crate) fn in_use(&self) -> usize {
        self.room.taken()
    }

    pub(crate) fn count(&self) -> usize {
        self.room.wanted()
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
        let (slots, one) = (Slots::new(1), config::Queue { max: 1, ..BOUNDS });
        let _first = slots.slot(one, false, Instant::now()).await.expect("free");
        let mut second = Box::pin(slots.slot(one, false, Instant::now()));
        assert!(futures(&mut second).await.is_none());
        assert_eq!(slots.slot(one, false, Instant::now()).await.err(), Some(NoSlot::QueueFull));
        assert!(futures(&mut Box::pin(slots.slot(one, true, Instant::now()))).await.is_none());
        assert_eq!(second.await.err(), Some(NoSlot::WaitedTooLong));
    }

    #[tokio::test]
    async fn first_come_first_served_and_who_leaves_is_skipped() {
        let slots = Slots::new(1);
        let first = slots.slot(BOUNDS, false, Instant::now()).await.expect("free");
        let mut second = Box::pin(slots.slot(BOUNDS, false, Instant::now()));
        let mut third = Box::pin(slots.slot(BOUNDS, false, Instant::now()));
        assert!(futures(&mut second).await.is_none());
        assert!(futures(&mut third).await.is_none());
        drop(second);
        drop(first);
        // The slot is the third's now; nobody who comes later can take it.
        let mut fourth = Box::pin(slots.slot(BOUNDS, false, Instant::now()));
        assert!(futures(&mut fourth).await.is_none());
        assert!(third.await.is_ok());
        assert!(fourth.await.is_ok());
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
