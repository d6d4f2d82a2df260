//! The record of one exchange and its client: it stands in the books while they last, and in the access
//! log when both are over.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    books::{Account, Books, Entry},
    capture::{Capture, Capturing},
    trace::Trail,
};

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client has it all.
    Delivered,
    /// The client left, the backend finished in peace.
    Discarded,
    /// The client left before the backend was contacted; the backend never knew.
    Abandoned,
    /// A bound, a policy or an operator ended it.
    Cut,
    /// The backend's fault.
    Failed,
    /// We answered.
    Refused,
}

/// How far an exchange has come, as its client would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The request is coming in.
    Receiving,
    /// It waits for a slot.
    Queued,
    /// It was sent; the head of the answer is awaited.
    Waiting,
    /// The answer is coming.
    Answering,
}

/// From where a request is answered that has no exchange of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// From the exchange that runs for an equal request.
    Join,
    /// From the exchange, running or over, for the same request before.
    Replay,
}

/// What is known when the request's head has come.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub id: HeaderValue,
    /// Address and port.
    pub client: Option<Arc<str>>,
    /// None where the head did not parse. The path, with its query, is a copy: a slice would keep
    /// the whole read buffer.
    pub line: Option<(Method, Box<str>)>,
    pub began: Instant,
}

/// What is found out on the way.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Of the backend, once it is chosen.
    pub account: Account,
    pub stage: Stage,
    /// When the request was sent last.
    pub sent: Option<Instant>,
    /// When the head of the answer came.
    pub answered: Option<Instant>,
    /// When the backend was through with it.
    pub over: Option<Instant>,
    /// What the client was sent.
    pub status: Option<StatusCode>,
    pub backend_status: Option<StatusCode>,
    /// The backend's side of the ending; whether a whole answer was delivered is the client's.
    pub ended: Option<Ended>,
    /// In which stage the client left.
    pub left: Option<Stage>,
    /// Since when nobody watches what runs at the backend.
    pub orphaned: Option<Instant>,
    /// How long that was so before somebody joined.
    pub orphaned_before: Duration,
    pub reason: Option<&'static str>,
    /// The kind of answer of our own that the client was given.
    pub refusal: Option<&'static str>,
    /// None where the exchange is its own.
    pub source: Option<Source>,
    pub queue: Duration,
    /// Waiting for a backend that was away.
    pub held: Duration,
    pub backend: Duration,
    pub visit: Duration,
    pub delivered: u64,
    pub discarded: u64,
    /// Of a tunnel: what the backend had from its client.
    pub received: Option<u64>,
}

/// The backend is through with it, and the client not yet.
pub(crate) const DELIVERING: &str = "delivering";

/// Shared by the exchange and its client; the last one to let go writes the line.
#[derive(Debug)]
pub(crate) struct Record {
    books: Books,
    entry: Entry,
    facts: Facts,
    outcome: Mutex<Outcome>,
    exchange: OnceLock<Weak<dyn End>>,
    /// What is said, of those that are chosen.
    capture: Option<Box<Mutex<Capture>>>,
    /// Where it is traced.
    trail: OnceLock<Arc<Trail>>,
}

/// What an operator can end.
pub(crate) trait End: std::fmt::Debug + Send + Sync {
    /// Soon, for this reason. False where it is over, and nothing comes of that.
    fn end(&self, reason: &'static str) -> bool;
}

impl Record {
    pub(crate) fn open(books: &Books, facts: Facts) -> Arc<Self> {
        Self::enter(books, facts, false)
    }

    /// One that is to be kept when it is over, however many there are.
    pub(crate) fn open_kept(books: &Books, facts: Facts) -> Arc<Self> {
        Self::enter(books, facts, true)
    }

