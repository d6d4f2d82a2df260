//! The shielded exchange: one request sent to the backend, one response read to its end.
//!
//! It stands on its own ([`run`]) and owns the backend's side: slot, connection, spool. Clients only watch it. A
//! client that leaves drops its [`Watcher`]; the exchange does not notice, but for what policy and bounds make of
//! an orphan ([`policy`]). While its first client waits for the head, that client's task may run it, since they would
//! only wake each other; from then on, as soon as that client leaves, and where it may have left before, it is a task
//! of its own.
//!
//! Its way to the backend is [`reach`], that of the answer to the clients is [`pass`]; what is noted and kept
//! of it when it ends is [`ending`]. What it has in common with its watchers, and the lock under which all is
//! decided between them, is [`shared`].
//!
//! Where its request and its answer say so, it becomes a tunnel ([`tunnelled`]).
//!
//! Others may join it ([`registry`]), where it is [`open`], when their request is equal ([`identity`])
//! and nobody has written since it was sent; what it brings may still be for one of them alone
//! ([`sharing`]). Who sends the same request again is attached to it, or given what it came to
//! ([`replays`]).

mod ending;
mod identity;
mod open;
mod pass;
mod policy;
mod reach;
mod registry;
mod replays;
mod run;
mod shared;
mod sharing;
mod tunnelled;
mod watcher;

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Weak,
        atomic::Ordering::{Relaxed, Release},
    },
    task::{Context, Poll, ready},
};

use http::{Response, response};
use tokio::time::Instant;

pub(crate) use self::{
    identity::Identity,
    policy::Policy,
    registry::Registry,
    replays::{Found, Replays},
    shared::Head,
    watcher::{Extents, Watcher},
};
use self::{
    open::Open,
    registry::Known,
    run::run,
    shared::{Shared, State, keep},
};
use crate::{
    admission::per_client::ClientShare,
    backend::{Backend, Outbound, Watched},
    headers,
    lock::MutexGuard,
    observe::{
        record::{Ended, Outcome, Record, Stage},
        trace::What,
    },
    refusal::Refusal,
    spool::{self, Retain},
    tasks::Tasks,
    tunnel,
};

/// What all exchanges with one backend work with.
#[derive(Debug)]
pub(crate) struct Means {
    pub backend: Arc<Backend>,
    pub store: spool::Store,
    pub tasks: Tasks,
}

/// What an exchange works with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub means: Arc<Means>,
    pub request: Box<Outbound>,
    pub policy: Policy,
    /// Its client can be handed what is in a pipe.
    pub by_pipe: bool,
    /// How much of the answer is held for those who join.
    pub retain: Retain,
    /// Where the request asks for another protocol.
    pub tunnel: Option<Box<tunnel::Plan>>,
}

/// All that it takes to start an exchange.
#[derive(Debug)]
pub(crate) struct Ready {
    pub share: ClientShare,
    pub record: Arc<Record>,
    pub plan: Plan,
}

/// The exchange's side of what it shares with those who watch it.
#[derive(Debug)]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    record: Arc<Record>,
    /// Where others may join.
    known: Option<Box<Known>>,
}

/// Starts an exchange for its client alone.
pub(crate) fn start(ready: Ready) -> Watcher {
    begin(ready, None, None)
}

/// Starts an exchange that others may join.
fn start_open(ready: Ready, open: Box<Open>, known: Box<Known>) -> Watcher {
    begin(ready, Some(open), Some(known))
}

fn begin(ready: Ready, open: Option<Box<Open>>, known: Option<Box<Known>>) -> Watcher {
    let Ready { share, record, plan } = ready;
    let writes = (!plan.request.is_safe()).then(|| plan.means.backend.shared.writes.clone());
    let shared = Shared::new(share, writes, open, record.clone());
    if let Some(known) = &known {
        known.runs(&shared);
    }
    let ends: Weak<Shared> = Arc::downgrade(&shared);
    record.queued(ends);
    let exchange = Exchange::new(shared.clone(), record, known);
    let counted = plan.means.tasks.count_exchange();
    Watcher::first(shared, Some(Tasks::exchange(counted, run(exchange, plan))))
}

