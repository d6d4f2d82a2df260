//! Waiting for a backend that is away: down, or restarting.
//!
//! Whoever cannot connect says so, and from then on requests wait instead of failing, in one line,
//! before they ask for a slot. The first in line tries again and again, the others wait for what
//! comes of it. Once it is back, each lets the next one go as soon as it has a slot, or a place in
//! the queue for one. So they come to a server that listens, in the order in which they came, and in
//! no greater number than there are slots.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use crate::refusal::Refusal;

/// A person who has waited so long for a page is told why.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a backend can be reached, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Hold {
    away: watch::Sender<Option<Away>>,
    /// The same in short, changed with it: each request asks, and a look at the other takes its lock.
    is_away: AtomicBool,
    /// It has been reached before.
    reached: AtomicBool,
    held: AtomicUsize,
    /// Who has its permit is the first in line. Handed on in the order of asking.
    first: Line,
}

/// In which one at a time is the first.
#[derive(Debug)]
struct Line(Semaphore);

#[derive(Debug, Clone)]
struct Away {
    since: Instant,
    /// What the last one who tried was told.
    why: Refusal,
}

/// That a request may go on.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// As the only one, to see whether the backend is back.
    pub(super) is_trial: bool,
    pub(super) was_held: bool,
    /// None for who found the backend there, and for who has let the next one go.
    first: Option<First<'a>>,
}

/// The first in line, until it is dropped.
#[derive(Debug)]
struct First<'a> {
    _permit: SemaphorePermit<'a>,
    _place: Place<'a>,
}

/// A place among the held, given up when dropped.
#[derive(Debug)]
struct Place<'a>(&'a AtomicUsize);

impl Turn<'_> {
    pub(crate) fn at_once() -> Self {
        Self { is_trial: false, was_held: false, first: None }
    }

    pub(crate) fn is_trial(&self) -> bool {
        self.is_trial
    }

    /// Has it waited in line?
    pub(crate) fn was_held(&self) -> bool {
        self.was_held
    }

    /// The next one in line may follow, unless it is to wait for what comes of this one.
    pub(crate) fn lets_the_next_go(&mut self) {
        if !self.is_trial {
            self.first = None;
        }
    }
}