    fn enter(books: &Books, facts: Facts, is_chosen: bool) -> Arc<Self> {
        let outcome = Outcome {
            account: Account::NONE,
            sent: None,
            answered: None,
            over: None,
            refusal: None,
            stage: Stage::Receiving,
            status: None,
            backend_status: None,
            ended: None,
            left: None,
            orphaned: None,
            orphaned_before: Duration::ZERO,
            reason: None,
            source: None,
            queue: Duration::ZERO,
            held: Duration::ZERO,
            backend: Duration::ZERO,
            visit: Duration::ZERO,
            delivered: 0,
            discarded: 0,
            received: None,
        };
        Arc::new_cyclic(|this| {
            let entry = books.enter(this, facts.began, is_chosen);
            Self {
                entry,
                books: books.clone(),
                facts,
                outcome: Mutex::new(outcome),
                exchange: OnceLock::new(),
                capture: entry.is_chosen.then(Box::default),
                trail: OnceLock::new(),
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
        self.outcome.lock().clone()
    }

    /// The exchange of this record, for [`Self::end`].
    pub(crate) fn runs(&self, exchange: Weak<dyn End>) {
        // Who joined an exchange and then starts one of its own has none before.
        let _ = self.exchange.set(exchange);
    }

    /// Ends its exchange, if there is one of its own that still runs.
    pub(crate) fn end(&self, reason: &'static str) -> bool {
        // A tunnel whose client has not all of it yet is over for the backend, and is no exchange to end.
        let is_over = self.outcome.lock().over.is_some();
        let exchange = self.exchange.get().and_then(Weak::upgrade);
        !is_over && exchange.is_some_and(|exchange| exchange.end(reason))
    }

    /// Where what is said is to be taken down.
    pub(crate) fn capture(&self) -> Option<Capturing<'_>> {
        self.capture.as_ref().map(|capture| Capturing::new(self.books.recent(), capture))
    }

    /// It is traced, from its beginning on.
    pub(crate) fn traced(&self, trail: Arc<Trail>) {
        let _ = self.trail.set(trail);
    }

    pub(crate) fn trail(&self) -> Option<&Arc<Trail>> {
        self.trail.get()
    }

    /// When the head of the request came.
    pub(crate) fn began(&self) -> Instant {
        self.facts.began
    }

    /// Since the head of the request came.
    pub(crate) fn elapsed(&self) -> Duration {
        self.facts.began.elapsed()
    }

    pub(crate) fn id(&self) -> &HeaderValue {
        &self.facts.id
    }

    pub(crate) fn stage(&self) -> Stage {
        self.outcome.lock().stage
    }

    /// Does it run for nobody?
    pub(crate) fn is_orphan(&self) -> bool {
        self.outcome.lock().is_orphan()
    }

    /// The kernel has all of the answer.
    pub(crate) fn delivered(&self, at: Instant) {
        self.note(|outcome| outcome.visit = at - self.facts.began);
    }

    /// The client has left before it had all of the answer.
    pub(crate) fn left(&self, why: Option<&'static str>) {
        let cut = self.books.log().cut_reason();
        self.note(|outcome| {
            if let Some(reason) = cut {
                // It was still there.
                if outcome.left.is_none() {
                    outcome.cut(reason);
                    outcome.visit = self.elapsed();
                }
                return;
            }
            outcome.left.get_or_insert(outcome.stage);
            outcome.visit = self.elapsed();
            if let Some(why) = why {
                outcome.because(why);
            }
        });
    }

    /// The exchange is dropped. Where nobody has noted an end by now, it has come to none: the process
    /// ends, or its task has panicked.
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
        change(&mut self.outcome.lock());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let capture = self.capture.take().map(|capture| Box::new(capture.into_inner()));
        let outcome = self.outcome.get_mut();
        self.books.close(self.entry, &self.facts, outcome, capture);
        if let Some(trail) = self.trail.take()
            && let Some(tracer) = self.books.tracer()
        {
            let line = self.facts.line.take();
            let facts = Facts { line, ..self.facts.to_keep() };
            tracer.end(trail, facts, outcome.clone(), self.books.name(outcome.account));
        }
    }
}

impl Facts {
    /// A copy to be kept. An id that came with the request is a slice of its client's read buffer, and
    /// would keep all of that.
    pub(super) fn to_keep(&self) -> Self {
        let id = HeaderValue::from_bytes(self.id.as_bytes());
        Self { id: id.unwrap_or_else(|_| self.id.clone()), ..self.clone() }
    }

    pub(crate) fn method(&self) -> Option<&str> {
        self.line.as_ref().map(|(method, _)| method.as_str())
    }

    /// With its query.
    pub(crate) fn path(&self) -> Option<&str> {
        self.line.as_ref().map(|(_, path)| &**path)
    }
}

impl Outcome {
    /// What we ask a backend ourselves has none.
    pub(super) fn has_visitor(&self) -> bool {
        self.status.is_some() || self.left.is_some() || !self.visit.is_zero()
    }

    /// The first reason that is found is the one that counts.
    pub(crate) fn because(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    fn cut(&mut self, reason: &'static str) {
        let sent = self.stage > Stage::Queued;
        self.ended = Some(if sent { Ended::Cut } else { Ended::Abandoned });
        self.reason = Some(reason);
    }

    /// When both sides were over. Its head came when it `began`.
    pub(crate) fn ended_at(&self, began: Instant) -> Instant {
        self.over.map_or(began + self.visit, |over| over.max(began + self.visit))
    }

    /// Somebody watches it again.
    pub(crate) fn adopted(&mut self, now: Instant) {
        if let Some(since) = self.orphaned.take() {
            self.orphaned_before += now - since;
        }
    }

    /// For how long the exchange went on for nobody, if it did.
    pub(super) fn orphaned_for(&self) -> Option<Duration> {
        let over = self.over?;
        let last = self.orphaned.map(|since| over.saturating_duration_since(since));
        let time = self.orphaned_before + last.unwrap_or_default();
        (!time.is_zero()).then_some(time)
    }

    /// There is nothing to look into: the client has what it came for.
    pub(super) fn is_well(&self) -> bool {
        let is_answered = matches!(self.ended(), Ended::Delivered | Ended::Refused);
        // What we ask ourselves is answered to no client.
        let status = self.status.or(self.backend_status);
        is_answered && status.is_some_and(|status| status.as_u16() < 400)
    }

    /// Does it run for nobody?
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphaned.is_some() && self.over.is_none()
    }

    /// Has its connection left HTTP?
    pub(crate) fn is_tunnel(&self) -> bool {
        self.received.is_some()
    }

    /// How far it has come, the client's share included.
    pub(crate) fn progress(&self) -> &'static str {
        if self.over.is_some() { DELIVERING } else { self.stage.word() }
    }

    /// One word for the whole of it.
    pub(crate) fn ended(&self) -> Ended {
        match (self.ended, self.left) {
            (Some(Ended::Delivered), None) => Ended::Delivered,
            (Some(Ended::Delivered), Some(_)) => Ended::Discarded,
            (Some(other), _) => other,
            // No exchange was begun: the client left before, or we answered.
            (None, Some(_)) => Ended::Abandoned,
            (None, None) => Ended::Refused,
        }
    }
}

impl Ended {
    pub(crate) const ALL: [Self; 6] =
        [Self::Delivered, Self::Discarded, Self::Abandoned, Self::Cut, Self::Failed, Self::Refused];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Discarded => "discarded",
            Self::Abandoned => "abandoned",
            Self::Cut => "cut",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

impl Source {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Replay => "replay",
        }
    }
}

impl Stage {
    pub(crate) const ALL: [Self; 4] =
        [Self::Receiving, Self::Queued, Self::Waiting, Self::Answering];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Answering => "answering",
        }
    }
}
