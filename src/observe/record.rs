//! The record of one exchange and its client: it stands in the books while they last, and in the access
//! log when both are over.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::time::Instant;

pub(crate) use super::outcome::{DELIVERING, Ended, Outcome, Source, Stage};
use super::{
    books::{Account, Books, Entry},
    capture::{Capture, Capturing},
    trace::Trail,
};
use crate::{lock::Mutex, prefetch::prefetch, request_id::RequestId};

/// What is known when the request's head has come. In this order, since the first two are looked at on the way, and the
/// others at its end.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Facts {
    pub id: RequestId,
    pub began: Instant,
    /// None where the head did not parse. The path, with its query, is a copy: a slice would keep
    /// the whole read buffer.
    pub line: Option<(Method, Box<str>)>,
    /// Address and port.
    pub client: Option<Arc<str>>,
}

/// Shared by the exchange and its client; the last one to let go writes the line. In this order as [`Outcome`] is, which
/// begins in the first line of the cache, with its lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record {
    noted: Noted,
    state: Mutex<State>,
    books: Books,
    entry: Entry,
    /// What is said, of those that are chosen.
    capture: Option<Box<Mutex<Capture>>>,
    /// Where it is traced.
    trail: Option<Arc<Trail>>,
    facts: Facts,
}

/// What changes while it stands in the books.
#[derive(Debug)]
#[repr(C)]
struct State {
    /// Without what is [`Noted`] beside it.
    outcome: Outcome,
    exchange: Option<Weak<dyn End>>,
}

/// What changes, too, and is noted by one alone at a time, so without a lock: nearly each request notes most of it.
#[derive(Debug, Default)]
struct Noted {
    account: AtomicU32,
    /// Zero: none.
    status: AtomicU16,
    delivered: AtomicU64,
    /// In nanoseconds, as the next.
    queue: AtomicU64,
    visit: AtomicU64,
}

/// What an operator can end.
pub(crate) trait End: std::fmt::Debug + Send + Sync {
    /// Soon, for this reason. False where it is over, and nothing comes of that.
    fn end(&self, reason: &'static str) -> bool;
}

impl Record {
    pub(crate) fn open(books: &Books, facts: Facts) -> Arc<Self> {
        Self::open_with(books, facts, false, None)
    }

