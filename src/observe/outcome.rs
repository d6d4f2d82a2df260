//! What becomes of an exchange and its client: how far it has come, how it ended, and what is found out on
//! the way.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::books::Account;

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

/// What is found out on the way. In this order, since of thousands who wait nothing is in the processor's caches any more
/// when it is their turn: what is noted of nearly all stands together.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Outcome {
    pub stage: Stage,
    /// The backend's side of the ending; whether a whole answer was delivered is the client's.
    pub ended: Option<Ended>,
    /// What the client was sent.
    pub status: Option<StatusCode>,
    pub backend_status: Option<StatusCode>,
    /// In nanoseconds, as the next: so they are noted.
    pub(super) queue: u64,
    /// When the request was sent last.
    pub sent: Option<Instant>,
    /// When the backend was through with it.
    pub over: Option<Instant>,
    pub backend: Duration,
    pub(super) visit: u64,
    pub delivered: u64,
    pub discarded: u64,
    /// Waiting for a backend that was away.
    pub held: Duration,
    /// Of the backend, once it is chosen.
    pub account: Account,
    /// In which stage the client left.
    pub left: Option<Stage>,
    /// None where the exchange is its own.
    pub source: Option<Source>,
    /// Where the backend has several: which of them.
    pub server: Option<Arc<str>>,
    /// When the head of the answer came.
    pub answered: Option<Instant>,
    /// Since when nobody watches what runs at the backend.
    pub orphaned: Option<Instant>,
    /// How long that was so before somebody joined.
    pub orphaned_before: Duration,
    pub reason: Option<&'static str>,
    /// The kind of answer of our own that the client was given.
    pub refusal: Option<&'static str>,
    /// Of a tunnel: what the backend had from its client.
    pub received: Option<u64>,
}

/// The backend is through with it, and the client not yet.
pub(crate) const DELIVERING: &str = "delivering";

impl Outcome {
    /// Of a request whose head has come, and nothing else.
    pub(super) fn unknown() -> Self {
        Self {
            account: Account::NONE,
            server: None,
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
            queue: 0,
            held: Duration::ZERO,
            backend: Duration::ZERO,
            visit: 0,
            delivered: 0,
            discarded: 0,
            received: None,
        }
    }

    /// In the queue.
    pub(crate) fn queue(&self) -> Duration {
        Duration::from_nanos(self.queue)
    }

    /// From when the head of the request came until its client had all, or had left.
    pub(crate) fn visit(&self) -> Duration {
        Duration::from_nanos(self.visit)
    }

    /// What we ask a backend ourselves has none.
    pub(super) fn has_visitor(&self) -> bool {
        self.status.is_some() || self.left.is_some() || self.visit > 0
    }

    /// The first reason that is found is the one that counts.
    pub(crate) fn because(&mut self, reason: &'static str) {
        self.reason.get_or_insert(reason);
    }

    pub(super) fn cut(&mut self, reason: &'static str) {
        let sent = self.stage > Stage::Queued;
        self.ended = Some(if sent { Ended::Cut } else { Ended::Abandoned });
        self.reason = Some(reason);
        if self.over.is_none() {
            self.backend = self.sent.map_or(self.backend, |sent| sent.elapsed());
        }
    }

    /// When both sides were over. Its head came when it `began`.
    pub(crate) fn ended_at(&self, began: Instant) -> Instant {
        let visited = began + self.visit();
        self.over.map_or(visited, |over| over.max(visited))
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

    /// When the head of the answer came, as far as that is known: what has come whole in one piece came when
    /// it was over.
    pub(crate) fn answered_at(&self) -> Option<Instant> {
        self.answered.or(self.over.filter(|_| self.backend_status.is_some()))
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
