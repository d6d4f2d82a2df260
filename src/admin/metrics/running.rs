//! What runs at this moment, by backend.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{super::House, page::Page};
use crate::observe::{
    counts::Counts,
    record::{DELIVERING, Stage},
};

/// Of one backend.
#[derive(Debug, Default)]
struct Tally {
    stages: HashMap<&'static str, u64>,
    orphans: u64,
    tunnels: u64,
}

pub(super) fn write(
    page: &mut Page<'_>,
    house: &House,
    names: &[(Arc<str>, Counts)],
) -> fmt::Result {
    let mut all: HashMap<Arc<str>, Tally> = HashMap::new();
    for record in house.books.running() {
        let outcome = record.outcome();
        let tally = all.entry(house.books.name(outcome.account)).or_default();
        *tally.stages.entry(outcome.progress()).or_default() += 1;
        tally.orphans += u64::from(outcome.is_orphan());
        tally.tunnels += u64::from(outcome.is_tunnel() && outcome.over.is_none());
    }
    let none = Tally::default();
    let each = || names.iter().map(|(name, _)| (&**name, all.get(name).unwrap_or(&none)));
    page.gauge(
        "seawall_exchanges_running",
        "Requests under way, and exchanges that go on without a client, by how far they have come.",
        each().flat_map(|(name, tally)| {
            let words = Stage::ALL.map(Stage::word).into_iter().chain([DELIVERING]);
            words.map(move |word| {
                let count = tally.stages.get(word).copied().unwrap_or_default();
                ([("backend", name), ("stage", word)], count)
            })
        }),
    )?;
    page.gauge(
        "seawall_orphans_running",
        "Exchanges that run at the backend and have no client left.",
        each().map(|(name, tally)| ([("backend", name)], tally.orphans)),
    )?;
    page.gauge(
        "seawall_tunnels_running",
        "Upgraded connections (WebSocket) that are open.",
        each().map(|(name, tally)| ([("backend", name)], tally.tunnels)),
    )
}
