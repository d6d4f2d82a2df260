//! Waiting for a backend that is away: down, or restarting.
//!
//! Whoever cannot connect says so, and from then on requests wait instead of failing, before they
//! ask for a slot. The first in line tries again and again, the others wait for what comes of it.
//! So they come to a server that listens, and in no greater number than there are slots.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use crate::{config, refusal::Refusal};

/// A person who has waited so long for a page is told why.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a backend can be reached, and who waits for it.
#[derive(Debug)]
pub(super) struct Hold {
    name: String,
    bounds: config::Hold,
    away: watch::Sender<Option<Away>>,
    held: AtomicUsize,
    trial: Semaphore,
}

#[derive(Debug, Clone)]
struct Away {
    since: Instant,
    /// What the last one who tried was told.
    why: Refusal,
}

/// What a request may do.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// Go on.
    Go,
    /// Go on as the only one, to see whether the backend is back.
    Try {
        /// Given back when the backend is back, or somebody else is to try.
        _trial: SemaphorePermit<'a>,
        _place: Place<'a>,
    },
}

/// A place among the held, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Hold {
    pub(super) fn new(name: &str, bounds: &config::Hold) -> Self {
        Self {
            name: name.to_owned(),
            bounds: bounds.clone(),
            away: watch::Sender::new(None),
            held: AtomicUsize::new(0),
            trial: Semaphore::new(1),
        }
    }

    /// Does anybody wait for the backend at all?
    pub(super) fn is_on(&self) -> bool {
        !self.bounds.longest.is_zero()
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.borrow().is_some()
    }

    /// Nobody can connect, for this reason.
    pub(super) fn lost(&self, why: Refusal) {
        if !self.is_on() {
            return;
        }
        self.away.send_modify(|away| {
            if away.is_none() {
                let reason = why.reason();
                tracing::warn!(
                    backend = self.name,
                    reason,
                    "the backend is away: holding requests"
                );
            }
            let since = away.as_ref().map_or_else(Instant::now, |away| away.since);
            *away = Some(Away { since, why });
        });
    }

    /// It can be reached.
    pub(super) fn back(&self) {
        if !self.is_away() {
            return;
        }
        self.away.send_modify(|away| {
            if let Some(Away { since, .. }) = away.take() {
                let away_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let held = self.held.load(Relaxed);
                tracing::info!(backend = self.name, away_ms, held, "the backend is back");
            }
        });
    }

    /// Waits until the backend is back, or until it is this request's turn to try: first come, first
    /// served. Refuses where `backend.hold.max` requests wait already.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        let Some(away) = self.away.borrow().clone() else { return Ok(Turn::Go) };
        let place = self.place().ok_or(away.why)?;
        let mut changes = self.away.subscribe();
        tokio::select! {
            biased;
            // Cancel-safe: whoever stops waiting gives up the place in the line, and that is wanted.
            _ = changes.wait_for(Option::is_none) => Ok(Turn::Go),
            trial = self.trial.acquire() => Ok(match trial {
                Ok(trial) if self.is_away() => Turn::Try { _trial: trial, _place: place },
                _ => Turn::Go,
            }),
        }
    }

    /// Resolves when a request that waits since `came` has waited too long for a backend that is
    /// away, with what to say. Never while the backend is there.
    pub(super) async fn outwaited(&self, came: Instant, is_page_load: bool) -> Refusal {
        let mut changes = self.away.subscribe();
        loop {
            let away = match changes.wait_for(Option::is_some).await {
                Ok(away) => away.clone(),
                Err(_) => None,
            };
            let Some(away) = away else { return Refusal::Internal };
            let since = came.max(away.since);
            let until = since + self.bounds.longest;
            let page = since + PATIENCE;
            let is_told = is_page_load && page < until;
            tokio::select! {
                // Cancel-safe: what is dropped only waits.
                _ = changes.wait_for(Option::is_none) => {}
                () = sleep_until(page), if is_told => return Refusal::Restarting,
                () = sleep_until(until) => {
                    return self.away.borrow().as_ref().map_or(away.why, |away| away.why.clone());
                }
            }
        }
    }

    fn place(&self) -> Option<Place<'_>> {
        let before = self.held.fetch_add(1, Relaxed);
        let place = Place(&self.held);
        (before < self.bounds.max).then_some(place)
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

    fn hold(max: usize) -> Hold {
        Hold::new("test", &config::Hold { longest: Duration::from_secs(9), max })
    }

    async fn is_pending<F: Future>(future: F) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_and_the_others_wait_for_what_comes_of_it() {
        let hold = hold(9);
        assert!(matches!(hold.turn().await, Ok(Turn::Go)));
        hold.lost(Refusal::ConnectionRefused);
        let first = hold.turn().await;
        assert!(matches!(first, Ok(Turn::Try { .. })));
        let mut second = pin!(hold.turn());
        let mut third = pin!(hold.turn());
        assert!(is_pending(second.as_mut()).await);
        assert!(is_pending(third.as_mut()).await);
        hold.back();
        assert!(matches!(second.await, Ok(Turn::Go)));
        assert!(matches!(third.await, Ok(Turn::Go)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_one_who_tries_leaves_the_next_one_does() {
        let hold = hold(9);
        hold.lost(Refusal::ConnectionRefused);
        let first = hold.turn().await;
        let mut second = pin!(hold.turn());
        assert!(is_pending(second.as_mut()).await);
        drop(first);
        assert!(matches!(second.await, Ok(Turn::Try { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let hold = hold(1);
        hold.lost(Refusal::ConnectionRefused);
        let first = hold.turn().await;
        assert!(first.is_ok());
        assert_eq!(hold.turn().await.err(), Some(Refusal::ConnectionRefused));
        drop(first);
        assert!(hold.turn().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_bounded_while_the_backend_is_away_and_only_then() {
        let hold = hold(9);
        let came = Instant::now();
        let mut patient = pin!(hold.outwaited(came, false));
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, patient.as_mut()).await.is_err());
        hold.lost(Refusal::ConnectionRefused);
        assert_eq!(hold.outwaited(came, true).await, Refusal::Restarting);
        assert_eq!(came.elapsed(), hour + PATIENCE);
        hold.lost(Refusal::NameUnknown);
        assert_eq!(patient.await, Refusal::NameUnknown);
        assert_eq!(came.elapsed(), hour + Duration::from_secs(9));
    }
}
