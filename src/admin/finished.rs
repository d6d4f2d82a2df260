//! Those that are over, as they are shown.

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    House,
    state::{millis, shortened},
};
use crate::observe::{
    recent,
    record::{Source, Stage},
};

/// One exchange that is over, or a request that had none or none of its own. Times as in
/// [`super::state::State`].
#[derive(Debug, Serialize)]
pub(super) struct Finished {
    /// In the order in which they were over.
    number: u64,
    serial: u64,
    id: String,
    client: Option<Arc<str>>,
    method: String,
    path: String,
    backend: Arc<str>,
    ended: &'static str,
    left: Option<&'static str>,
    reason: Option<&'static str>,
    refusal: Option<&'static str>,
    shared: Option<&'static str>,
    began: f64,
    sent: Option<f64>,
    answered: Option<f64>,
    over: Option<f64>,
    left_at: Option<f64>,
    /// Since when nobody watched what ran at the backend.
    orphaned_at: Option<f64>,
    /// When both sides were through with it.
    until: f64,
    status: Option<u16>,
    backend_status: Option<u16>,
    queue_ms: f64,
    held_ms: f64,
    backend_ms: f64,
    client_ms: f64,
    delivered_bytes: u64,
    discarded_bytes: u64,
}

impl Finished {
    pub(super) fn of(house: &House, finished: &recent::Finished) -> Self {
        let (facts, outcome) = (&finished.facts, &finished.outcome);
        let at = |at: Instant| house.millis(at);
        Self {
            number: finished.number,
            serial: finished.serial,
            id: facts.id.as_str().to_owned(),
            client: facts.client.clone(),
            method: facts.method().unwrap_or_default().to_owned(),
            path: shortened(facts.path().unwrap_or_default()),
            backend: house.books.name(outcome.account),
            ended: outcome.ended().word(),
            left: outcome.left.map(Stage::word),
            reason: outcome.reason,
            refusal: outcome.refusal,
            shared: outcome.source.map(Source::word),
            began: at(facts.began),
            sent: outcome.sent.map(at),
            answered: outcome.answered_at().map(at),
            over: outcome.over.map(at),
            left_at: outcome.left.map(|_| at(facts.began + outcome.visit())),
            orphaned_at: outcome.orphaned.map(at),
            until: at(outcome.ended_at(facts.began)),
            status: outcome.status.map(|status| status.as_u16()),
            backend_status: outcome.backend_status.map(|status| status.as_u16()),
            queue_ms: millis(outcome.queue()),
            held_ms: millis(outcome.held),
            backend_ms: millis(outcome.backend),
            client_ms: millis(outcome.visit()),
            delivered_bytes: outcome.delivered,
            discarded_bytes: outcome.discarded,
        }
    }
}
