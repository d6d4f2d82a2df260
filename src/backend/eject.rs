//! Servers that are put out, and come back.
//!
//! A server that nobody can connect to is out at once, and one that has cut a few exchanges in a row before
//! their answers is out as well: as long as another server is there, nobody is sent to it. Before anybody
//! is again, we look ourselves: after `eject.for`, and after twice that where it is still away, up to
//! `eject.max`. The last one is never put out: then the backend is away, and requests are held.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{lasting::Lasting, server::Seats};
use crate::{admission::queue::Out, refusal::Refusal, tasks::Tasks};

/// How a server has been of late.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Exchanges that it has cut before their answers, one after the other.
    cut: AtomicU32,
    /// Looks that have not gone well, one after the other: whatever it answers to others.
    unwell: AtomicU32,
    /// How often it was put out since it answered last.
    ejected: AtomicU32,
    /// We have asked how it is, and it has not answered yet.
    pub asked: AtomicBool,
}

impl Conduct {
    pub(super) fn answered(&self) {
        // Looked at first: a line of memory that all workers write to is dear.
        if self.cut.load(Relaxed) != 0 || self.ejected.load(Relaxed) != 0 {
            self.cut.store(0, Relaxed);
            if self.unwell.load(Relaxed) == 0 {
                self.ejected.store(0, Relaxed);
            }
        }
    }

    /// The last look has not gone well.
    pub(super) fn is_unwell(&self) -> bool {
        self.unwell.load(Relaxed) > 0
    }

    /// A look has gone well.
    pub(super) fn is_well(&self) {
        self.unwell.store(0, Relaxed);
        self.answered();
    }
}

impl Lasting {
    /// Nobody can connect to it. Is another server there?
    pub(super) fn out_of_reach(self: &Arc<Self>, seats: &Arc<Seats>, why: &Refusal) -> bool {
        // The name may stand for others by now.
        self.ask_again(seats);
        self.eject(seats, why.reason())
    }

    /// It has cut an exchange before the answer.
    pub(super) fn cut(self: &Arc<Self>, seats: &Arc<Seats>) {
        self.failed(seats, &seats.server.conduct.cut, "it cuts exchanges before it answers");
    }

    /// It was asked how it is, and not well.
    pub(super) fn was_unwell(self: &Arc<Self>, seats: &Arc<Seats>) {
        let reason = "it does not answer backend.health.path as it should";
        self.failed(seats, &seats.server.conduct.unwell, reason);
    }

    /// It can be reached.
    pub(super) fn reached(&self, seats: &Arc<Seats>) {
        // Each new connection says so, and there is nearly never anything to be said of it.
        let backend = || seats.server.place().backend.clone();
        if seats.is_out() && self.slots.line().let_in(seats) {
            tracing::info!(
                backend = &*backend(),
                server = &*seats.server.name(),
                "the server is back"
            );
        }
        self.hold.back(backend);
    }

    fn failed(self: &Arc<Self>, seats: &Arc<Seats>, times: &AtomicU32, reason: &str) {
        let times = 1 + times.fetch_add(1, Relaxed);
        if times >= seats.server.place().eject.after {
            self.eject(seats, reason);
        }
    }

    fn eject(self: &Arc<Self>, seats: &Arc<Seats>, reason: &str) -> bool {
        match self.slots.line().put_out(seats) {
            Out::Last => return false,
            Out::Already => return true,
            Out::Now => {}
        }
        let conduct = &seats.server.conduct;
        for times in [&conduct.cut, &conduct.unwell] {
            times.store(0, Relaxed);
        }
        let place = seats.server.place();
        let (backend, server) = (&*place.backend, &*place.name);
        tracing::warn!(backend, server, reason, "the server is out: others are asked");
        Tasks::background(look_again(Arc::downgrade(self), Arc::downgrade(seats)));
        true
    }
}

/// Until it is back, or is none of ours any more.
async fn look_again(lasting: Weak<Lasting>, seats: Weak<Seats>) {
    loop {
        let Some(pause) = seats.upgrade().map(|seats| pause(&seats)) else { return };
        sleep(pause).await;
        let (Some(lasting), Some(seats)) = (lasting.upgrade(), seats.upgrade()) else { return };
        if !seats.is_out() || !lasting.slots.line().has(&seats) || lasting.is_over() {
            return;
        }
        match lasting.look_at(&seats).await {
            // Where all of its slots are in use, it is for those exchanges to say how it is.
            None => {}
            Some(Ok(())) => {
                lasting.reached(&seats);
                return;
            }
            Some(Err(error)) => {
                let place = seats.server.place();
                let (backend, server) = (&*place.backend, &*place.name);
                tracing::debug!(backend, server, %error, "the server is out still");
            }
        }
    }
}

/// Longer each time.
fn pause(seats: &Seats) -> Duration {
    let before = seats.server.conduct.ejected.fetch_add(1, Relaxed);
    let eject = seats.server.place().eject;
    eject.first.saturating_mul(2_u32.saturating_pow(before)).min(eject.max)
}
