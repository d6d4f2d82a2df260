//! An exchange that becomes a tunnel: it keeps its slot until the backend's side of that is over.

use tokio::time::Instant;

use super::{Exchange, Watcher, run::Stopped};
use crate::{
    backend::{Slot, Switched},
    headers,
    observe::record::{Ended, Record},
    refusal::Refusal,
    replay::Kept,
    spool,
    tunnel::{Counts, Life, Plan, Witness},
};

impl Exchange {
    /// Tells the client that the backend has switched, and lives the tunnel to its end.
    pub(super) async fn tunnel(
        &self,
        switched: Box<Switched>,
        plan: Option<&Plan>,
        spool: &spool::Spool,
        slot: Option<Slot>,
    ) -> Result<Option<Box<Kept>>, Stopped> {
        let began = Instant::now();
        let result = match self.open(*switched, plan, spool).await {
            Ok(mut life) => {
                // Nothing may ever be said in it; a tunnel it is.
                self.record().note(|outcome| outcome.received = Some(0));
                let end = tokio::select! {
                    biased;
                    end = life.until_backend_is_over() => end,
                    // Cancel-safe: the life is there yet, and is lived on.
                    reason = self.condemned() => {
                        life.close_both(reason);
                        life.until_backend_is_over().await
                    }
                };
                let over = Instant::now();
                self.record().note(|outcome| {
                    outcome.backend += over - began;
                    outcome.over = Some(over);
                });
                // The next exchange need not wait for the client's farewell.
                drop(slot);
                life.until_client_is_over().await;
                self.record().visited_until(Instant::now());
                match end.ended {
                    Ended::Delivered => Ok(spool::End::Whole(None)),
                    _ => Err(Stopped::Tunnel(end)),
                }
            }
            Err(refusal) => Err(Stopped::NoAnswer(refusal)),
        };
        self.conclude_with(&result);
        // Nobody reads it: a tunnel's answer is its head alone.
        spool.end(spool::End::Cut);
        result.map(|_| None)
    }

    async fn open(
        &self,
        switched: Switched,
        plan: Option<&Plan>,
        spool: &spool::Spool,
    ) -> Result<Life<OfTunnel<'_>>, Refusal> {
        let Switched { mut head, wire } = switched;
        self.record().note(|outcome| outcome.backend_status = Some(head.status));
        let plan = plan.ok_or(Refusal::Internal)?;
        let protocol = plan.asked.chosen(&head)?;
        let named = headers::switched(&mut head, self.record().id())?;
        plan.asked.answer(&mut head, named);
        // Before the client can have its answer, with which it ceases to wait for one.
        let watch = self.stay();
        let is_watched = watch.is_some();
        self.answer(head, spool, true, false, Some(Instant::now()));
        let client = if is_watched { plan.asked.client.open().await } else { None };
        let (bounds, draining) = (plan.bounds, plan.draining.clone());
        let witness = OfTunnel { record: self.record(), watch };
        Ok(Life::new(client, Box::new(wire), protocol, bounds, draining, witness))
    }

    /// A watcher that has its answer already, where anybody watches at all.
    fn stay(&self) -> Option<Watcher> {
        let mut state = self.shared.state.lock();
        if state.watchers == 0 {
            return None;
        }
        state.watchers += 1;
        Some(Watcher::answered(self.shared.clone()))
    }
}

/// The client's end, as the exchange sees it.
struct OfTunnel<'a> {
    record: &'a Record,
    /// Dropped when the client leaves: from then on, the exchange is an orphan.
    watch: Option<Watcher>,
}

impl Witness for OfTunnel<'_> {
    fn passed(&mut self, counts: Counts) {
        self.record.passed_in_all(counts.down);
        self.record.note(|outcome| {
            outcome.received = Some(counts.up);
            outcome.discarded = counts.discarded;
        });
    }

    fn client_left(&mut self, why: &'static str) {
        self.record.left(Some(why));
        self.watch = None;
    }
}
