//! What is noted of one request for its spans, while it and its exchange last.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Version,
    header::{HOST, USER_AGENT},
    request,
};
use tokio::time::Instant;

use super::context::{self, Context, SAMPLED, SpanId, TRACEPARENT, TRACESTATE, TraceId};
use crate::lock::Mutex;

/// The two spans of a request to be, and what nobody else knows of it: one for the visit, and below it one
/// for its exchange, if it comes to have one of its own.
#[derive(Debug)]
pub(crate) struct Trail {
    /// Of the exchange: what the backend is told.
    context: Context,
    visit: SpanId,
    /// Of the client, or of whoever is between it and us.
    parent: Option<SpanId>,
    /// Of vendors, where there is a parent.
    state: Box<str>,
    asked: Option<Asked>,
    notes: Mutex<Notes>,
}

/// What the head of a request says, where its spans are recorded.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) scheme: &'static str,
    pub(super) version: Version,
    pub(super) host: Option<Box<str>>,
    pub(super) agent: Option<Box<str>>,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    /// When the request was sent first, and how often it was sent.
    pub(super) sent: Option<Instant>,
    pub(super) sends: u32,
    /// Where to.
    pub(super) backend: Option<HeaderValue>,
    /// The exchange of another one that answers this request.
    pub(super) watched: Option<Context>,
    pub(super) events: Vec<Event>,
    pub(super) events_dropped: u32,
}

/// Something that happened at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) what: What,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It begins to wait for a slot.
    Queued,
    /// It begins to wait for a backend that is away.
    Held,
    /// It is sent once more.
    Resent,
    /// Nobody watches the exchange any more.
    Orphaned,
    /// Somebody else watches it, too.
    Joined,
}

impl What {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Resent => "sent again",
            Self::Orphaned => "orphaned",
            Self::Joined => "joined",
        }
    }

    /// Else of the visit.
    pub(super) fn is_of_exchange(self) -> bool {
        matches!(self, Self::Resent | Self::Orphaned | Self::Joined)
    }
}

impl Trail {
    /// Of a request with this head. None where its parent is not recorded, and so nothing of it is: what
    /// it says passes as it came.
    pub(super) fn of(head: &request::Parts, scheme: &'static str, sample: f64) -> Option<Self> {
        let parent = Context::of(&head.headers);
        if parent.as_ref().is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        let (trace, flags) = match &parent {
            Some(parent) => (parent.trace, parent.flags),
            None if sample >= 1.0 || fastrand::f64() < sample => (TraceId::new(), SAMPLED),
            None => (TraceId::new(), 0),
        };
        let state = parent.as_ref().and_then(|_| context::state(&head.headers));
        Some(Self {
            context: Context { trace, span: SpanId::new(), flags },
            visit: SpanId::new(),
            parent: parent.map(|parent| parent.span),
            state: state.unwrap_or_default().into(),
            asked: (flags & SAMPLED != 0).then(|| Asked::of(head, scheme)),
            notes: Mutex::default(),
        })
    }

    /// Names the exchange as the parent of what the backend does.
    pub(super) fn pass_on(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.context.field());
        if self.state.is_empty() {
            headers.remove(TRACESTATE);
        }
    }

    /// The request is for this backend.
    pub(crate) fn is_for(&self, backend: &HeaderValue) {
        self.note(|notes| notes.backend = Some(backend.clone()));
    }

    /// The request was sent, perhaps once more.
    pub(crate) fn sent(&self, at: Instant) {
        self.note(|notes| {
            notes.sends += 1;
            match notes.sent {
                None => notes.sent = Some(at),
                Some(_) => notes.happened(What::Resent, at),
            }
        });
    }

    pub(crate) fn happened(&self, what: What, at: Instant) {
        self.note(|notes| notes.happened(what, at));
    }

    /// The request is answered by the exchange of another one, or by none but its own.
    pub(crate) fn watches(&self, other: Option<&Arc<Self>>) {
        self.note(|notes| notes.watched = other.map(|other| other.context));
    }

    /// Nothing is noted of what is not recorded.
    fn note(&self, change: impl FnOnce(&mut Notes)) {
        if self.is_recorded() {
            change(&mut self.notes.lock());
        }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    pub(super) fn context(&self) -> Context {
        self.context
    }

    pub(super) fn visit(&self) -> SpanId {
        self.visit
    }

    pub(super) fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }

    /// What was noted by the end.
    pub(super) fn take(&self) -> Notes {
        std::mem::take(&mut self.notes.lock())
    }

    /// What it holds, roughly.
    pub(super) fn size(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| {
            [&asked.host, &asked.agent].into_iter().flatten().map(|text| text.len()).sum()
        });
        size_of::<Self>() + asked + self.state.len()
    }
}

impl Asked {
    fn of(head: &request::Parts, scheme: &'static str) -> Self {
        // Copies, and short ones: a slice would keep the whole read buffer.
        let text = |value: &HeaderValue| Some(value.to_str().ok()?.chars().take(LONGEST).collect());
        let named = head.uri.authority().map(|authority| authority.as_str().into());
        Self {
            scheme,
            version: head.version,
            host: named.or_else(|| head.headers.get(HOST).and_then(text)),
            agent: head.headers.get(USER_AGENT).and_then(text),
        }
    }
}

impl Notes {
    fn happened(&mut self, what: What, at: Instant) {
        match self.events.len() < EVENTS {
            true => self.events.push(Event { at, what }),
            false => self.events_dropped += 1,
        }
    }
}

/// Of one request; a span of OpenTelemetry has no more either, by default 128.
const EVENTS: usize = 32;
/// Characters of a text that a client says of itself.
const LONGEST: usize = 512;
