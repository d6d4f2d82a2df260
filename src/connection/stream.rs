//! What is known of the streams of one HTTP/2 connection: shared by the connection's task, each
//! stream's task, and its visit.
//!
//! h2 buffers what streams hand it, and tells nobody when it is out. The connection's task knows:
//! once h2 had nothing more to write and the socket took all of it, whatever was handed over
//! before is in the kernel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::{Connection, repeats::Repeats};
use crate::{lock::Mutex, observe::record::Record};

/// What the streams of a connection have in common.
#[derive(Debug)]
pub(crate) struct Streams {
    connection: Arc<Connection>,
    /// `client.early_resets`.
    max_early: u32,
    state: Mutex<State>,
    repeats: Mutex<Repeats>,
}

#[derive(Debug, Default)]
struct State {
    /// Handed to h2, and not yet to the kernel. Bounded by the streams that are open: one that has
    /// frames to send is.
    unflushed: Vec<Unflushed>,
    /// The connection's task.
    task: Option<Waker>,
    begun: u32,
    /// Of those, reset by the client before the head of an answer.
    early: u32,
    /// The connection is over.
    over: bool,
}

/// What waits to be in the kernel.
#[derive(Debug)]
pub(crate) enum Unflushed {
    /// The end of an answer.
    Answered(Arc<Record>),
    /// All that comes before a reset.
    Breaking(Arc<Stream>),
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    streams: Arc<Streams>,
    /// The client waits for `100 Continue` before it sends the body.
    expects: AtomicBool,
    state: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    /// Why the client is gone.
    why: Option<&'static str>,
    /// Interim answers, never more than a few.
    interims: Vec<Response<()>>,
    /// `poll_broken` was called.
    breaking: bool,
    /// All that was handed to h2 before is out.
    clean: bool,
    waker: Option<Waker>,
}

impl Streams {
    pub(crate) fn new(connection: Arc<Connection>, max_early: u32) -> Arc<Self> {
        let (state, repeats) = (Mutex::default(), Mutex::default());
        Arc::new(Self { connection, max_early, state, repeats })
    }

    /// A new stream of the client's.
    pub(crate) fn begin(self: &Arc<Self>, expects: bool) -> Arc<Stream> {
        let mut state = self.state.lock();
        // The window: of the last streams, at least `max_early` and at most twice as many count.
        if state.begun >= self.max_early.saturating_mul(2) {
            state.begun /= 2;
            state.early /= 2;
        }
        state.begun += 1;
        drop(state);
        Arc::new(Stream {
            streams: self.clone(),
            expects: AtomicBool::new(expects),
            state: Mutex::default(),
        })
    }

    /// Has the client reset most of its streams before they were answered?
    pub(crate) fn are_mostly_reset(&self) -> bool {
        self.state.lock().early >= self.max_early
    }

    /// What is to be told once h2 has written all it has. The task is woken when there is more.
    pub(crate) fn unflushed(&self, cx: &Context<'_>) -> Vec<Unflushed> {
        let mut state = self.state.lock();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        std::mem::take(&mut state.unflushed)
    }

    /// The socket did not take all of it.
    pub(crate) fn keep(&self, mut unflushed: Vec<Unflushed>) {
        let mut state = self.state.lock();
        unflushed.append(&mut state.unflushed);
        state.unflushed = unflushed;
    }

    /// The connection is over, and the kernel never had what was not out by now. Not left to a drop:
    /// streams that are to be broken off are held by us, and hold us.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.over = true;
        let unflushed = std::mem::take(&mut state.unflushed);
        drop(state);
        for unflushed in unflushed {
            self.lose(unflushed);
        }
    }

    fn lose(&self, unflushed: Unflushed) {
        match unflushed {
            Unflushed::Answered(record) => {
                record.left(Some(self.connection.why().unwrap_or("client closed the connection")));
            }
            // There is nothing left to wait for.
            breaking @ Unflushed::Breaking(_) => breaking.flushed(),
        }
    }

    fn push(&self, unflushed: Unflushed) {
        let mut state = self.state.lock();
        if state.over {
            drop(state);
            return self.lose(unflushed);
        }
        state.unflushed.push(unflushed);
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Unflushed {
    /// It is in the kernel.
    pub(crate) fn flushed(self) {
        match self {
            Self::Answered(record) => record.visited_until(Instant::now()),
            Self::Breaking(stream) => {
                let mut state = stream.state.lock();
                state.clean = true;
                let waker = state.waker.take();
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}

impl Stream {
    pub(crate) fn connection(&self) -> &Connection {
        &self.streams.connection
    }

    /// Reset before the head of its answer.
    pub(crate) fn reset_early(&self) {
        self.streams.state.lock().early += 1;
    }

    /// The body is about to be read.
    pub(crate) fn begin_body(&self) {
        if self.expects.load(Relaxed) && self.expects.swap(false, Relaxed) {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            self.interim(go_on);
        }
    }

    /// An interim answer, to go out before the answer.
    pub(crate) fn interim(&self, head: Response<()>) {
        self.state.lock().interims.push(head);
    }

    /// Those that have come with the last poll of the visit: nothing else adds to them, so nobody
    /// needs to be woken for them.
    pub(crate) fn interims(&self) -> Vec<Response<()>> {
        std::mem::take(&mut self.state.lock().interims)
    }

    /// Before they are handed to h2: those of an answer that come for the first time are kept out of the
    /// table of fields.
    pub(crate) fn keep_out_new(&self, fields: &mut HeaderMap) {
        self.streams.repeats.lock().keep_out_new(fields);
    }

    pub(crate) fn note(&self, why: &'static str) {
        self.state.lock().why.get_or_insert(why);
    }

    /// Why the client is gone: what befell the connection says more.
    pub(crate) fn why(&self) -> Option<&'static str> {
        self.connection().why().or(self.state.lock().why)
    }

    /// h2 has all of the answer; it is delivered when the kernel has it.
    pub(crate) fn answered(&self, record: Arc<Record>) {
        self.streams.push(Unflushed::Answered(record));
    }

    /// The answer is broken off. Ready when all that came before is out: a reset throws away what
    /// h2 has buffered.
    pub(crate) fn poll_broken(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.clean {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        let first = !std::mem::replace(&mut state.breaking, true);
        drop(state);
        if first {
            self.streams.push(Unflushed::Breaking(self.clone()));
        }
        Poll::Pending
    }
}
