//! The line before the slots of one or more servers: first come, first served, by whichever server has a
//! slot free. Where several have, the least busy one is chosen.
//!
//! Nobody waits for what is free: whoever comes may take it, and each slot that comes free is handed to the
//! first in line who can use it; of those who came in the same moment, up to three times to one of the
//! same worker. A server that is out gives none, as long as another is not.

mod order;
mod place;
mod waits;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Waker,
};

use tokio::time::Instant;

use self::order::Order;
pub(crate) use self::{
    place::{InLine, Terms, Wait},
    waits::Came,
};
use super::seats::{Out, Seats, Servers, is_among};
use crate::lock::Mutex;

/// The right to have one exchange running at a server. Owned by the exchange until its end, so that an
/// orphan keeps it.
#[derive(Debug)]
pub(crate) struct Slot<S> {
    line: Arc<Line<S>>,
    seats: Arc<Seats<S>>,
}

#[derive(Debug)]
pub(crate) struct Line<S> {
    order: Mutex<Order<S>>,
    /// Somebody looks now and then for those who have waited long enough. Unset under the lock.
    is_watched: AtomicBool,
}

impl<S> Slot<S> {
    pub(crate) fn seats(&self) -> &Arc<Seats<S>> {
        &self.seats
    }

    pub(crate) fn server(&self) -> &S {
        &self.seats.server
    }

    /// Is it one of a server that nobody is to be sent to?
    pub(crate) fn is_out(&self) -> bool {
        self.seats.is_out()
    }

    /// Becomes one of another server that has one free. Those that are out are asked only by who looks
    /// for any.
    pub(crate) fn move_on(&mut self, to_any: bool) -> bool {
        let mut order = self.line.order.lock();
        let Some(next) = order.other_than(&self.seats, to_any) else { return false };
        next.take();
        let former = std::mem::replace(&mut self.seats, next);
        drop(order);
        self.line.give_back(&former);
        true
    }
}

impl<S> Line<S> {
    pub(crate) fn new(servers: impl IntoIterator<Item = Arc<Seats<S>>>) -> Arc<Self> {
        let (order, is_watched) = (Mutex::new(Order::new(servers)), AtomicBool::new(false));
        Arc::new(Self { order, is_watched })
    }

    /// A slot that is free now, of this server where it is there.
    pub(crate) fn try_enter(self: &Arc<Self>, at: Option<&Arc<Seats<S>>>) -> Option<Slot<S>> {
        let seats = self.order.lock().take(at)?;
        Some(Slot { line: self.clone(), seats })
    }

    /// The same of this server alone, even if it is out. Overtakes who waits for any.
    pub(crate) fn try_enter_only(self: &Arc<Self>, seats: &Arc<Seats<S>>) -> Option<Slot<S>> {
        let order = self.order.lock();
        let is_free = is_among(seats, &order.servers) && seats.are_free();
        is_free.then(|| {
            seats.take();
            Slot { line: self.clone(), seats: seats.clone() }
        })
    }

