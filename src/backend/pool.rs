//! Kept connections, the youngest first.
//!
//! The bound: connections, busy and kept together, never outnumber the slots. Each exchange that
//! needs a connection holds a slot already, says how many slots are in use, and takes or closes
//! kept ones where there would be too many. Whoever comes last sees all the others.

use std::{thread::ThreadId, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::link::Link;
use crate::runtime;

#[derive(Debug)]
pub(super) struct Pool<L = Box<Link>> {
    state: Mutex<State<L>>,
    /// Told when something is kept where nothing was. That is often: whoever waits until something
    /// comes of age must not be woken by it.
    kept: Notify,
    /// Told when the bounds have changed.
    rebounded: Notify,
}

#[derive(Debug)]
struct State<L> {
    bounds: Bounds,
    /// Oldest first.
    idle: Vec<Idle<L>>,
    /// Somebody closes those that come of age.
    is_tended: bool,
}

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections at once, busy and kept. Zero: nothing is kept any more.
    pub max: usize,
    pub max_age: Duration,
    /// The server that they are to lead to.
    pub server: u64,
}

#[derive(Debug)]
struct Idle<L> {
    link: L,
    since: Instant,
    /// Its socket is watched by this worker; another can use it at the price of wake-ups.
    worker: ThreadId,
}

impl<L> Pool<L> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let state = State { bounds, idle: Vec::new(), is_tended: false };
        Self { state: Mutex::new(state), kept: Notify::new(), rebounded: Notify::new() }
    }

    /// From here on these bounds hold; what is beyond them is closed.
    pub(super) fn rebound(&self, bounds: Bounds, slots_in_use: usize) {
        let mut state = self.state.lock();
        if state.bounds.server != bounds.server {
            state.idle.clear();
        }
        state.bounds = bounds;
        state.make_room(slots_in_use);
        drop(state);
        self.rebounded.notify_one();
    }

    /// This worker's youngest, and the time; anybody's where there is no room for one more.
    pub(super) fn take(&self, slots_in_use: usize) -> Option<(L, Instant)> {
        let here = runtime::here();
        let mut state = self.state.lock();
        let State { idle, bounds, .. } = &mut *state;
        let index = match idle.iter().rposition(|idle| idle.worker == here) {
            Some(index) => index,
            None if idle.len() + slots_in_use > bounds.max => idle.len().checked_sub(1)?,
            None => return None,
        };
        let taken = idle.remove(index);
        // Who has a slot and is about to open one may have looked before we had ours: what is kept besides
        // must not be one too many then.
        state.make_room(slots_in_use);
        // It may have come of age a moment ago.
        let now = Instant::now();
        (now - taken.since < state.bounds.max_age).then_some((taken.link, now))
    }

    /// Closes the oldest until one more can be opened.
    pub(super) fn make_room(&self, slots_in_use: usize) {
        self.state.lock().make_room(slots_in_use);
    }

    /// Keeps a connection to this server, if it is still the one.
    pub(super) fn keep(&self, link: L, server: u64, now: Instant) {
        let mut state = self.state.lock();
        if state.bounds.server != server || state.bounds.max == 0 {
            return;
        }
        let first = state.idle.is_empty();
        state.idle.push(Idle { link, since: now, worker: runtime::here() });
        drop(state);
        if first {
            self.kept.notify_one();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().idle.len()
    }

    /// Closes those that come of age, until nothing is kept any more. Runs once, however often it is
    /// called.
    pub(super) async fn close_aged(&self) {
        if std::mem::replace(&mut self.state.lock().is_tended, true) {
            return;
        }
        loop {
            let due = {
                let mut state = self.state.lock();
                let Bounds { max, max_age, .. } = state.bounds;
                if max == 0 {
                    state.is_tended = false;
                    return;
                }
                state.idle.retain(|idle| idle.since.elapsed() < max_age);
                state.idle.first().map(|idle| idle.since + max_age)
            };
            match due {
                Some(due) => drop(timeout_at(due, self.rebounded.notified()).await),
                None => tokio::select! {
                    // Cancel-safe: what was told to nobody is told to the next who asks.
                    () = self.kept.notified() => {}
                    () = self.rebounded.notified() => {}
                },
            }
        }
    }
}