impl Exchange {
    fn new(shared: Arc<Shared>, record: Arc<Record>, known: Option<Box<Known>>) -> Self {
        Self { shared, record, known }
    }

    /// The client of an unsafe request is about to learn something of it: whoever joins a reader
    /// from here on must not be answered by one who began before.
    fn tells(&self) {
        if let Some(writes) = &self.shared.writes {
            writes.raise();
        }
    }

    /// The lock, for who has word for those who watch.
    fn lock_with_word(&self) -> MutexGuard<'_, State> {
        self.shared.has_word.store(true, Relaxed);
        self.shared.state.lock()
    }

    fn answer(
        &self,
        parts: response::Parts,
        spool: &spool::Spool,
        bodyless: bool,
        brief: bool,
        answered: Option<Instant>,
    ) {
        self.tells();
        let mut state = self.lock_with_word();
        self.advance(&mut state, Stage::Answering, |outcome| {
            outcome.answered = answered;
            outcome.backend_status = Some(parts.status);
        });
        state.answer(parts, spool, bodyless, brief);
    }

    /// Hands on what has come whole, in one piece. It was sent at `sent`, and with it all is over: the connection is
    /// kept or closed by now, and the slot free for the client's next request.
    fn answer_whole(&self, head: Box<Head>, sent: Instant, over: Instant) {
        self.tells();
        let mut state = self.lock_with_word();
        let (status, len) = (head.parts.status, head.body.unread());
        let discarded = if state.answer_whole(head) { 0 } else { len };
        self.advance(&mut state, Stage::Answering, |outcome| {
            outcome.backend_status = Some(status);
            outcome.backend += over - sent;
            outcome.over = Some(over);
            outcome.ended = Some(Ended::Delivered);
            outcome.discarded += discarded;
        });
        self.end(&mut state);
    }

    /// Nobody waits for it in vain from here on.
    fn end(&self, state: &mut State) {
        state.ended = true;
        state.record = None;
        self.shared.is_over.store(true, Release);
    }

    /// Hands a refusal to those who still wait for a head.
    fn refuse(&self, refusal: &Refusal) {
        self.tells();
        let mut state = self.lock_with_word();
        state.closed = true;
        state.refuse(refusal);
    }

    /// Stages only ever follow each other.
    fn advance(&self, state: &mut State, next: Stage, change: impl FnOnce(&mut Outcome)) {
        debug_assert!(!state.ended && state.stage < next, "{next:?} after {:?}", state.stage);
        state.stage = next;
        self.record.note(|outcome| {
            outcome.stage = next;
            change(outcome);
        });
    }

    /// Ready when nobody watches any more, with the moment since when; or when an operator ends it,
    /// with the reason. Somebody may join, and undo the former, before anything is made of it. For
    /// the task alone that runs it, which is registered once.
    fn poll_orphaned_since(&self, cx: &Context<'_>) -> Poll<Result<Instant, &'static str>> {
        // Asked with each poll of all that an exchange waits for, and nearly always in vain.
        if self.shared.is_told.load(Relaxed) && !self.shared.has_news.load(Relaxed) {
            return Poll::Pending;
        }
        let mut state = self.shared.state.lock();
        if let Some(reason) = state.condemned {
            return Poll::Ready(Err(reason));
        }
        if let Some(since) = state.orphaned {
            return Poll::Ready(Ok(since));
        }
        self.is_to_be_told(&mut state, cx);
        Poll::Pending
    }

    /// The task that runs it, which is registered once.
    fn is_to_be_told(&self, state: &mut State, cx: &Context<'_>) {
        keep(&mut state.task, cx);
        self.shared.is_told.store(true, Relaxed);
    }

    /// Resolves when an operator ends it.
    fn condemned(&self) -> impl Future<Output = &'static str> {
        poll_fn(|cx| self.poll_condemned(cx))
    }

    fn poll_condemned(&self, cx: &Context<'_>) -> Poll<&'static str> {
        let mut state = self.shared.state.lock();
        if let Some(reason) = state.condemned {
            return Poll::Ready(reason);
        }
        keep(&mut state.task, cx);
        Poll::Pending
    }

    /// Ready when nobody watches any more, and nobody can join any more either; or when an operator
    /// ends it, with the reason.
    fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<Result<(), &'static str>> {
        while !self.close_orphan(ready!(self.poll_orphaned_since(cx))?) {}
        Poll::Ready(Ok(()))
    }

    /// Lets nobody join any more, if it is an orphan still, and since then.
    fn close_orphan(&self, since: Instant) -> bool {
        let mut state = self.shared.state.lock();
        let is_still = state.orphaned == Some(since);
        state.closed |= is_still;
        is_still
    }

    /// Decided under the lock under which a watcher leaves, another joins, and an operator ends it, with
    /// the reason; but not where none of that was heard of. Who leaves in this moment is seen when it is sent, and
    /// what is ended in this moment is ended as one that was sent.
    fn is_to_be_sent(&self) -> Result<bool, &'static str> {
        if !self.shared.has_news.load(Relaxed) {
            return Ok(true);
        }
        let mut state = self.shared.state.lock();
        if let Some(reason) = state.condemned {
            return Err(reason);
        }
        let is_wanted = state.watchers > 0 || state.promised;
        state.closed |= !is_wanted;
        Ok(is_wanted)
    }

    /// For its spans, where it has any.
    fn happened(&self, what: What, at: Instant) {
        if let Some(trail) = &self.shared.trail {
            trail.happened(what, at);
        }
    }

    fn record(&self) -> &Record {
        &self.record
    }
}

