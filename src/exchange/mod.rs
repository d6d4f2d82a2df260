//! The shielded exchange: one request sent to the backend, one response read to its end.
//!
//! It stands on its own ([`run`]) and owns the backend's side: slot, connection, spool. Clients
//! only watch it. A client that leaves drops its [`Watcher`]; the exchange does not notice, but
//! for what policy and bounds make of an orphan ([`policy`]). While its first client waits for the
//! head, that client's task runs it, since they would only wake each other; from then on, and as
//! soon as that client leaves, it is a task of its own.

mod policy;
mod reach;
mod run;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::response;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(crate) use self::policy::Policy;
use self::run::run;
use crate::{
    admission::per_client::ClientShare,
    backend::{Backend, Outbound, Watched},
    observe::record::{Ended, Record, Stage},
    refusal::Refusal,
    spool,
    tasks::Tasks,
};

/// What an exchange works with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub backend: Arc<Backend>,
    pub request: Outbound,
    pub policy: Policy,
    pub store: spool::Store,
}

/// The exchange's side of what it shares with those who watch it.
#[derive(Debug)]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
}

/// A client's side. The exchange is an orphan once the last one is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    /// The exchange itself, while this client's task runs it.
    running: Option<Running>,
}

/// An exchange that is run by whoever polls it, and by a task of its own once that one has dropped
/// it: nobody can end it.
struct Running(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

/// The head of an answer, and the reader of its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub parts: response::Parts,
    pub body: spool::Reader,
    /// No body comes, whatever the fields say: HEAD, 204, 304.
    pub bodyless: bool,
    /// Goes on for ever, and is not to outlive its client for long.
    pub brief: bool,
}

#[derive(Debug)]
struct Shared {
    share: ClientShare,
    record: Arc<Record>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    ended: bool,
    watchers: usize,
    orphaned: Option<Instant>,
    /// To be sent even if nobody watches by then: its client was told that it will be.
    promised: bool,
    /// An answer was handed over, whether or not it is taken yet.
    answered: bool,
    answer: Option<Result<Head, Refusal>>,
    /// Of the watcher that waits for an answer.
    watcher: Option<Waker>,
    /// Of the task that wants to know when the last watcher leaves.
    task: Option<Waker>,
}

/// Starts an exchange, for its first watcher.
pub(crate) fn start(
    share: ClientShare,
    record: Arc<Record>,
    plan: Plan,
    counted: TaskTrackerToken,
) -> Watcher {
    let (exchange, mut watcher) = open(share, record);
    watcher.running = Some(Running(Some(Box::pin(run(exchange, plan, counted)))));
    watcher
}

/// An exchange that waits for a slot, and its first watcher.
fn open(share: ClientShare, record: Arc<Record>) -> (Exchange, Watcher) {
    record.note(|outcome| outcome.stage = Stage::Queued);
    let state = State {
        stage: Stage::Queued,
        ended: false,
        watchers: 1,
        orphaned: None,
        promised: false,
        answered: false,
        answer: None,
        watcher: None,
        task: None,
    };
    let shared = Arc::new(Shared { share, record, state: Mutex::new(state) });
    (Exchange { shared: shared.clone() }, Watcher { shared, running: None })
}

impl Exchange {
    /// Hands the head to those who wait. A watcher's reader is made here, so that nothing is kept
    /// where nobody watches.
    fn answer(&self, parts: response::Parts, spool: &spool::Spool, bodyless: bool, brief: bool) {
        let mut state = self.shared.state.lock();
        self.advance(&mut state, Stage::Answering);
        if state.watchers > 0 {
            state.hand_over(Ok(Head { parts, body: spool.reader(), bodyless, brief }));
        }
    }

    /// Hands a refusal to those who still wait for a head.
    fn refuse(&self, refusal: Refusal) {
        let mut state = self.shared.state.lock();
        if state.watchers > 0 && state.stage < Stage::Answering {
            state.hand_over(Err(refusal));
        }
    }

