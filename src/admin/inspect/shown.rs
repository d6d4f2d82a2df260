//! What is told of one exchange.
//!
//! Times are milliseconds since the process began, as in [`state`](super::super::state).

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    super::House,
    message::{self, Message},
};
use crate::observe::{
    capture::Capture,
    recent::Finished,
    record::{Facts, Outcome, Record, Source, Stage},
};

/// In a line.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    serial: u64,
    /// In the order in which they were over; null while it runs.
    number: Option<u64>,
    id: String,
    client: Option<Arc<str>>,
    method: Option<String>,
    path: Option<String>,
    backend: Arc<str>,
    /// What the client was sent.
    status: Option<u16>,
    /// Null while it runs.
    ended: Option<&'static str>,
    stage: &'static str,
    /// It goes on for nobody.
    orphan: bool,
    /// Whose exchange it watches: `join` or `replay`; null for its own.
    shared: Option<&'static str>,
    reason: Option<&'static str>,
    began: f64,
    /// When it was over.
    until: Option<f64>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    now: f64,
    backend_status: Option<u16>,
    /// The stage in which the client left, and when.
    left: Option<&'static str>,
    left_at: Option<f64>,
    /// Since when nobody watched what ran at the backend.
    orphaned_at: Option<f64>,
    /// The kind of answer of our own.
    refusal: Option<&'static str>,
    sent: Option<f64>,
    answered: Option<f64>,
    /// When the backend was through with it.
    over: Option<f64>,
    queue_ms: f64,
    held_ms: f64,
    backend_ms: f64,
    client_ms: f64,
    delivered_bytes: u64,
    discarded_bytes: u64,
    /// Where the backend has several.
    server: Option<Arc<str>>,
    /// Of a tunnel alone: what its client sent.
    received_bytes: Option<u64>,
    /// Such as `HTTP/1.1`.
    version: Option<String>,
    url: Option<String>,
    /// Its query is not what it was (`log.redact`).
    is_url_masked: bool,
    /// Null where it was not taken down.
    request: Option<Message>,
    answer: Option<Message>,
    /// There was no more room for some of them.
    is_short: bool,
}

impl Summary {
    pub(super) fn of(house: &House, serial: u64, facts: &Facts, outcome: &Outcome) -> Self {
        Self {
            serial,
            number: None,
            id: facts.id.as_str().to_owned(),
            client: facts.client.clone(),
            method: facts.method().map(ToOwned::to_owned),
            path: facts.path().map(ToOwned::to_owned),
            backend: house.books.name(outcome.account),
            status: outcome.status.map(|status| status.as_u16()),
            ended: None,
            stage: outcome.progress(),
            orphan: outcome.is_orphan(),
            shared: outcome.source.map(Source::word),
            reason: outcome.reason,
            began: house.millis(facts.began),
            until: None,
        }
    }

    pub(super) fn of_finished(house: &House, one: &Finished) -> Self {
        let (facts, outcome) = (&one.facts, &one.outcome);
        Self {
            number: Some(one.number),
            ended: Some(outcome.ended().word()),
            stage: outcome.stage.word(),
            until: Some(house.millis(outcome.ended_at(facts.began))),
            ..Self::of(house, one.serial, facts, outcome)
        }
    }
}

impl Detail {
    pub(super) fn of_running(house: &House, record: &Record) -> Self {
        let (facts, outcome) = (record.facts(), record.outcome());
        let summary = Summary::of(house, record.serial(), facts, &outcome);
        // A copy: a worker that takes down more would wait until all of it is encoded.
        let capture = record.capture().map(|capture| capture.told().clone());
        Self::of(house, summary, facts, &outcome, capture.as_ref())
    }

    pub(super) fn of_finished(house: &House, one: &Finished) -> Self {
        let summary = Summary::of_finished(house, one);
        Self::of(house, summary, &one.facts, &one.outcome, one.capture.as_deref())
    }

    fn of(
        house: &House,
        summary: Summary,
        facts: &Facts,
        outcome: &Outcome,
        capture: Option<&Capture>,
    ) -> Self {
        use super::super::state::millis;
        let at = |at| house.millis(at);
        let head = capture.and_then(|capture| capture.request.as_ref());
        Self {
            summary,
            now: at(Instant::now()),
            backend_status: outcome.backend_status.map(|status| status.as_u16()),
            left: outcome.left.map(Stage::word),
            left_at: outcome.left.map(|_| at(facts.began + outcome.visit())),
            orphaned_at: outcome.orphaned.map(at),
            refusal: outcome.refusal,
            sent: outcome.sent.map(at),
            answered: outcome.answered_at().map(at),
            over: outcome.over.map(at),
            queue_ms: millis(outcome.queue()),
            held_ms: millis(outcome.held),
            backend_ms: millis(outcome.backend),
            client_ms: millis(outcome.visit()),
            delivered_bytes: outcome.delivered,
            discarded_bytes: outcome.discarded,
            server: outcome.server.clone(),
            received_bytes: outcome.received,
            version: head.map(|head| format!("{:?}", head.version)),
            url: head.and_then(|head| message::url(facts, head)),
            is_url_masked: head.is_some_and(|head| head.is_target_masked),
            request: capture.and_then(Message::request),
            answer: capture.and_then(|capture| Message::answer(capture, outcome.delivered)),
            is_short: capture.is_some_and(|capture| capture.is_short),
        }
    }
}