impl Hold {
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Relaxed)
    }

    /// Since when, and why.
    pub(super) fn away_since(&self) -> Option<(Instant, &'static str)> {
        self.away.borrow().as_ref().map(|away| (away.since, away.why.reason()))
    }

    /// Was the last connection accepted, and closed before anything was said?
    pub(super) fn is_stood_in_for(&self) -> bool {
        self.away.borrow().as_ref().is_some_and(|away| away.why == Refusal::ClosedEarly)
    }

    /// Was it ever reached?
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Relaxed)
    }

    /// How many wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Does nobody wait in line, or has to?
    pub(super) fn is_open(&self) -> bool {
        !self.is_away() && self.first.0.available_permits() > 0
    }

    /// Nobody can connect to the backend of this name, for this reason.
    pub(super) fn lost(&self, name: &str, why: Refusal) {
        self.away.send_if_modified(|away| {
            if let Some(away) = away {
                // No news to those who wait: this is said at every try.
                away.why = why;
                return false;
            }
            let reason = why.reason();
            *away = Some(Away { since: Instant::now(), why });
            self.is_away.store(true, Relaxed);
            // Then: who reads this may send something at once, and that is to wait.
            tracing::warn!(backend = name, reason, "the backend is away: holding requests");
            true
        });
    }

    /// It can be reached.
    pub(super) fn back(&self, name: impl FnOnce() -> Arc<str>) {
        self.reached.store(true, Relaxed);
        if !self.is_away() {
            return;
        }
        self.away.send_modify(|away| {
            self.is_away.store(false, Relaxed);
            if let Some(Away { since, .. }) = away.take() {
                let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let held = self.held.load(Relaxed);
                tracing::info!(backend = &*name(), away_ms, held, "the backend is back");
            }
        });
    }

    /// The first place in the line, where nobody has it: to try, and not to be counted among the held.
    pub(super) fn first(&self) -> Option<SemaphorePermit<'_>> {
        self.first.0.try_acquire().ok()
    }

    /// Waits in line: first come, first served. Refuses where `max` requests (`backend.hold.max`) wait
    /// for a backend that is away.
    pub(super) async fn turn(&self, max: usize) -> Result<Turn<'_>, Refusal> {
        let place = match (self.place(max), &*self.away.borrow()) {
            (Some(place), _) => place,
            (None, Some(away)) => return Err(away.why.clone()),
            (None, None) => return Ok(Turn::at_once()),
        };
        // Cancel-safe: whoever stops waiting gives up the place in the line, and that is wanted.
        let Ok(permit) = self.first.0.acquire().await else { return Err(Refusal::Internal) };
        let first = First { _permit: permit, _place: place };
        Ok(Turn { is_trial: self.is_away(), was_held: true, first: Some(first) })
    }

    /// Resolves when a request that waits since `came` has waited for `longest` (`backend.hold.for`)
    /// for a backend that is away, with what to say. Never while the backend is there.
    pub(super) async fn outwaited(
        &self,
        longest: Duration,
        came: Instant,
        is_page_load: bool,
    ) -> Refusal {
        let mut changes = self.away.subscribe();
        loop {
            let Some((at, _)) = self.outwaited_at(longest, came, is_page_load) else {
                if changes.wait_for(Option::is_some).await.is_err() {
                    return Refusal::Internal;
                }
                continue;
            };
            tokio::select! {
                // Cancel-safe: what is dropped only waits.
                _ = changes.wait_for(Option::is_none) => {}
                () = sleep_until(at) => {
                    // It may be away for another reason by now.
                    if let Some((_, why)) = self.outwaited_at(longest, came, is_page_load) {
                        return why;
                    }
                }
            }
        }
    }

    /// When such a request will have waited for so long, and what to say then. None while the backend is there.
    pub(super) fn outwaited_at(
        &self,
        longest: Duration,
        came: Instant,
        is_page_load: bool,
    ) -> Option<(Instant, Refusal)> {
        if !self.is_away() {
            return None;
        }
        let away = self.away.borrow();
        let away = away.as_ref()?;
        let since = came.max(away.since);
        let (until, page) = (since + longest, since + PATIENCE);
        if !is_page_load || until <= page {
            return Some((until, away.why.clone()));
        }
        let reached = self.reached.load(Relaxed);
        Some((page, if reached { Refusal::Restarting } else { Refusal::NeverReached }))
    }

    fn place(&self, max: usize) -> Option<Place<'_>> {
        let before = self.held.fetch_add(1, Relaxed);
        let place = Place(&self.held);
        (before < max).then_some(place)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(9);

    async fn is_pending<F: Future>(future: F) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_and_the_others_follow_one_by_one() {
        let hold = Hold::default();
        assert!(hold.is_open());
        hold.lost("test", Refusal::ConnectionRefused);
        assert!(!hold.is_open());
        let mut first = hold.turn(9).await.expect("a turn");
        assert!(first.is_trial);
        let mut second = pin!(hold.turn(9));
        let mut third = pin!(hold.turn(9));
        assert!(is_pending(second.as_mut()).await);
        assert!(is_pending(third.as_mut()).await);
        first.lets_the_next_go();
        assert!(is_pending(second.as_mut()).await);
        hold.back(|| "test".into());
        drop(first);
        let mut second = second.await.expect("a turn");
        assert!(!second.is_trial && second.was_held && !hold.is_open());
        assert!(is_pending(third.as_mut()).await);
        second.lets_the_next_go();
        let third = third.await.expect("a turn");
        assert!(!third.is_trial && !hold.is_open());
        drop(third);
        assert!(hold.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_one_who_tries_leaves_the_next_one_does() {
        let hold = Hold::default();
        hold.lost("test", Refusal::ConnectionRefused);
        let first = hold.turn(9).await;
        let mut second = pin!(hold.turn(9));
        assert!(is_pending(second.as_mut()).await);
        drop(first);
        assert!(second.await.expect("a turn").is_trial);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let hold = Hold::default();
        hold.lost("test", Refusal::ConnectionRefused);
        let first = hold.turn(1).await;
        assert!(first.is_ok());
        assert_eq!(hold.turn(1).await.err(), Some(Refusal::ConnectionRefused));
        drop(first);
        assert!(hold.turn(1).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_bounded_while_the_backend_is_away_and_only_then() {
        let hold = Hold::default();
        let came = Instant::now();
        let mut patient = pin!(hold.outwaited(LONGEST, came, false));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, patient.as_mut()).await.is_err());
        hold.lost("test", Refusal::ConnectionRefused);
        assert_eq!(hold.outwaited(LONGEST, came, true).await, Refusal::NeverReached);
        assert_eq!(came.elapsed(), hour + PATIENCE);
        hold.lost("test", Refusal::NameUnknown);
        assert_eq!(patient.await, Refusal::NameUnknown);
        assert_eq!(came.elapsed(), hour + LONGEST);
    }
}