    /// Waits for a slot where none is free; none where too many wait already. Dropping the future leaves the line.
    pub(crate) fn enter<'a>(
        self: &'a Arc<Self>,
        at: Option<&'a Arc<Seats<S>>>,
        terms: Terms,
    ) -> InLine<'a, S> {
        InLine::new(self, at, terms)
    }

    /// Is somebody to be found who wakes those who have waited long enough? Asked by who has begun to wait; true
    /// for one of them, who sees to that.
    pub(crate) fn is_to_be_watched(&self) -> bool {
        !self.is_watched.load(Relaxed) && !self.is_watched.swap(true, Relaxed)
    }

    /// Wakes those who have waited long enough, or all, and tells when the next one will have. None where nobody waits
    /// any more, and nothing is to be watched.
    pub(crate) fn wake(&self, now: Instant, all: bool) -> Option<Instant> {
        let mut order = self.order.lock();
        if order.waiting.is_empty() {
            self.is_watched.store(false, Relaxed);
            return None;
        }
        let (woken, next) = order.outwaited(now, all);
        drop(order);
        woken.into_iter().for_each(Waker::wake);
        Some(next)
    }

    /// How many wait in it.
    pub(crate) fn waiting(&self) -> usize {
        self.order.lock().waiting.len()
    }

    /// Is it one of ours?
    pub(crate) fn has(&self, seats: &Arc<Seats<S>>) -> bool {
        is_among(seats, &self.order.lock().servers)
    }

    pub(crate) fn servers(&self) -> Servers<S> {
        self.order.lock().servers.clone()
    }

    /// Those that are no longer among them and have exchanges still.
    pub(crate) fn gone(&self) -> Vec<Arc<Seats<S>>> {
        self.order.lock().gone.iter().filter_map(Weak::upgrade).collect()
    }

    /// From here on these are the servers. What runs at others goes on.
    pub(crate) fn replace(&self, servers: impl IntoIterator<Item = Arc<Seats<S>>>) {
        self.change(|order| {
            let before = std::mem::take(&mut order.servers);
            order.servers = servers.into_iter().collect();
            let Order { servers, gone, waiting, .. } = order;
            for one in before.iter().filter(|one| !is_among(one, servers)) {
                one.put_out(true);
                gone.push(Arc::downgrade(one));
            }
            gone.retain(|one| one.upgrade().is_some_and(|one| !is_among(&one, servers)));
            for one in servers.iter().filter(|one| !is_among(one, &before)) {
                one.put_out(false);
            }
            if servers.iter().all(|one| one.is_out()) {
                servers.iter().for_each(|one| one.put_out(false));
            }
            // Whoever waits for one that is out is served by any.
            waiting.iter_mut().for_each(|(_, one)| one.look_elsewhere());
        });
    }

    /// From here on each server has so many slots. Where they become fewer nobody is sent away, and who
    /// is too many is not replaced.
    pub(crate) fn resize(&self, count: usize) {
        self.change(|order| order.servers.iter().for_each(|one| one.resize(count)));
    }

    /// Nobody is sent there any more, unless it is the last one.
    pub(crate) fn put_out(&self, seats: &Arc<Seats<S>>) -> Out {
        let mut out = Out::Already;
        self.change(|order| {
            let mut others = order.servers.iter().filter(|one| !Arc::ptr_eq(one, seats));
            if seats.is_out() {
                return;
            }
            if others.all(|one| one.is_out()) {
                out = Out::Last;
                return;
            }
            out = Out::Now;
            seats.put_out(true);
            order.waiting.iter_mut().for_each(|(_, one)| one.look_elsewhere());
        });
        out
    }

    /// It is there again. False where it was, or is none of the servers any more.
    pub(crate) fn let_in(&self, seats: &Arc<Seats<S>>) -> bool {
        let mut is_news = false;
        self.change(|order| {
            is_news = seats.is_out() && is_among(seats, &order.servers);
            if is_news {
                seats.put_out(false);
            }
        });
        is_news
    }

    /// There may be free slots after it.
    fn change(&self, change: impl FnOnce(&mut Order<S>)) {
        let mut order = self.order.lock();
        change(&mut order);
        let served = order.serve();
        drop(order);
        served.into_iter().for_each(Waker::wake);
    }

    fn give_back(&self, seats: &Arc<Seats<S>>) {
        let mut order = self.order.lock();
        seats.give_back();
        if order.waiting.is_empty() {
            return;
        }
        let served = order.serve_at(seats);
        drop(order);
        served.into_iter().for_each(Waker::wake);
    }
}

impl<S> Drop for Slot<S> {
    fn drop(&mut self) {
        self.line.give_back(&self.seats);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::AtomicUsize,
        task::{Context, Poll, Wake},
        thread,
        time::Duration,
    };

    use super::*;

