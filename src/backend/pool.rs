//! Kept connections, the youngest first.
//!
//! The bound: connections, busy and kept together, never outnumber the slots. Each exchange that
//! needs a connection holds a slot already, says how many slots are in use, and takes or closes
//! kept ones where there would be too many. Whoever comes last sees all the others.

use std::{thread::ThreadId, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::link::Link;
use crate::runtime;

#[derive(Debug)]
pub(super) struct Pool<L = Box<Link>> {
    /// Connections at once, busy and kept.
    max: usize,
    max_age: Duration,
    /// Oldest first.
    idle: Mutex<Vec<Idle<L>>>,
    /// Told when something is kept where nothing was.
    kept: Notify,
}

#[derive(Debug)]
struct Idle<L> {
    link: L,
    since: Instant,
    /// Its socket is watched by this worker; another can use it at the price of wake-ups.
    worker: ThreadId,
}

impl<L> Pool<L> {
    pub(super) fn new(max: usize, max_age: Duration) -> Self {
        Self { max, max_age, idle: Mutex::default(), kept: Notify::new() }
    }

    /// This worker's youngest, and the time; anybody's where there is no room for one more.
    pub(super) fn take(&self, slots_in_use: usize) -> Option<(L, Instant)> {
        let here = runtime::here();
        let mut idle = self.idle.lock();
        let index = match idle.iter().rposition(|idle| idle.worker == here) {
            Some(index) => index,
            None if idle.len() + slots_in_use > self.max => idle.len().checked_sub(1)?,
            None => return None,
        };
        let taken = idle.remove(index);
        // It may have come of age a moment ago.
        let now = Instant::now();
        (now - taken.since < self.max_age).then_some((taken.link, now))
    }

    /// Closes the oldest until one more can be opened.
    pub(super) fn make_room(&self, slots_in_use: usize) {
        let mut idle = self.idle.lock();
        let many = (idle.len() + slots_in_use).saturating_sub(self.max);
        let upto = many.min(idle.len());
        idle.drain(..upto);
    }

    pub(super) fn keep(&self, link: L, now: Instant) {
        let mut idle = self.idle.lock();
        let first = idle.is_empty();
        idle.push(Idle { link, since: now, worker: runtime::here() });
        drop(idle);
        if first {
            self.kept.notify_one();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.idle.lock().len()
    }

    pub(super) async fn close_aged(&self) {
        loop {
            let oldest = self.idle.lock().first().map(|idle| idle.since);
            match oldest {
                Some(since) => sleep_until(since + self.max_age).await,
                None => self.kept.notified().await,
            }
            self.idle.lock().retain(|idle| idle.since.elapsed() < self.max_age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    fn taken(pool: &Pool<&'static str>, slots_in_use: usize) -> Option<&'static str> {
        pool.take(slots_in_use).map(|(link, _)| link)
    }

    #[tokio::test(start_paused = true)]
    async fn the_youngest_is_taken_and_the_aged_are_closed() {
        let pool = Pool::new(4, AGE);
        pool.keep("old", Instant::now());
        tokio::time::advance(AGE / 2).await;
        pool.keep("young", Instant::now());
        assert_eq!(taken(&pool, 1), Some("young"));
        tokio::time::advance(AGE / 2).await;
        assert_eq!(taken(&pool, 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_aged_are_closed_without_anybody_asking() {
        let pool = std::sync::Arc::new(Pool::new(4, AGE));
        pool.keep("old", Instant::now());
        // Runs for ever; the clock moves on by itself as long as it waits.
        let _ = tokio::time::timeout(2 * AGE, pool.close_aged()).await;
        assert!(pool.idle.lock().is_empty());
    }

    #[test]
    fn room_is_made_for_one_that_must_be_new() {
        let pool = Pool::new(3, AGE);
        pool.keep("a", Instant::now());
        pool.keep("b", Instant::now());
        pool.make_room(1);
        assert_eq!(pool.idle.lock().len(), 2);
        pool.make_room(2);
        assert_eq!(taken(&pool, 2), Some("b"));
        assert_eq!(taken(&pool, 2), None);
    }

    #[test]
    fn anothers_connection_is_taken_only_where_there_is_no_room() {
        let pool = std::sync::Arc::new(Pool::new(2, AGE));
        let other = pool.clone();
        std::thread::scope(|scope| {
            drop(scope.spawn(move || other.keep("theirs", Instant::now())).join());
        });
        assert_eq!(taken(&pool, 1), None);
        assert_eq!(taken(&pool, 2), Some("theirs"));
    }
}
