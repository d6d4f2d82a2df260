//! What there is to see, at one moment: the exchanges that run, the backends, the counts.
//!
//! Times are milliseconds since the process began, with a fraction; `began` says when that was.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State as Of};
use serde::Serialize;
use tokio::time::Instant;

use super::House;
use crate::{
    backend::{Backend, Condition, ServerState},
    observe::{
        counts::Counts,
        record::{Ended, Record, Source, Stage},
    },
};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct State {
    version: &'static str,
    /// RFC 3339.
    began: String,
    /// Where clients are listened for.
    listen: Vec<String>,
    pub(super) now: f64,
    pub(super) draining: bool,
    pub(super) connections: usize,
    pub(super) backends: Vec<BackendState>,
    pub(super) running: Vec<Running>,
    /// How many more run than are shown.
    pub(super) more: usize,
    pub(super) totals: Vec<Totals>,
}

/// One backend.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct BackendState {
    name: String,
    url: String,
    condition: &'static str,
    /// Why it is away, and since when.
    reason: Option<&'static str>,
    since: Option<f64>,
    slots: usize,
    slots_in_use: usize,
    queued: usize,
    queue_max: usize,
    held: usize,
    /// Where it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<OfServer>,
}

/// One of several servers.
#[derive(Debug, PartialEq, Serialize)]
struct OfServer {
    name: Arc<str>,
    /// It is sent nobody, since others are there.
    out: bool,
    /// It has not answered as it should when it was asked how it is, and not often enough to be out.
    unwell: bool,
    slots: usize,
    slots_in_use: usize,
}

/// One exchange, or a request that has none yet or of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Running {
    /// Its number here.
    pub(super) serial: u64,
    /// `X-Request-Id`.
    id: String,
    client: Option<Arc<str>>,
    method: String,
    path: String,
    backend: Arc<str>,
    /// Where the backend has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Arc<str>>,
    /// `receiving`, `queued`, `waiting`, `answering`; `delivering` once the backend is through with it.
    stage: &'static str,
    /// The stage in which the client left.
    left: Option<&'static str>,
    orphan: bool,
    /// Whose exchange it watches: `join` or `replay`; its own where there is none.
    shared: Option<&'static str>,
    began: f64,
    sent: Option<f64>,
    answered: Option<f64>,
    over: Option<f64>,
    left_at: Option<f64>,
    /// Since when nobody watched what ran at the backend.
    orphaned_at: Option<f64>,
    status: Option<u16>,
    /// What it waited for a slot, and for a backend that was away, before it was sent.
    queue_ms: f64,
    held_ms: f64,
    delivered_bytes: u64,
    discarded_bytes: u64,
}

/// What was counted for one backend since the process began.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Totals {
    /// Empty for what never came so far as to have one.
    backend: Arc<str>,
    ended: std::collections::BTreeMap<&'static str, u64>,
    left: std::collections::BTreeMap<&'static str, u64>,
    joins: u64,
    replays: u64,
    orphans: u64,
    orphan_seconds: f64,
    delivered_bytes: u64,
    discarded_bytes: u64,
}

pub(super) async fn show(Of(house): Of<House>) -> Json<State> {
    Json(State::of(&house, usize::MAX))
}

impl State {
    /// With so many of those that run: the oldest ones.
    pub(super) fn of(house: &House, shown: usize) -> Self {
        let books = &house.books;
        let running = books.running();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            began: humantime::format_rfc3339_millis(books.began()).to_string(),
            listen: house.listen.borrow().clone(),
            now: house.millis(Instant::now()),
            draining: house.proxy.tasks().is_draining(),
            connections: house.proxy.tasks().open_connections(),
            backends: house
                .proxy
                .backends()
                .iter()
                .map(|one| BackendState::of(house, one))
                .collect(),
            running: running.iter().take(shown).map(|one| Running::of(house, one)).collect(),
            more: running.len().saturating_sub(shown),
            totals: books
                .counts()
                .into_iter()
                .map(|(name, counts)| Totals::of(name, &counts))
                .collect(),
        }
    }
}