    /// One that perhaps `is_kept` when it is over, however many there are, and perhaps is traced, from its beginning on.
    pub(crate) fn open_with(
        books: &Books,
        facts: Facts,
        is_kept: bool,
        trail: Option<Arc<Trail>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let entry = books.enter(this, facts.began, is_kept);
            Self {
                entry,
                books: books.clone(),
                facts,
                state: Mutex::new(State { outcome: Outcome::unknown(), exchange: None }),
                noted: Noted::default(),
                capture: entry.is_chosen.then(Box::default),
                trail,
            }
        })
    }

    /// Its number in the books; no other has the same while the process lasts.
    pub(crate) fn serial(&self) -> u64 {
        self.entry.serial()
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// As far as it is known by now.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut outcome = self.state.lock().outcome.clone();
        self.noted.complete(&mut outcome);
        outcome
    }

    /// It waits for a slot, in this exchange, which is that for [`Self::end`].
    pub(crate) fn queued(&self, exchange: Weak<dyn End>) {
        let mut state = self.state.lock();
        state.outcome.stage = Stage::Queued;
        // Who joined an exchange and then starts one of its own has none before.
        state.exchange = Some(exchange);
    }

    /// Ends its exchange, if there is one of its own that still runs.
    pub(crate) fn end(&self, reason: &'static str) -> bool {
        // A tunnel whose client has not all of it yet is over for the backend, and is no exchange to end.
        let state = self.state.lock();
        let is_over = state.outcome.over.is_some();
        let exchange = state.exchange.as_ref().and_then(Weak::upgrade);
        drop(state);
        !is_over && exchange.is_some_and(|exchange| exchange.end(reason))
    }

    /// Where what is said is to be taken down.
    pub(crate) fn capture(&self) -> Option<Capturing<'_>> {
        self.capture.as_ref().map(|capture| Capturing::new(self.books.recent(), capture))
    }

    /// Are bytes of its bodies taken down, and not only how many there were?
    pub(crate) fn keeps_bodies(&self) -> bool {
        self.capture.is_some() && self.books.recent().body_room(0) > 0
    }

    pub(crate) fn trail(&self) -> Option<&Arc<Trail>> {
        self.trail.as_ref()
    }

    /// When the head of the request came.
    pub(crate) fn began(&self) -> Instant {
        self.facts.began
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.facts.id
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state.lock().outcome.stage
    }

    /// Does it run for nobody?
    pub(crate) fn is_orphan(&self) -> bool {
        self.state.lock().outcome.is_orphan()
    }

    /// Asks for it, to have it in the processor's caches again by when it is needed.
    pub(crate) fn recall(&self) {
        prefetch(self);
    }

    /// It is for this backend.
    pub(crate) fn is_for(&self, account: Account) {
        self.noted.account.store(account.number(), Relaxed);
    }

    /// The client is sent this.
    pub(crate) fn answered_with(&self, status: StatusCode) {
        self.noted.status.store(status.as_u16(), Relaxed);
    }

    /// So many more bytes of a body are on their way to the client.
    pub(crate) fn passed(&self, len: u64) {
        self.passed_in_all(self.noted.delivered.load(Relaxed) + len);
    }

    /// The same, with all that were before.
    pub(crate) fn passed_in_all(&self, len: u64) {
        self.noted.delivered.store(len, Relaxed);
    }

    /// It has waited in the queue for so long; perhaps not for the first time.
    pub(crate) fn queued_for(&self, time: Duration) {
        self.noted.queue.store(self.noted.queue.load(Relaxed) + nanos(time), Relaxed);
    }

    /// The client's side is over: the kernel has all of the answer, or there is nobody for it.
    pub(crate) fn visited_until(&self, at: Instant) {
        self.noted.visit.store(nanos(at - self.facts.began), Relaxed);
    }

    /// The client has left before it had all of the answer.
    pub(crate) fn left(&self, why: Option<&'static str>) {
        let cut = self.books.log().cut_reason();
        self.note(|outcome| {
            if let Some(reason) = cut {
                // It was still there.
                if outcome.left.is_none() {
                    outcome.cut(reason);
                    self.visited_until(Instant::now());
                }
                return;
            }
            outcome.left.get_or_insert(outcome.stage);
            self.visited_until(Instant::now());
            if let Some(why) = why {
                outcome.because(why);
            }
        });
    }

    /// The exchange is dropped. Where nobody has noted an end by now, it has come to none: the process
    /// ends, or it has panicked.
    pub(crate) fn interrupted(&self) {
        let reason = match std::thread::panicking() {
            true => "internal error",
            false => self.books.log().cut_reason().unwrap_or("the process ended"),
        };
        self.note(|outcome| {
            if outcome.ended.is_none() {
                outcome.cut(reason);
            }
        });
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.state.lock().outcome);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let capture = self.capture.take().map(|capture| Box::new(capture.into_inner()));
        let outcome = &mut self.state.get_mut().outcome;
        self.noted.complete(outcome);
        self.books.close(self.entry, &self.facts, outcome, capture);
        if let Some(trail) = self.trail.take()
            && let Some(tracer) = self.books.tracer()
        {
            let line = self.facts.line.take();
            let facts = Facts { line, ..self.facts.clone() };
            tracer.end(trail, facts, outcome.clone(), self.books.name(outcome.account));
        }
    }
}

impl Noted {
    fn complete(&self, outcome: &mut Outcome) {
        outcome.account = Account::numbered(self.account.load(Relaxed));
        outcome.status = StatusCode::from_u16(self.status.load(Relaxed)).ok();
        outcome.delivered = self.delivered.load(Relaxed);
        outcome.queue = self.queue.load(Relaxed);
        outcome.visit = self.visit.load(Relaxed);
    }
}

/// Enough for centuries.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Facts {
    pub(crate) fn method(&self) -> Option<&str> {
        self.line.as_ref().map(|(method, _)| method.as_str())
    }

    /// With its query.
    pub(crate) fn path(&self) -> Option<&str> {
        self.line.as_ref().map(|(_, path)| &**path)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn a_record_is_small_and_what_is_noted_of_it_first_lies_in_one_line_of_the_cache() {
        // It stands behind the two counts of its handles. The allocator's size class for it begins with a line.
        let counts = 2 * size_of::<usize>();
        assert!((385..=448).contains(&(counts + size_of::<Record>())));
        assert!(
            counts + offset_of!(Record, state) + size_of::<u64>() + offset_of!(Outcome, queue)
                <= 64
        );
        // And so does what is looked at later.
        let (from, facts) = (counts + offset_of!(Record, capture), offset_of!(Record, facts));
        assert_eq!(from % 64, 0);
        assert!(counts + facts + offset_of!(Facts, line) <= from + 64);
    }
}
