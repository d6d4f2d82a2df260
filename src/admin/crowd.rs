//! Who is connected to the admin listener, and who of them gives way to the next.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::lock::Mutex;

/// Connections, of a bounded number. Where there is one more, who has had nothing under way for longest is
/// sent away: holding connections, or a flood of them, keeps nobody else out.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// In the order in which they became idle.
#[derive(Debug, Default)]
struct Idle {
    next: u64,
    /// Newcomers who have no place yet.
    waiting: usize,
    /// Those who were told to give way, and have not gone yet.
    leaving: usize,
    connections: BTreeMap<u64, Arc<Notify>>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    idle: Arc<Mutex<Idle>>,
    leave: Arc<Notify>,
    /// Among those that are idle, if it is.
    since: Mutex<Option<u64>>,
    _permit: OwnedSemaphorePermit,
}

/// A newcomer who has no place yet.
struct Waits<'a>(&'a Mutex<Idle>);

/// Something is under way for a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Crowd {
    pub(super) fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), idle: Arc::default() }
    }

    /// A place for one who has connected. Waits while nobody who has one is idle.
    pub(super) async fn enter(&self) -> Option<Arc<Place>> {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waits = Waits::on(&self.idle);
                self.places.clone().acquire_owned().await.ok()?
            }
        };
        let place = Arc::new(Place {
            idle: self.idle.clone(),
            leave: Arc::default(),
            since: Mutex::new(None),
            _permit: permit,
        });
        place.rest();
        Some(place)
    }
}

impl Idle {
    /// One for each who waits, if there is one.
    fn send_away(&mut self) {
        if self.waiting > self.leaving
            && let Some((_, leave)) = self.connections.pop_first()
        {
            self.leaving += 1;
            leave.notify_one();
        }
    }

    /// This one is idle no more. One who had been told to give way is replaced by another.
    fn take(&mut self, since: u64) {
        if self.connections.remove(&since).is_none() {
            self.leaving -= 1;
            self.send_away();
        }
    }
}

impl<'a> Waits<'a> {
    fn on(idle: &'a Mutex<Idle>) -> Self {
        let mut state = idle.lock();
        state.waiting += 1;
        state.send_away();
        drop(state);
        Self(idle)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Place {
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if let Some(since) = self.since.lock().take() {
            self.idle.lock().take(since);
            // Whoever asked before he went need not go.
            let _ = self.left().now_or_never();
        }
        Busy(self.clone())
    }

    /// Resolves when this one is to give way.
    pub(super) async fn left(&self) {
        self.leave.notified().await;
    }

    /// HTTP/1 has one request at a time under way on a connection: when that is over, nothing is.
    fn rest(&self) {
        let mut idle = self.idle.lock();
        let since = idle.next;
        idle.next += 1;
        idle.connections.insert(since, self.leave.clone());
        idle.send_away();
        drop(idle);
        *self.since.lock() = Some(since);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.rest();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(since) = self.since.get_mut().take() {
            let mut idle = self.idle.lock();
            // Who was told to give way has given it, to whoever waits.
            if idle.connections.remove(&since).is_none() {
                idle.leaving -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(place: &Place) -> bool {
        place.left().now_or_never().is_some()
    }

    #[tokio::test]
    async fn who_has_been_idle_for_longest_gives_way() {
        let crowd = Crowd::of(3);
        let enter = || crowd.enter().now_or_never().flatten();
        let (first, second, third) =
            (enter().expect("room"), enter().expect("room"), enter().expect("room"));
        // The first asks for something and has it; the second's request is under way.
        drop(first.busy());
        let busy = second.busy();
        assert!(enter().is_none(), "all places are taken");
        assert!(goes(&third) && !goes(&first) && !goes(&second));
        drop(third);
        let fourth = enter().expect("room");
        // Nobody is sent away for whom something is under way.
        let still = [first.busy(), fourth.busy()];
        let mut waits = std::pin::pin!(crowd.enter());
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(!goes(&first) && !goes(&second) && !goes(&fourth));
        // But at once when it is over, for who has waited.
        drop(busy);
        assert!(goes(&second));
        drop(still);
        assert!(!goes(&first) && !goes(&fourth));
        // One goes for one who comes.
        drop(second);
        assert!(!goes(&first) && !goes(&fourth));
    }

    #[tokio::test]
    async fn who_gets_the_place_of_one_that_left_by_himself_stays() {
        let crowd = Crowd::of(2);
        let mut enter = std::pin::pin!(crowd.enter());
        let [first, second] = [(); 2].map(|()| crowd.enter().now_or_never().flatten());
        let (first, second) = (first.expect("room"), second.expect("room"));
        let busy = [first.busy(), second.busy()];
        assert!(enter.as_mut().now_or_never().is_none());
        drop((busy, first));
        let third = enter.await.expect("room");
        assert!(!goes(&third) && !goes(&second), "one has gone for one who came");
    }

    #[tokio::test]
    async fn who_asks_before_he_went_need_not_go() {
        let crowd = Crowd::of(1);
        let only = crowd.enter().now_or_never().flatten().expect("room");
        let mut enter = std::pin::pin!(crowd.enter());
        assert!(enter.as_mut().now_or_never().is_none());
        let busy = only.busy();
        assert!(!goes(&only));
        drop(busy);
        assert!(goes(&only));
    }
}
