//! A client's side of an exchange.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
    task::{Context, Poll, ready},
};

use http::Response;

use super::{
    Plan, Ready,
    shared::{Head, NoHead, Shared, keep},
    start,
};
use crate::{
    admission::per_client::ClientShare,
    observe::record::{Ended, Outcome, Record, Source, Stage},
    prefetch::Extent,
    refusal::Refusal,
    tasks::Running,
};

/// Whoever waits for, or reads, the answer. The exchange is an orphan once the last one is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(super) shared: Arc<Shared>,
    seat: usize,
    /// The exchange itself, as long as this client's task runs it.
    running: Option<Running>,
    /// Of one who did not start the exchange.
    guest: Option<Box<Guest>>,
    /// It leaves since it has all, which may be a moment before the backend is through.
    is_served: bool,
}

/// Where an exchange is in memory, and what it shares with its client.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    pub(crate) running: Extent,
    pub(crate) shared: Extent,
}

/// A watcher of an exchange that another client has started.
#[derive(Debug)]
struct Guest {
    source: Source,
    /// Its own: the exchange has that of its first client.
    record: Arc<Record>,
    /// Counts for its own client while it watches.
    share: Option<ClientShare>,
    /// Until there is a head: for an exchange of its own, where the answer is not to be shared.
    spare: Option<Plan>,
}

impl Watcher {
    pub(super) fn first(shared: Arc<Shared>, running: Option<Running>) -> Self {
        Self { shared, seat: 0, running, guest: None, is_served: false }
    }

    /// One that needs no seat any more.
    pub(super) fn answered(shared: Arc<Shared>) -> Self {
        Self { shared, seat: usize::MAX, running: None, guest: None, is_served: false }
    }

    /// One who joins an exchange that is there already, with what it takes to have its own.
    pub(super) fn equal(shared: &Arc<Shared>, seat: usize, ready: Ready) -> Self {
        let Ready { share, record, plan } = ready;
        Self::guest(
            shared,
            seat,
            Guest { source: Source::Join, record, share: Some(share), spare: Some(plan) },
        )
    }

    /// One who sends the request of an exchange again.
    pub(super) fn retry(shared: &Arc<Shared>, seat: usize, ready: Ready) -> Self {
        let Ready { share, record, .. } = ready;
        let guest = Guest { source: Source::Replay, record, share: Some(share), spare: None };
        Self::guest(shared, seat, guest)
    }

    fn guest(shared: &Arc<Shared>, seat: usize, guest: Guest) -> Self {
        guest.record.note(|outcome| outcome.source = Some(guest.source));
        if let Some(trail) = guest.record.trail() {
            trail.watches(shared.trail.as_ref());
        }
        let (shared, guest) = (shared.clone(), Some(Box::new(guest)));
        Self { shared, seat, running: None, guest, is_served: false }
    }

    /// Whether the exchange is another's.
    pub(crate) fn source(&self) -> Option<Source> {
        self.guest.as_ref().map(|guest| guest.source)
    }

    /// The head of the answer, or the refusal in its place. Interim answers before it are told
    /// `interim`.
    pub(crate) fn head(
        &mut self,
        interim: impl Fn(Response<()>),
    ) -> impl Future<Output = Result<Box<Head>, Refusal>> {
        poll_fn(move |cx| {
            loop {
                match ready!(self.poll_head(cx, &interim)) {
                    Ok(head) => {
                        if let Some(guest) = &mut self.guest {
                            guest.spare = None;
                        }
                        return Poll::Ready(Ok(head));
                    }
                    Err(no_head) => match *no_head {
                        NoHead::Refused(refusal) => return Poll::Ready(Err(refusal)),
                        NoHead::NotShared => self.start_alone()?,
                    },
                }
            }
        })
    }

