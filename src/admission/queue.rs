//! The slots of a backend, and the queue before them: first come, first served, to half a millisecond.

use std::sync::Arc;

use super::line::Line;
pub(crate) use super::{
    line::{Came, InLine, Slot, Terms, Wait},
    seats::{Out, Seats, Servers},
};

/// The slots of a backend's servers, and those who wait for one.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    line: Arc<Line<S>>,
}

impl<S> Slots<S> {
    pub(crate) fn new(servers: impl IntoIterator<Item = Arc<Seats<S>>>) -> Self {
        Self { line: Line::new(servers) }
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

    /// Takes a slot, or a place in the queue until there is one; none where that is full. Dropping the future leaves
    /// the queue.
    pub(crate) fn slot<'a>(&'a self, at: Option<&'a Arc<Seats<S>>>, terms: Terms) -> InLine<'a, S> {
        self.line.enter(at, terms)
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
        self.line.waiting()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn terms(max: usize) -> Terms {
        Terms { max, came: Came::New, began: Instant::now(), timeout: Duration::ZERO }
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_length() {
        let slots = Slots::new([Seats::new((), 1)]);
        let _first = slots.slot(None, terms(1)).await.expect("free");
        let mut second = Box::pin(slots.slot(None, terms(1)));
        assert!(futures(&mut second).await.is_none());
        assert_eq!(slots.waiting(), 1);
        assert!(slots.slot(None, terms(1)).await.is_none());
        drop(second);
        assert_eq!(slots.waiting(), 0);
    }

    #[tokio::test]
    async fn first_come_first_served_and_who_leaves_is_skipped() {
        let slots = Slots::new([Seats::new((), 1)]);
        let first = slots.slot(None, terms(9)).await.expect("free");
        let mut second = Box::pin(slots.slot(None, terms(9)));
        let mut third = Box::pin(slots.slot(None, terms(9)));
        assert!(futures(&mut second).await.is_none());
        assert!(futures(&mut third).await.is_none());
        drop(second);
        drop(first);
        // The slot is the third's now; nobody who comes later can take it.
        let mut fourth = Box::pin(slots.slot(None, terms(9)));
        assert!(futures(&mut fourth).await.is_none());
        assert!(third.await.is_some());
        assert!(fourth.await.is_some());
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
