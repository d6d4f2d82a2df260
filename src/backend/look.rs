//! Can the backend be reached? For those who have nothing to ask of it.
//!
//! What is known is used, and whoever is busy with our exchanges is there. Else somebody has to look:
//! connect, and close at once. It is the one connection without a request behind it, so it takes a slot
//! like all others, and there is at most one a second, whoever asks.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Backend, Condition, send::LISTEN};
use crate::tasks::Tasks;

/// How long what was seen is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a look may take, and so who asks may wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Look {
    seen: watch::Sender<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looking: bool,
    last: Option<(Instant, Reached)>,
}

/// Or else, why not.
pub(crate) type Reached = Result<(), &'static str>;

impl Backend {
    /// Whether it can be reached, within half a second.
    pub(crate) async fn is_reachable(self: &Arc<Self>) -> Reached {
        if let Some(known) = self.known() {
            return known;
        }
        let mut changes = self.lasting.look.seen.subscribe();
        self.lasting.look.seen.send_if_modified(|seen| {
            if !seen.looking && seen.fresh().is_none() {
                seen.looking = true;
                // Nobody who leaves ends it.
                Tasks::background(self.clone().look());
            }
            false
        });
        let told = timeout(PATIENCE, changes.wait_for(|seen| seen.fresh().is_some())).await;
        let told = told.ok().and_then(Result::ok).and_then(|seen| seen.fresh());
        told.unwrap_or_else(|| self.guess())
    }

    /// Where nobody needs to look.
    fn known(&self) -> Option<Reached> {
        match self.condition() {
            Condition::CrashLoop | Condition::Restarting => Some(self.guess()),
            // The first of those who wait for it tries again and again.
            Condition::Away { .. } if self.held() > 0 => Some(self.guess()),
            Condition::Up if self.is_busy() => Some(Ok(())),
            Condition::Up | Condition::Unknown | Condition::Away { .. } => None,
        }
    }

    /// It works for us, or has a moment ago. Or a look would cost somebody his answer: where nobody may
    /// queue, whoever comes in that moment would be refused.
    fn is_busy(&self) -> bool {
        let has_one_place = self.lasting.slots.count() == 1 && self.config.queue.max == 0;
        self.lasting.slots.in_use() > 0 || self.kept() > 0 || has_one_place
    }

    async fn look(self: Arc<Self>) {
        let reached = match timeout(PATIENCE, self.try_once()).await {
            Ok(reached) => reached,
            Err(_) => Err("no connection within half a second"),
        };
        self.lasting.look.seen.send_modify(|seen| {
            *seen = Seen { looking: false, last: Some((Instant::now(), reached)) };
        });
    }

    async fn try_once(&self) -> Reached {
        // Else the first in line would be a second one who tries.
        let first = self.is_away().then(|| self.lasting.hold.first());
        let (None | Some(Some(_)), Some(mut slot)) = (&first, self.free_slot()) else {
            return self.guess();
        };
        // One that is silent must leave time for the others.
        let servers = self.lasting.slots.servers().len();
        let bound = u32::try_from(servers).ok().filter(|servers| *servers > 1);
        let bound = bound.map_or(Duration::MAX, |servers| PATIENCE / (servers + 1));
        loop {
            // Bounded by who calls, too. What accepts in place of a server that is not there is no server.
            let why = match self.attempt(&slot, bound, Some(LISTEN)).await {
                Ok(link) => {
                    drop(link);
                    self.lasting.reached(slot.seats());
                    return Ok(());
                }
                Err(why) => why,
            };
            if self.lasting.out_of_reach(slot.seats(), &why) {
                match slot.move_on(false) {
                    true => continue,
                    // All slots of the others are in use.
                    false => return Ok(()),
                }
            }
            let reason = why.reason();
            if self.is_waited_for() {
                self.lasting.hold.lost(&self.config.name, why);
            }
            return Err(reason);
        }
    }

    /// By what is known.
    fn guess(&self) -> Reached {
        match self.condition() {
            Condition::Up => Ok(()),
            Condition::Unknown => Err("nobody has reached it yet"),
            Condition::Away { why, .. } => Err(why),
            Condition::Restarting => Err("it restarts"),
            Condition::CrashLoop => Err("it has ended again and again"),
        }
    }
}

impl Seen {
    fn fresh(&self) -> Option<Reached> {
        let fresh = self.last.filter(|(when, _)| when.elapsed() < FRESH);
        fresh.map(|(_, reached)| reached)
    }
}
