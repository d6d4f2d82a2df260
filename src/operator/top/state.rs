//! What `/api/state` says, as far as it is shown here.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Times are milliseconds since it began.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct State {
    pub(super) version: String,
    /// Another one after each restart.
    pub(super) began: String,
    pub(super) now: f64,
    pub(super) draining: bool,
    pub(super) connections: u64,
    pub(super) backends: Vec<Backend>,
    pub(super) running: Vec<Running>,
    totals: Vec<Totals>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) condition: String,
    pub(super) reason: Option<String>,
    pub(super) slots: u32,
    pub(super) slots_in_use: u32,
    pub(super) queued: u32,
    pub(super) queue_max: u32,
    pub(super) held: u32,
    /// Where there are several.
    #[serde(default)]
    pub(super) servers: Vec<Server>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub(super) name: String,
    out: bool,
    #[serde(default)]
    unwell: bool,
    pub(super) slots: u32,
    pub(super) slots_in_use: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Running {
    pub(super) serial: u64,
    pub(super) client: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) backend: String,
    pub(super) stage: String,
    pub(super) orphan: bool,
    pub(super) shared: Option<String>,
    pub(super) began: f64,
    pub(super) delivered_bytes: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Totals {
    ended: BTreeMap<String, u64>,
    delivered_bytes: u64,
    discarded_bytes: u64,
}

/// What happened in a second, between two looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) ended: f64,
    pub(super) discarded: f64,
    pub(super) delivered_bytes: f64,
    pub(super) discarded_bytes: f64,
}

impl State {
    pub(super) fn orphans(&self) -> usize {
        self.running.iter().filter(|one| one.orphan).count()
    }

    /// How many ended so, since it began.
    pub(super) fn ended(&self, how: &str) -> u64 {
        self.totals.iter().filter_map(|totals| totals.ended.get(how)).sum()
    }

    /// Since `before`; none across a restart.
    pub(super) fn rates(&self, before: &Self) -> Option<Rates> {
        let seconds = (self.now - before.now) / 1000.0;
        if self.began != before.began || seconds <= 0.0 {
            return None;
        }
        let rate = |count: fn(&Self) -> u64| {
            // Far below where that would lose anything that can be seen.
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let difference = count(self).saturating_sub(count(before)) as f64;
            difference / seconds
        };
        Some(Rates {
            ended: rate(|state| state.totals.iter().flat_map(|one| one.ended.values()).sum()),
            discarded: rate(|state| state.ended("discarded")),
            delivered_bytes: rate(|state| state.totals.iter().map(|one| one.delivered_bytes).sum()),
            discarded_bytes: rate(|state| state.totals.iter().map(|one| one.discarded_bytes).sum()),
        })
    }
}

impl Backend {
    /// So many of its servers, in the order in which they are named; where there are more, those in trouble first. And
    /// how many there are besides.
    pub(super) fn servers(&self, most: usize) -> (Vec<&Server>, usize) {
        let mut shown: Vec<_> = self.servers.iter().collect();
        let more = shown.len().saturating_sub(most);
        if more > 0 {
            shown.sort_by_key(|one| (!one.out, !one.unwell));
            shown.truncate(most);
        }
        (shown, more)
    }
}

impl Server {
    pub(super) fn condition(&self) -> &'static str {
        match (self.out, self.unwell) {
            (true, _) => "out",
            (false, true) => "unwell",
            (false, false) => "up",
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.out
    }
}

impl Running {
    /// Milliseconds.
    pub(super) fn age(&self, state: &State) -> f64 {
        (state.now - self.began).max(0.0)
    }

    /// How far it has come, in a word or two.
    pub(super) fn stage(&self) -> String {
        match (self.orphan, self.shared.as_deref()) {
            (true, _) => format!("{} *", self.stage),
            (false, Some(shared)) => format!("{} ({shared})", self.stage),
            (false, None) => self.stage.clone(),
        }
    }
}