impl<L> State<L> {
    fn make_room(&mut self, slots_in_use: usize) {
        let many = (self.idle.len() + slots_in_use).saturating_sub(self.bounds.max);
        let upto = many.min(self.idle.len());
        self.idle.drain(..upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    fn bounds(max: usize) -> Bounds {
        Bounds { max, max_age: AGE, server: 1 }
    }

    fn pool(max: usize) -> Pool<&'static str> {
        Pool::new(bounds(max))
    }

    fn taken(pool: &Pool<&'static str>, slots_in_use: usize) -> Option<&'static str> {
        pool.take(slots_in_use).map(|(link, _)| link)
    }

    #[tokio::test(start_paused = true)]
    async fn the_youngest_is_taken_and_the_aged_are_closed() {
        let pool = pool(4);
        pool.keep("old", 1, Instant::now());
        tokio::time::advance(AGE / 2).await;
        pool.keep("young", 1, Instant::now());
        assert_eq!(taken(&pool, 1), Some("young"));
        tokio::time::advance(AGE / 2).await;
        assert_eq!(taken(&pool, 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_aged_are_closed_without_anybody_asking() {
        let pool = std::sync::Arc::new(pool(4));
        pool.keep("old", 1, Instant::now());
        // Runs for ever; the clock moves on by itself as long as it waits.
        let _ = tokio::time::timeout(2 * AGE, pool.close_aged()).await;
        assert!(pool.state.lock().idle.is_empty());
    }

    #[test]
    fn room_is_made_for_one_that_must_be_new() {
        let pool = pool(3);
        pool.keep("a", 1, Instant::now());
        pool.keep("b", 1, Instant::now());
        pool.make_room(1);
        assert_eq!(pool.state.lock().idle.len(), 2);
        pool.make_room(2);
        assert_eq!(taken(&pool, 2), Some("b"));
        assert_eq!(taken(&pool, 2), None);
    }

    #[test]
    fn who_takes_one_leaves_no_more_than_there_is_room_for() {
        let pool = pool(2);
        pool.keep("a", 1, Instant::now());
        pool.keep("b", 1, Instant::now());
        // One who has a slot has seen nobody but himself so far, and opens one after this.
        assert_eq!(taken(&pool, 2), Some("b"));
        pool.make_room(1);
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn what_is_too_many_or_leads_to_another_server_is_closed_and_not_kept() {
        let pool = pool(3);
        for name in ["a", "b", "c"] {
            pool.keep(name, 1, Instant::now());
        }
        pool.rebound(bounds(2), 1);
        assert_eq!(pool.state.lock().idle.len(), 1);
        assert_eq!(taken(&pool, 1), Some("c"));
        pool.keep("c", 1, Instant::now());
        pool.rebound(Bounds { server: 2, ..bounds(2) }, 0);
        pool.keep("late", 1, Instant::now());
        assert_eq!(taken(&pool, 1), None);
        pool.keep("new", 2, Instant::now());
        assert_eq!(taken(&pool, 1), Some("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_closes_the_aged_ends_where_nothing_is_kept_any_more_and_can_begin_anew() {
        let pool = pool(3);
        pool.keep("a", 1, Instant::now());
        pool.rebound(bounds(0), 0);
        pool.close_aged().await;
        pool.keep("b", 1, Instant::now());
        assert!(pool.state.lock().idle.is_empty());
        pool.rebound(bounds(3), 0);
        let _ = tokio::time::timeout(2 * AGE, pool.close_aged()).await;
        assert!(pool.state.lock().is_tended);
    }

    #[test]
    fn anothers_connection_is_taken_only_where_there_is_no_room() {
        let pool = std::sync::Arc::new(pool(2));
        let other = pool.clone();
        std::thread::scope(|scope| {
            drop(scope.spawn(move || other.keep("theirs", 1, Instant::now())).join());
        });
        assert_eq!(taken(&pool, 1), None);
        assert_eq!(taken(&pool, 2), Some("theirs"));
    }
}
