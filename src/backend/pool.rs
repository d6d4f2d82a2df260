//! Kept connections, the youngest first.
//!
//! The bound: connections, busy and kept together, never outnumber the slots. Each connection is counted
//! from before it is dialled until it is closed, and whoever is to dial one holds a slot already, and
//! closes kept ones where there would be too many. The slots that are in use say less: many a one was
//! handed over a moment ago to an exchange that is about to take a connection from here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::ThreadId,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::link::Link;
use crate::{lock::Mutex, runtime};

#[derive(Debug)]
pub(super) struct Pool<L = Box<Link>> {
    state: Mutex<State<L>>,
    /// Connections, busy and kept. Rises under the lock alone, so that nobody counts past another.
    open: Arc<AtomicUsize>,
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

/// One connection is there, or about to be: counted until it is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

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
    /// Its socket is watched by this worker.
    worker: ThreadId,
}

/// One that was kept.
#[derive(Debug)]
pub(super) struct Taken<L> {
    pub link: L,
    pub now: Instant,
    /// Another worker watches its socket: used as it is, each of its events would be a wake-up of both.
    pub is_others: bool,
}

impl<L> Pool<L> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let state = State { bounds, idle: Vec::new(), is_tended: false };
        let (kept, rebounded) = (Notify::new(), Notify::new());
        Self { state: Mutex::new(state), open: Arc::default(), kept, rebounded }
    }

    /// From here on these bounds hold; what is beyond them is closed.
    pub(super) fn rebound(&self, bounds: Bounds) {
        let mut state = self.state.lock();
        if state.bounds.server != bounds.server {
            state.idle.clear();
        }
        state.bounds = bounds;
        self.close_down_to(&mut state, bounds.max);
        drop(state);
        self.rebounded.notify_one();
    }

    /// This worker's youngest; anybody's where there is no room for one more.
    pub(super) fn take(&self) -> Option<Taken<L>> {
        let here = runtime::here();
        let mut state = self.state.lock();
        let State { idle, bounds, .. } = &mut *state;
        let index = match idle.iter().rposition(|idle| idle.worker == here) {
            Some(index) => index,
            None if self.open.load(Relaxed) >= bounds.max => idle.len().checked_sub(1)?,
            None => return None,
        };
        let taken = idle.remove(index);
        // It may have come of age a moment ago.
        let now = Instant::now();
        let is_others = taken.worker != here;
        (now - taken.since < bounds.max_age).then_some(Taken { link: taken.link, now, is_others })
    }

    /// Counts one that is about to be dialled, and closes the oldest until there is room for it.
    pub(super) fn open(&self) -> Open {
        let mut state = self.state.lock();
        let most = state.bounds.max.saturating_sub(1);
        self.close_down_to(&mut state, most);
        self.open.fetch_add(1, Relaxed);
        Open(self.open.clone())
    }

    /// Closes the oldest until there are no more than so many, or nothing is kept.
    fn close_down_to(&self, state: &mut State<L>, most: usize) {
        while !state.idle.is_empty() && self.open.load(Relaxed) > most {
            drop(state.idle.remove(0));
        }
    }

    /// Keeps a connection to this server, if it is still the one.
    pub(super) fn keep(&self, link: L, server: u64, now: Instant) {
        let mut state = self.state.lock();
        if state.bounds.server != server || self.open.load(Relaxed) > state.bounds.max {
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

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    fn bounds(max: usize) -> Bounds {
        Bounds { max, max_age: AGE, server: 1 }
    }

    fn pool(max: usize) -> Pool<(&'static str, Open)> {
        Pool::new(bounds(max))
    }

    fn keep(pool: &Pool<(&'static str, Open)>, name: &'static str) {
        let open = pool.open();
        pool.keep((name, open), 1, Instant::now());
    }

    fn taken(pool: &Pool<(&'static str, Open)>) -> Option<(&'static str, Open)> {
        pool.take().map(|taken| taken.link)
    }

    fn name(link: Option<(&'static str, Open)>) -> Option<&'static str> {
        link.map(|(name, _)| name)
    }

    #[tokio::test(start_paused = true)]
    async fn the_youngest_is_taken_and_the_aged_are_closed() {
        let pool = pool(4);
        keep(&pool, "old");
        tokio::time::advance(AGE / 2).await;
        keep(&pool, "young");
        assert_eq!(name(taken(&pool)), Some("young"));
        tokio::time::advance(AGE / 2).await;
        assert_eq!(name(taken(&pool)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_aged_are_closed_without_anybody_asking() {
        let pool = pool(4);
        keep(&pool, "old");
        // Runs for ever; the clock moves on by itself as long as it waits.
        let _ = tokio::time::timeout(2 * AGE, pool.close_aged()).await;
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn room_is_made_for_one_that_must_be_new() {
        let pool = pool(3);
        for name in ["a", "b", "c"] {
            keep(&pool, name);
        }
        let new = pool.open();
        assert_eq!(pool.len(), 2);
        let newer = pool.open();
        let last = taken(&pool);
        assert!(last.as_ref().is_some_and(|(name, _)| *name == "c") && taken(&pool).is_none());
        drop((new, newer, last));
        assert_eq!(pool.open.load(Relaxed), 0);
    }

    #[test]
    fn who_takes_one_leaves_all_for_those_who_are_about_to_and_who_opens_one_leaves_room() {
        let pool = pool(2);
        for name in ["a", "b"] {
            keep(&pool, name);
        }
        // All slots are in use by now, and each will have one.
        let first = taken(&pool);
        assert_eq!(pool.len(), 1);
        // The other one must have a new one, whoever looked first.
        let second = pool.open();
        assert_eq!(pool.len(), 0);
        drop((first, second));
    }

    #[test]
    fn what_is_too_many_or_leads_to_another_server_is_closed_and_not_kept() {
        let pool = pool(3);
        for name in ["a", "b", "c"] {
            keep(&pool, name);
        }
        let busy = taken(&pool).expect("kept");
        pool.rebound(bounds(2));
        assert_eq!(pool.len(), 1);
        pool.rebound(bounds(1));
        assert_eq!(pool.len(), 0);
        let more = pool.open();
        pool.keep(busy, 1, Instant::now());
        assert_eq!(pool.len(), 0);
        pool.keep(("kept", more), 1, Instant::now());
        let late = taken(&pool).expect("kept");
        pool.rebound(Bounds { server: 2, ..bounds(2) });
        pool.keep(late, 1, Instant::now());
        assert_eq!(pool.len(), 0);
        let new = pool.open();
        pool.keep(("new", new), 2, Instant::now());
        assert_eq!(name(taken(&pool)), Some("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_closes_the_aged_ends_where_nothing_is_kept_any_more_and_can_begin_anew() {
        let pool = pool(3);
        keep(&pool, "a");
        pool.rebound(bounds(0));
        pool.close_aged().await;
        keep(&pool, "b");
        assert_eq!(pool.len(), 0);
        pool.rebound(bounds(3));
        let _ = tokio::time::timeout(2 * AGE, pool.close_aged()).await;
        assert!(pool.state.lock().is_tended);
    }

    #[test]
    fn anothers_connection_is_taken_only_where_there_is_no_room() {
        let pool = Arc::new(pool(2));
        let other = pool.clone();
        std::thread::scope(|scope| drop(scope.spawn(move || keep(&other, "theirs")).join()));
        assert!(taken(&pool).is_none());
        let busy = pool.open();
        let theirs = pool.take().expect("kept");
        assert!(theirs.is_others);
        // It is watched here by now.
        pool.keep(theirs.link, 1, Instant::now());
        assert!(pool.take().is_some_and(|taken| taken.link.0 == "theirs" && !taken.is_others));
        drop(busy);
    }
}
