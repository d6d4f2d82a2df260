//! Who waits, and who gets which slot. All of it under one lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    task::Waker,
    thread::ThreadId,
    time::Duration,
};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::waits::{Came, Number, Waits};
use crate::{
    admission::seats::{Seats, Servers},
    prefetch::prefetch_task,
    runtime,
};

#[derive(Debug)]
pub(super) struct Order<S> {
    pub(super) servers: Servers<S>,
    /// Those that are no longer among them, as long as anything runs there.
    pub(super) gone: Vec<Weak<Seats<S>>>,
    /// Where the search for the least busy begins: among equals they take turns.
    turn: usize,
    pub(super) waiting: Waits<Waiting<S>>,
    /// Those who waited and have not heard yet that they have a slot. Who is told first hears it first, nearly always.
    given: VecDeque<(Number, Arc<Seats<S>>)>,
    /// Nobody but who was woken for it has waited long enough before this: a long line is not looked through in
    /// vain.
    soonest: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Waiting<S> {
    /// For this server, as long as it is there.
    pub(super) at: Option<Arc<Seats<S>>>,
    /// When its client's request began.
    pub(super) began: Instant,
    /// When it has waited long enough.
    pub(super) until: Instant,
    /// So often another one was served in its place.
    pub(super) passed: u8,
    pub(super) worker: ThreadId,
    pub(super) waker: Waker,
}

impl<S> Order<S> {
    pub(super) fn new(servers: impl IntoIterator<Item = Arc<Seats<S>>>) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            gone: Vec::new(),
            turn: 0,
            waiting: Waits::new(),
            given: VecDeque::new(),
            soonest: None,
        }
    }

    pub(super) fn take(&mut self, at: Option<&Arc<Seats<S>>>) -> Option<Arc<Seats<S>>> {
        let seats = match (at.filter(|at| !at.is_out()), &*self.servers) {
            (Some(at), _) => at.are_free().then(|| at.clone()),
            (None, [only]) => only.are_free().then(|| only.clone()),
            (None, _) => self.least_busy(),
        }?;
        seats.take();
        Some(seats)
    }

    pub(super) fn least_busy(&mut self) -> Option<Arc<Seats<S>>> {
        let count = self.servers.len();
        let in_turn = (self.turn..self.turn + count).map(|index| index % count);
        let free = in_turn.filter(|index| {
            let one = &self.servers[*index];
            one.are_free() && !one.is_out()
        });
        let chosen = free.reduce(|best, index| {
            match self.servers[index].is_less_busy(&self.servers[best]) {
                true => index,
                false => best,
            }
        })?;
        self.turn = chosen + 1;
        Some(self.servers[chosen].clone())
    }

    pub(super) fn other_than(&mut self, seats: &Arc<Seats<S>>, any: bool) -> Option<Arc<Seats<S>>> {
        let (before, from) = match self.servers.iter().position(|one| Arc::ptr_eq(one, seats)) {
            Some(index) => self.servers.split_at(index),
            None => self.servers.split_at(0),
        };
        let mut others = from.iter().chain(before).filter(|one| !Arc::ptr_eq(one, seats));
        others.find(|one| one.are_free() && (any || !one.is_out())).cloned()
    }

    /// Hands what is free to those who wait, and gives back who is to be told.
    pub(super) fn serve(&mut self) -> SmallVec<[Waker; 1]> {
        let mut served = SmallVec::new();
        let numbers: Vec<Number> = self.waiting.iter().map(|(number, _)| number).collect();
        let mut nothing_is_free = false;
        for number in numbers {
            let at = self.waiting.get_mut(number).and_then(|one| one.at.clone());
            if at.is_none() && nothing_is_free {
                continue;
            }
            match self.take(at.as_ref()) {
                Some(seats) => served.extend(self.give(number, seats)),
                None => nothing_is_free |= at.is_none(),
            }
        }
        served
    }

    /// The same where it is one of these that has come free.
    pub(super) fn serve_at(&mut self, seats: &Arc<Seats<S>>) -> Option<Waker> {
        if seats.is_out() || !seats.are_free() {
            return None;
        }
        let number = self.next_for(seats)?;
        seats.take();
        self.give(number, seats.clone())
    }

    /// Whose turn it is, where one of these has come free.
    fn next_for(&mut self, seats: &Arc<Seats<S>>) -> Option<Number> {
        let is_for = |one: &Waiting<S>| one.at.as_ref().is_none_or(|at| Arc::ptr_eq(at, seats));
        let mut in_line = self.waiting.iter_mut();
        let (first, waiting) = in_line.find(|(_, one)| is_for(one))?;
        // To wake another worker, and to use a connection that this one watches, costs as much as a third
        // of a request. Who came in the same moment may as well be next.
        let here = runtime::here();
        let is_as_early = |number: Number, one: &Waiting<S>| {
            number.0 == first.0
                && one.began.max(waiting.began) - one.began.min(waiting.began) < MOMENT
        };
        if waiting.worker != here && waiting.passed < PASSED {
            let near =
                in_line.take(LOOKED_AT).take_while(|(number, one)| is_as_early(*number, one));
            let own = near.filter(|(_, one)| one.worker == here).find(|(_, one)| is_for(one));
            if let Some((own, _)) = own {
                waiting.passed += 1;
                return Some(own);
            }
        }
        Some(first)
    }

    pub(super) fn wait(&mut self, came: Came, one: Waiting<S>) -> Number {
        self.soonest = Some(self.soonest.map_or(one.until, |soonest| soonest.min(one.until)));
        self.waiting.add(came, one)
    }

    /// Those who have waited long enough, or all, and when the next one will have.
    pub(super) fn outwaited(&mut self, now: Instant, all: bool) -> (Vec<Waker>, Instant) {
        if let Some(soonest) = self.soonest.filter(|soonest| *soonest > now && !all) {
            return (Vec::new(), soonest);
        }
        let waiting = self.waiting.iter().map(|(_, one)| one);
        let next = waiting.clone().map(|one| one.until).filter(|until| *until > now).min();
        // Those who are woken now leave: they are not to be watched for.
        let next = next.unwrap_or(now + SOON);
        self.soonest = Some(next);
        let woken = waiting.filter(|one| all || one.until <= now);
        (woken.map(|one| one.waker.clone()).collect(), next)
    }

    pub(super) fn give(&mut self, number: Number, seats: Arc<Seats<S>>) -> Option<Waker> {
        self.given.push_back((number, seats));
        let waker = self.waiting.remove(number).map(|one| one.waker);
        // Soon it is the turn of the next one. Another worker's task is not for this one's caches.
        let next = self.waiting.iter().next();
        if let Some((_, next)) = next.filter(|(_, next)| next.worker == runtime::here()) {
            prefetch_task(&next.waker);
        }
        waker
    }

    /// What was given to this one.
    pub(super) fn take_given(&mut self, number: Number) -> Option<Arc<Seats<S>>> {
        let at = self.given.iter().position(|(given, _)| *given == number)?;
        self.given.remove(at).map(|(_, seats)| seats)
    }
}

impl<S> Waiting<S> {
    pub(super) fn look_elsewhere(&mut self) {
        self.at = self.at.take().filter(|at| !at.is_out());
    }
}

/// Who was woken to leave has left by then.
pub(super) const SOON: Duration = Duration::from_millis(50);

/// Of two workers, each with an event queue of its own, nobody can tell who of their clients came first, if
/// it was by less than this.
const MOMENT: Duration = Duration::from_micros(500);
/// In search of one of this worker.
const LOOKED_AT: usize = 32;
/// So often one in line is passed over: where answers are slow, a few are a long time.
const PASSED: u8 = 3;