impl Watched for Exchange {
    /// Again where it is sent once more.
    fn begin(&self, now: Instant, cx: &Context<'_>) {
        let mut state = self.shared.state.lock();
        self.is_to_be_told(&mut state, cx);
        let is_first = state.stage == Stage::Queued;
        if is_first {
            self.advance(&mut state, Stage::Waiting, |outcome| outcome.sent = Some(now));
        } else {
            self.record.note(|outcome| outcome.sent = Some(now));
        }
        if let Some(trail) = &self.shared.trail {
            trail.sent(now);
        }
        // Its client was told that it will be sent, or has left in this moment.
        if is_first && state.watchers == 0 {
            if state.orphaned.is_none() {
                state.orphaned = Some(now);
                self.shared.has_news.store(true, Relaxed);
                self.shared.share.orphan();
            }
            self.shared.runs_for_nobody(&state, now);
        }
        if let Some(open) = &mut state.open {
            open.begin();
            state.wake_guests();
        }
        drop(state);
        self.tells();
    }

    fn interim(&self, mut head: Response<()>) {
        headers::accept_interim(&mut head);
        self.tells();
        self.lock_with_word().interim(head);
    }

    fn is_wanted(&self) -> bool {
        // One that an operator ends goes the way of all, up to where that is told.
        self.is_to_be_sent().unwrap_or(true)
    }

    fn is_open(&self) -> bool {
        let state = self.shared.state.lock();
        state.open.is_some() && !state.closed
    }

    fn poll_orphaned(&self, cx: &Context<'_>) -> Poll<()> {
        // An operator's word is for the exchange to act on.
        self.poll_orphaned_since(cx).map(|_| ())
    }
}

impl Drop for Exchange {
    /// However it ended, nobody waits for it in vain, and the log says how.
    fn drop(&mut self) {
        if self.shared.is_over.load(Relaxed) {
            return;
        }
        self.record().interrupted();
        if let Some(known) = &self.known {
            known.end(&self.shared);
        }
        let mut state = self.lock_with_word();
        self.end(&mut state);
        state.refuse(&Refusal::Internal);
    }
}

#[cfg(test)]
mod tests;
