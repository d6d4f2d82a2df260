//! What is over: exchanges and visits, by backend.

use std::{fmt, sync::Arc};

use super::page::Page;
use crate::observe::{
    counts::{Counts, Histogram},
    record::{Ended, Stage},
};

/// Each with the name of its backend; empty for what never came so far as to have one.
type All = [(Arc<str>, Counts)];

pub(super) fn write(page: &mut Page<'_>, all: &All) -> fmt::Result {
    ends(page, all)?;
    orphans(page, all)?;
    durations(page, all)
}

fn ends(page: &mut Page<'_>, all: &All) -> fmt::Result {
    page.counter(
        "seawall_exchanges",
        "Exchanges that are over, and requests that had none of their own (refused, joined, replayed), by how they ended.",
        all.iter().flat_map(|(name, counts)| {
            Ended::ALL.map(|end| ([("backend", &**name), ("ended", end.word())], counts.ended(end)))
        }),
    )?;
    page.counter(
        "seawall_responses",
        "Answers to clients by the class of their status; none where the client got no answer.",
        all.iter().flat_map(|(name, counts)| {
            CLASSES
                .iter()
                .zip(counts.statuses)
                .map(|(class, count)| ([("backend", &**name), ("status", class)], count))
        }),
    )?;
    page.counter(
        "seawall_refusals",
        "Answers of seawall's own, by what they say; a kind is there once it has occurred.",
        all.iter().flat_map(|(name, counts)| {
            let kinds = counts.refusals.iter();
            kinds.map(|(kind, count)| ([("backend", &**name), ("kind", *kind)], *count))
        }),
    )?;
    page.counter(
        "seawall_clients_left",
        "Clients that left before they had all of their answer, by how far it had come.",
        all.iter().flat_map(|(name, counts)| {
            Stage::ALL
                .map(|stage| ([("backend", &**name), ("stage", stage.word())], counts.left(stage)))
        }),
    )?;
    let each = |count: fn(&Counts) -> u64| {
        all.iter().map(move |(name, counts)| ([("backend", &**name)], count(counts)))
    };
    page.counter(
        "seawall_joins",
        "Requests that were answered by an exchange already running for an equal request.",
        each(|counts| counts.joins),
    )?;
    page.counter(
        "seawall_replays",
        "Requests that were answered by the exchange, running or over, for the same request before.",
        each(|counts| counts.replays),
    )?;
    page.counter(
        "seawall_tunnels",
        "Upgraded connections (WebSocket) that are over.",
        each(|counts| counts.tunnels),
    )?;
    page.counter(
        "seawall_delivered_bytes",
        "Bytes of answers that clients have taken, without heads.",
        each(|counts| counts.delivered_bytes),
    )?;
    page.counter(
        "seawall_discarded_bytes",
        "Bytes of answers that the backend sent and no client was left for, without heads.",
        each(|counts| counts.discarded_bytes),
    )
}

fn orphans(page: &mut Page<'_>, all: &All) -> fmt::Result {
    page.counter(
        "seawall_orphans",
        "Exchanges that went on at the backend while nobody waited for them, and are over. One that \
         others joined is none as long as they wait.",
        all.iter().map(|(name, counts)| ([("backend", &**name)], counts.orphans)),
    )?;
    page.counter(
        "seawall_orphan_seconds",
        "For which those went on for nobody, all together.",
        all.iter().map(|(name, counts)| ([("backend", &**name)], counts.orphan_time.as_secs_f64())),
    )
}

fn durations(page: &mut Page<'_>, all: &All) -> fmt::Result {
    let each = |durations: fn(&Counts) -> &Histogram| {
        all.iter().map(move |(name, counts)| ([("backend", &**name)], durations(counts)))
    };
    page.histogram(
        "seawall_visit_duration_seconds",
        "From the head of a request to the last byte of its answer, or to the client's leave.",
        each(|counts| &counts.visit),
    )?;
    page.histogram(
        "seawall_backend_duration_seconds",
        "How long the backend took, for a client or for an orphan.",
        each(|counts| &counts.backend),
    )?;
    page.histogram(
        "seawall_queue_duration_seconds",
        "The wait for a slot, of those who waited.",
        each(|counts| &counts.queue),
    )?;
    page.histogram(
        "seawall_held_duration_seconds",
        "The wait for a backend that was away, of those who waited.",
        each(|counts| &counts.held),
    )
}

/// By first digit.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
