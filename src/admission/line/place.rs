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
    state: State<'a, S>,
}

#[derive(Debug)]
enum State<'a, S> {
    New {
        at: Option<&'a Arc<Seats<S>>>,
        terms: Terms,
    },
    Waits(Number, Wait),
    /// It has its slot, or none where too many wait; and when it began to wait for it, if it had to.
    Over(Option<Wait>),
}

/// Since when it waits, or did, and when that is long enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

impl<'a, S> InLine<'a, S> {
    pub(super) fn new(line: &'a Arc<Line<S>>, at: Option<&'a Arc<Seats<S>>>, terms: Terms) -> Self {
        Self { line, state: State::New { at, terms } }
    }

    /// None where it does not have to wait, did not, or has not been polled.
    pub(crate) fn wait(&self) -> Option<Wait> {
        match self.state {
            State::New { .. } => None,
            State::Waits(_, wait) => Some(wait),
            State::Over(wait) => wait,
        }
    }
}

impl<S> Future for InLine<'_, S> {
    type Output = Option<Slot<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Slot<S>>> {
        let this = &mut *self;
        let mut order = this.line.order.lock();
        let seats = match this.state {
            State::New { at, terms } => match order.take(at) {
                None if order.waiting.len() < terms.max => {
                    // Under the lock: whoever is behind another has come later.
                    let since = Instant::now();
                    let wait = Wait { since, until: since + terms.timeout };
                    let at = at.filter(|at| !at.is_out()).cloned();
                    let (worker, waker) = (runtime::here(), cx.waker().clone());
                    let Terms { came, began, .. } = terms;
                    let one = Waiting { at, began, until: wait.until, passed: 0, worker, waker };
                    this.state = State::Waits(order.wait(came, one), wait);
                    return Poll::Pending;
                }
                seats => {
                    this.state = State::Over(None);
                    seats
                }
            },
            State::Waits(number, wait) => match order.take_given(number) {
                Some(seats) => {
                    this.state = State::Over(Some(wait));
                    Some(seats)
                }
                None => {
                    if let Some(one) = order.waiting.get_mut(number) {
                        one.waker.clone_from(cx.waker());
                    }
                    return Poll::Pending;
                }
            },
            State::Over(_) => unreachable!("it is over"),
        };
        Poll::Ready(seats.map(|seats| Slot { line: this.line.clone(), seats }))
    }
}

impl<S> Drop for InLine<'_, S> {
    fn drop(&mut self) {
        let State::Waits(number, _) = self.state else { return };
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