    /// Says where it is, if this client's task runs it.
    pub(crate) fn locate(&self, extents: &Extents) {
        if let Some(running) = &self.running {
            running.locate(&extents.running);
            extents.shared.set(&*self.shared);
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        interim: impl Fn(Response<()>),
    ) -> Poll<Result<Box<Head>, Box<NoHead>>> {
        if let Some(running) = &mut self.running {
            if running.poll(cx).is_ready() {
                self.running = None;
            } else if !self.shared.has_word.load(Relaxed) {
                // Who runs the exchange sees for itself what comes of it.
                return Poll::Pending;
            }
            self.shared.has_word.store(false, Relaxed);
        }
        let mut state = self.shared.state.lock();
        if let Some(guest) = &self.guest {
            guest.record.note(|outcome| outcome.stage = state.stage);
        }
        let seat = state.seat(self.seat);
        seat.interims().into_iter().for_each(interim);
        let Some(answer) = seat.take_answer() else {
            if self.running.is_none() {
                keep(&mut seat.waker, cx);
            }
            return Poll::Pending;
        };
        drop(state);
        // The body comes at the backend's pace, whatever the client takes of it.
        self.let_run();
        Poll::Ready(answer)
    }

    /// From here on the exchange is a task of its own.
    pub(crate) fn let_run(&mut self) {
        if let Some(running) = self.running.take() {
            // That task is yet to be registered.
            self.shared.is_told.store(false, Relaxed);
            drop(running);
        }
    }

    /// Leaves the exchange for one of its own, which nobody joins: those who were sent on together
    /// would only wait for each other.
    fn start_alone(&mut self) -> Result<(), Refusal> {
        let guest = self.guest.take().map(|guest| *guest);
        let Some(Guest { record, share: Some(share), spare: Some(plan), .. }) = guest else {
            // Whoever started an exchange is given its answer.
            return Err(Refusal::Internal);
        };
        record.note(|outcome| outcome.source = None);
        if let Some(trail) = record.trail() {
            trail.watches(None);
        }
        *self = start(Ready { share, record, plan });
        // Its client may have left meanwhile, and nobody looks for that here.
        self.let_run();
        Ok(())
    }

    /// The client has all of the answer: it leaves no orphan.
    pub(crate) fn served(&mut self) {
        self.is_served = true;
    }

    /// The client is let go; the exchange is to go on, even if it still waits for a slot.
    pub(crate) fn promise(&self) {
        self.shared.state.lock().promised = true;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // First: where the worker itself is ending, it is over then, and no orphan.
        self.let_run();
        if !self.shared.may_have_guests && self.shared.is_over.load(Acquire) {
            // Nothing is decided any more, and what its seat still has goes with all that is shared.
            return;
        }
        let mut state = self.shared.state.lock();
        if let Some(guest) = &self.guest {
            let fate = state.open.as_ref().and_then(|open| open.fate);
            let sent = state.promised || state.stage > Stage::Queued;
            guest.record.note(|outcome| guest_ended(outcome, state.stage, fate, sent));
        }
        // An answer that nobody took keeps its reader no longer, else it would be spooled; and the
        // waker would keep the connection of the client that left.
        let seat = state.leave(self.seat);
        let promised = state.promised && state.stage == Stage::Queued;
        let orphaned = state.watchers == 0 && !state.ended && !promised;
        let task = orphaned.then(|| {
            let now = tokio::time::Instant::now();
            state.orphaned = Some(now);
            self.shared.has_news.store(true, Relaxed);
            // What is not sent by now is none unless it is.
            if state.stage > Stage::Queued && !self.is_served {
                self.shared.runs_for_nobody(&state, now);
            }
            // Under the lock, else somebody could join in between, and be counted an orphan.
            self.shared.share.orphan();
            state.task.take()
        });
        drop(state);
        drop(seat);
        if let Some(Some(task)) = task {
            task.wake();
        }
    }
}

/// What the exchange came to, as far as one knows who leaves it now.
fn guest_ended(
    outcome: &mut Outcome,
    stage: Stage,
    fate: Option<(Ended, Option<&'static str>)>,
    sent: bool,
) {
    outcome.stage = stage;
    outcome.ended = Some(match fate {
        Some((ended, _)) => ended,
        // It has all that was stated, or it has left, which the visit says.
        None if sent => Ended::Delivered,
        None => Ended::Abandoned,
    });
    if let Some((_, Some(reason))) = fate {
        outcome.because(reason);
    }
}