impl House {
    /// Since the process began.
    pub(super) fn millis(&self, at: Instant) -> f64 {
        millis(at.saturating_duration_since(self.books.zero()))
    }
}

impl BackendState {
    fn of(house: &House, backend: &Backend) -> Self {
        let condition = backend.condition();
        let (since, reason) = match condition {
            Condition::Away { since, why } => (Some(house.millis(since)), Some(why)),
            _ => (None, None),
        };
        let servers = backend.servers();
        let several = if servers.len() > 1 { servers } else { Vec::new() };
        Self {
            name: backend.config.name.clone(),
            url: backend.config.urls(),
            condition: condition.word(),
            reason,
            since,
            slots: backend.slots().count(),
            slots_in_use: backend.slots().in_use(),
            queued: backend.slots().waiting(),
            queue_max: backend.config.queue.max,
            held: backend.held(),
            servers: several.into_iter().map(OfServer::from).collect(),
        }
    }
}

impl From<ServerState> for OfServer {
    fn from(state: ServerState) -> Self {
        let ServerState { name, is_out: out, is_unwell, slots, slots_in_use, .. } = state;
        Self { name, out, unwell: is_unwell && !out, slots, slots_in_use }
    }
}

impl Running {
    pub(super) fn of(house: &House, record: &Record) -> Self {
        let (facts, outcome) = (record.facts(), record.outcome());
        let at = |at: Instant| house.millis(at);
        Self {
            serial: record.serial(),
            id: facts.id.as_str().to_owned(),
            client: facts.client.clone(),
            method: facts.method().unwrap_or_default().to_owned(),
            path: shortened(facts.path().unwrap_or_default()),
            backend: house.books.name(outcome.account),
            server: outcome.server.clone(),
            stage: outcome.progress(),
            left: outcome.left.map(Stage::word),
            orphan: outcome.is_orphan(),
            shared: outcome.source.map(Source::word),
            began: at(facts.began),
            sent: outcome.sent.map(at),
            answered: outcome.answered_at().map(at),
            over: outcome.over.map(at),
            left_at: outcome.left.map(|_| at(facts.began + outcome.visit())),
            orphaned_at: outcome.orphaned.map(at),
            status: outcome.status.or(outcome.backend_status).map(|status| status.as_u16()),
            queue_ms: millis(outcome.queue()),
            held_ms: millis(outcome.held),
            delivered_bytes: outcome.delivered,
            discarded_bytes: outcome.discarded,
        }
    }
}

impl Totals {
    pub(super) fn of(backend: Arc<str>, counts: &Counts) -> Self {
        Self {
            backend,
            ended: Ended::ALL.iter().map(|one| (one.word(), counts.ended(*one))).collect(),
            left: Stage::ALL.iter().map(|one| (one.word(), counts.left(*one))).collect(),
            joins: counts.joins,
            replays: counts.replays,
            orphans: counts.orphans,
            orphan_seconds: counts.orphan_time.as_secs_f64(),
            delivered_bytes: counts.delivered_bytes,
            discarded_bytes: counts.discarded_bytes,
        }
    }
}

pub(super) fn millis(duration: Duration) -> f64 {
    // Microseconds are enough.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Of a path that is very long, the beginning: the whole stands in the inspector. Else a few hundred such
/// requests would make looks of many megabytes, several times a second.
pub(super) fn shortened(path: &str) -> String {
    if path.len() <= PATH {
        return path.to_owned();
    }
    let end = (0..=PATH).rev().find(|at| path.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &path[..end])
}

/// Bytes of a path that are shown.
const PATH: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_very_long_path_the_beginning_is_shown() {
        assert_eq!(shortened("/a?b"), "/a?b");
        let long = format!("/{}", "ü".repeat(PATH));
        let shown = shortened(&long);
        assert!(shown.len() <= PATH + '…'.len_utf8() && shown.ends_with("ü…"), "{shown}");
    }
}
