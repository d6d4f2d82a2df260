//! A place in the line.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Line, Slot,
    order::Waiting,
    waits::{Came, Number},
};
use crate::{admission::seats::Seats, runtime};

/// On which somebody waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// So many may wait already.
    pub(crate) max: usize,
    pub(crate) came: Came,
    /// When its client's request began.
    pub(crate) began: Instant,
    /// After so long it is woken to see that it has waited for too long.
    pub(crate) timeout: Duration,
}

/// A slot where one is free, and else a place in the line, given up when dropped. None where too many wait already.
#[derive(Debug)]
#[must_use = "it has no place before it is polled"]
pub(crate) struct InLine<'a, S> {
    line: &'a Arc<Line<S>>,
    at: Option<&'a Arc<Seats<S>>>,
    terms: Terms,
    number: Option<Number>,
    since: Option<Instant>,
}

impl<'a, S> InLine<'a, S> {
    pub(super) fn new(line: &'a Arc<Line<S>>, at: Option<&'a Arc<Seats<S>>>, terms: Terms) -> Self {
        Self { line, at, terms, number: None, since: None }
    }

    /// Since when it has waited, or did. None where it did not have to.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// When one who has waited `since` then has waited long enough.
    pub(crate) fn until(&self, since: Instant) -> Instant {
        since + self.terms.timeout
    }
}

impl<S> Future for InLine<'_, S> {
    type Output = Option<Slot<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Slot<S>>> {
        let this = &mut *self;
        let mut order = this.line.order.lock();
        let seats = match this.number {
            None => order.take(this.at),
            Some(number) => order.take_given(number),
        };
        if let Some(seats) = seats {
            this.number = None;
            return Poll::Ready(Some(Slot { line: this.line.clone(), seats }));
        }
        if let Some(one) = this.number.and_then(|number| order.waiting.get_mut(number)) {
            one.waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let Terms { max, came, began, .. } = this.terms;
        if order.waiting.len() >= max {
            return Poll::Ready(None);
        }
        // Under the lock: whoever is behind another has come later.
        let since = *this.since.get_or_insert_with(Instant::now);
        let at = this.at.filter(|at| !at.is_out()).cloned();
        let (worker, waker) = (runtime::here(), cx.waker().clone());
        let one = Waiting { at, began, until: this.until(since), passed: 0, worker, waker };
        this.number = Some(order.wait(came, one));
        Poll::Pending
    }
}

impl<S> Drop for InLine<'_, S> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut order = self.line.order.lock();
        let given = match order.waiting.remove(number) {
            Some(_) => None,
            None => order.take_given(number),
        };
        drop(order);
        if let Some(seats) = given {
            // It came in this very moment: it is the next one's.
            self.line.give_back(&seats);
        }
    }
}