    /// Stages only ever follow each other.
    fn advance(&self, state: &mut State, next: Stage) {
        debug_assert!(!state.ended && state.stage < next, "{next:?} after {:?}", state.stage);
        state.stage = next;
        self.shared.record.note(|outcome| outcome.stage = next);
    }

    /// Resolves when nobody watches any more, with the moment since when.
    async fn orphaned_since(&self) -> Instant {
        poll_fn(|cx| {
            let mut state = self.shared.state.lock();
            if let Some(since) = state.orphaned {
                return Poll::Ready(since);
            }
            keep(&mut state.task, cx);
            Poll::Pending
        })
        .await
    }

    fn record(&self) -> &Record {
        &self.shared.record
    }
}

impl Watched for Exchange {
    /// Again where it is sent once more.
    fn begin(&self) {
        let mut state = self.shared.state.lock();
        if state.stage == Stage::Queued {
            self.advance(&mut state, Stage::Waiting);
        }
        if state.watchers == 0 {
            state.orphaned.get_or_insert_with(Instant::now);
            self.shared.share.orphan();
        }
    }

    /// Decided under the lock under which a watcher leaves.
    fn is_wanted(&self) -> bool {
        let state = self.shared.state.lock();
        state.watchers > 0 || state.promised
    }

    async fn orphaned(&self) {
        self.orphaned_since().await;
    }
}

impl State {
    fn hand_over(&mut self, answer: Result<Head, Refusal>) {
        if self.answered {
            return;
        }
        self.answered = true;
        self.answer = Some(answer);
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }
}

impl Drop for Exchange {
    /// However the task ended, nobody waits for it in vain, and the log says how.
    fn drop(&mut self) {
        self.record().note(|outcome| {
            if outcome.ended.is_none() {
                let sent = outcome.stage > Stage::Queued;
                outcome.ended = Some(if sent { Ended::Cut } else { Ended::Abandoned });
                outcome.because(if std::thread::panicking() {
                    "internal error"
                } else {
                    "the process ended"
                });
            }
        });
        let mut state = self.shared.state.lock();
        state.ended = true;
        state.hand_over(Err(Refusal::Internal));
    }
}

impl Running {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let polled = self.0.as_mut().map(|exchange| exchange.as_mut().poll(cx));
        let over = !matches!(polled, Some(Poll::Pending));
        if over {
            self.0 = None;
        }
        over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            Tasks::exchange(exchange);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Running").field("over", &self.0.is_none()).finish()
    }
}

impl Watcher {
    /// The head of the answer, or the refusal in its place.
    pub(crate) async fn head(&mut self) -> Result<Head, Refusal> {
        poll_fn(|cx| {
            if self.running.as_mut().is_some_and(|running| running.is_over(cx)) {
                self.running = None;
            }
            let mut state = self.shared.state.lock();
            let Some(answer) = state.answer.take() else {
                // Who runs the exchange sees for itself what comes of it.
                if self.running.is_none() {
                    keep(&mut state.watcher, cx);
                }
                return Poll::Pending;
            };
            drop(state);
            // The body comes at the backend's pace, whatever the client takes of it.
            self.running = None;
            Poll::Ready(answer)
        })
        .await
    }

    /// The client is let go; the exchange is to go on, even if it still waits for a slot.
    pub(crate) fn promise(&self) {
        self.shared.state.lock().promised = true;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.watchers -= 1;
        if state.watchers > 0 {
            return;
        }
        // An answer that nobody took keeps its reader no longer, else it would be spooled.
        let untaken = state.answer.take();
        let task = state.task.take();
        // It would keep the connection of the client that left.
        let watcher = state.watcher.take();
        let promised = state.promised && state.stage == Stage::Queued;
        let ended = state.ended || promised;
        if !ended {
            state.orphaned = Some(Instant::now());
        }
        drop(state);
        drop((untaken, watcher));
        if !ended {
            self.shared.share.orphan();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

/// Has the present task woken, and clones nothing where it is registered already.
fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests;