    fn terms(came: Came, began: Instant) -> Terms {
        Terms { max: 9, came, began, timeout: Duration::from_secs(9) }
    }

    /// Gets in line at another worker.
    fn wait_elsewhere(mut waits: Pin<&mut (impl Future<Output = Option<Slot<()>>> + Send)>) {
        let poll = || waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(thread::scope(|scope| scope.spawn(poll).join().expect("polled")));
    }

    fn has_slot(waits: Pin<&mut impl Future<Output = Option<Slot<()>>>>) -> Option<Slot<()>> {
        match waits.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => slot,
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_slot_stays_at_its_worker_where_that_is_no_injustice() {
        let moment = Duration::from_micros(400);
        for (later, stays) in [(moment, true), (2 * moment, false)] {
            let line = Line::new([Seats::new((), 1)]);
            let slot = line.try_enter(None).expect("free");
            let now = Instant::now();
            let mut first = Box::pin(line.enter(None, terms(Came::New, now)));
            wait_elsewhere(first.as_mut());
            let mut second = Box::pin(line.enter(None, terms(Came::New, now + later)));
            assert!(has_slot(second.as_mut()).is_none());
            drop(slot);
            let second = has_slot(second.as_mut());
            assert_eq!(second.is_some(), stays);
            drop(second);
            assert!(has_slot(first.as_mut()).is_some());
        }
    }

    #[test]
    fn nobody_is_passed_over_again_and_again() {
        let line = Line::new([Seats::new((), 1)]);
        let mut slot = line.try_enter(None);
        let now = Instant::now();
        let mut first = Box::pin(line.enter(None, terms(Came::New, now)));
        wait_elsewhere(first.as_mut());
        let mut others: Vec<_> =
            (0..5).map(|_| Box::pin(line.enter(None, terms(Came::New, now)))).collect();
        assert!(others.iter_mut().all(|other| has_slot(other.as_mut()).is_none()));
        for other in &mut others[..3] {
            drop(slot.take());
            slot = has_slot(other.as_mut());
            assert!(slot.is_some());
        }
        drop(slot);
        assert!(has_slot(first.as_mut()).is_some());
    }

    #[test]
    fn who_had_a_slot_before_is_first_at_whatever_worker() {
        let line = Line::new([Seats::new((), 1)]);
        let slot = line.try_enter(None).expect("free");
        let now = Instant::now();
        let mut new = Box::pin(line.enter(None, terms(Came::New, now)));
        assert!(has_slot(new.as_mut()).is_none());
        let mut again = Box::pin(line.enter(None, terms(Came::Again, now)));
        wait_elsewhere(again.as_mut());
        drop(slot);
        assert!(has_slot(new.as_mut()).is_none());
        assert!(has_slot(again.as_mut()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_those_who_wait_sees_to_it_that_who_has_waited_long_enough_is_woken() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let (line, now) = (Line::new([Seats::new((), 1)]), Instant::now());
        let _slot = line.try_enter(None).expect("free");
        let second = Duration::from_secs(1);
        // Not in the order in which they have waited long enough, as where queue.timeout has changed.
        let mut waits: Vec<_> = [10, 9, 11]
            .map(|timeout| Terms { timeout: timeout * second, ..terms(Came::New, now) })
            .map(|terms| Box::pin(line.enter(None, terms)))
            .into();
        for one in &mut waits {
            assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert!(line.is_to_be_watched() && !line.is_to_be_watched());
        for (after, all, count, next) in
            [(8, false, 0, 9), (9, false, 1, 10), (9, true, 4, 10), (10, false, 6, 11)]
        {
            assert_eq!(line.wake(now + after * second, all), Some(now + next * second));
            assert_eq!(woken.0.load(Relaxed), count);
        }
        assert_eq!(line.wake(now + 11 * second, false), Some(now + 11 * second + order::SOON));
        drop(waits);
        assert!(line.wake(now, true).is_none() && line.is_to_be_watched());
    }
}
