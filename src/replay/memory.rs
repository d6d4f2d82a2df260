//! Which requests run in this process, and the answers of those that have: bounded in number, in
//! bytes and in age.
//!
//! What runs is bounded by slots and queues, and is not forgotten. Of what is kept, the oldest goes
//! first, when there are more than `replay.entries`, when all take more than `replay.total`, and
//! when it is older than `replay.keep`; a retry that comes after that runs again.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::key::Name;

/// `R`: a running exchange, for those who attach to it.
#[derive(Debug)]
pub(super) struct Memory<R> {
    table: Arc<Mutex<Table<R>>>,
}

/// What a request is, seen from here.
pub(super) enum Look<R, T> {
    /// The first, or the first after one that came to nothing. Others see it as claimed.
    First(Claim<R>),
    /// Somebody is finding out who runs it. Closed when that is known: look again.
    Claimed(watch::Receiver<()>),
    /// It runs here. What attaching to it gave, where it is open.
    Running(Option<T>),
    Kept(Bytes),
    /// The key belongs to a request with another fingerprint.
    Other,
}

/// The one that runs a request, or finds out who does. Dropped, it is as if it had never been, and
/// a retry can run.
pub(crate) struct Claim<R> {
    table: Arc<Mutex<Table<R>>>,
    pub(super) name: Name,
    /// That of all seawalls together.
    pub(super) lease: Option<super::redis::Lease>,
    kept: bool,
}

#[derive(Debug)]
struct Table<R> {
    entries: HashMap<[u8; 32], Entry<R>>,
    /// The keys of what is kept, oldest first.
    order: VecDeque<[u8; 32]>,
    /// Of what is kept.
    bytes: u64,
    bounds: Bounds,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InMemory {
    pub(crate) answers: usize,
    pub(crate) bytes: u64,
}

/// Bounds on what is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub entries: usize,
    pub total: u64,
    pub age: Duration,
}

#[derive(Debug)]
struct Entry<R> {
    fingerprint: [u8; 32],
    state: State<R>,
}

#[derive(Debug)]
enum State<R> {
    /// Dropped when that changes, and those who wait for it look again.
    Claimed(watch::Sender<()>),
    Running(R),
    Kept {
        answer: Bytes,
        since: Instant,
    },
}

impl<R> Memory<R> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let table = Table { entries: HashMap::new(), order: VecDeque::new(), bytes: 0, bounds };
        Self { table: Arc::new(Mutex::new(table)) }
    }

    pub(super) fn kept(&self) -> InMemory {
        let table = self.table.lock();
        InMemory { answers: table.order.len(), bytes: table.bytes }
    }

    /// Another handle on the same, which is bounded so from here on.
    pub(super) fn bounded(&self, bounds: Bounds) -> Self {
        let mut table = self.table.lock();
        table.bounds = bounds;
        table.forget_beyond_bounds();
        Self { table: self.table.clone() }
    }

    /// Decides under one lock: of equal requests that come at once, one is the first.
    pub(super) fn look<T>(&self, name: &Name, attach: impl FnOnce(&R) -> Option<T>) -> Look<R, T> {
        let mut table = self.table.lock();
        table.forget_aged();
        if let Some(entry) = table.entries.get(&name.key) {
            if entry.fingerprint != name.fingerprint {
                return Look::Other;
            }
            return match &entry.state {
                State::Claimed(until) => Look::Claimed(until.subscribe()),
                State::Running(running) => Look::Running(attach(running)),
                State::Kept { answer, .. } => Look::Kept(answer.clone()),
            };
        }
        let state = State::Claimed(watch::Sender::new(()));
        table.entries.insert(name.key, Entry { fingerprint: name.fingerprint, state });
        drop(table);
        Look::First(Claim { table: self.table.clone(), name: *name, lease: None, kept: false })
    }
}

impl<R> Claim<R> {
    /// Lets others attach.
    pub(crate) fn runs(&self, running: R) {
        self.set(State::Running(running));
    }

    /// Puts the answer in the place of the claim.
    pub(super) fn keep(&mut self, answer: Bytes) {
        let mut table = self.table.lock();
        table.bytes += answer.len() as u64;
        table.order.push_back(self.name.key);
        let state = State::Kept { answer, since: Instant::now() };
        let before = table.replace(&self.name.key, state);
        table.forget_beyond_bounds();
        drop(table);
        drop(before);
        self.kept = true;
    }

    fn set(&self, state: State<R>) {
        let before = self.table.lock().replace(&self.name.key, state);
        // A running exchange may be let go of here, and that is not the table's business.
        drop(before);
    }
}

impl<R> Drop for Claim<R> {
    fn drop(&mut self) {
        if !self.kept {
            let entry = self.table.lock().entries.remove(&self.name.key);
            drop(entry);
        }
    }
}

impl<R> fmt::Debug for Claim<R> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Claim").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl<R> Table<R> {
    /// Nobody but the claim's holder changes its entry, so it is there.
    fn replace(&mut self, key: &[u8; 32], state: State<R>) -> Option<State<R>> {
        let entry = self.entries.get_mut(key)?;
        Some(std::mem::replace(&mut entry.state, state))
    }

    fn forget_aged(&mut self) {
        let age = self.bounds.age;
        while self.oldest().is_some_and(|since| since.elapsed() >= age) {
            self.forget_oldest();
        }
    }

    fn forget_beyond_bounds(&mut self) {
        while self.order.len() > self.bounds.entries || self.bytes > self.bounds.total {
            self.forget_oldest();
        }
    }

    fn oldest(&self) -> Option<Instant> {
        match self.entries.get(self.order.front()?)?.state {
            State::Kept { since, .. } => Some(since),
            _ => None,
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|key| self.entries.remove(&key));
        if let Some(Entry { state: State::Kept { answer, .. }, .. }) = oldest {
            self.bytes -= answer.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn memory(entries: usize, total: u64) -> Memory<&'static str> {
        Memory::new(Bounds { entries, total, age: LONG })
    }

    fn name(number: u8) -> Name {
        Name { key: [number; 32], fingerprint: [number; 32] }
    }

    fn look(memory: &Memory<&'static str>, number: u8) -> Look<&'static str, &'static str> {
        memory.look(&name(number), |running| Some(*running))
    }

    fn first(memory: &Memory<&'static str>, number: u8) -> Claim<&'static str> {
        match look(memory, number) {
            Look::First(claim) => claim,
            _ => panic!("{number} is not the first"),
        }
    }

    fn keep(memory: &Memory<&'static str>, number: u8, answer: &'static str) {
        first(memory, number).keep(Bytes::from_static(answer.as_bytes()));
    }

    fn is_kept(memory: &Memory<&'static str>, number: u8) -> bool {
        matches!(look(memory, number), Look::Kept(_))
    }

    #[tokio::test]
    async fn a_request_is_claimed_then_runs_then_is_kept() {
        let memory = memory(9, 999);
        let mut claim = first(&memory, 1);
        let Look::Claimed(mut until) = look(&memory, 1) else { panic!("not claimed") };
        claim.runs("exchange");
        assert!(until.changed().await.is_err(), "nobody is told");
        assert!(matches!(look(&memory, 1), Look::Running(Some("exchange"))));
        claim.keep(Bytes::from_static(b"answer"));
        drop(claim);
        assert!(matches!(look(&memory, 1), Look::Kept(answer) if answer == "answer"));
        let other = Name { fingerprint: [2; 32], ..name(1) };
        assert!(matches!(memory.look(&other, |running| Some(*running)), Look::Other));
    }

    #[tokio::test]
    async fn a_claim_that_is_dropped_lets_the_next_be_the_first() {
        let memory = memory(9, 999);
        let claim = first(&memory, 1);
        let Look::Claimed(mut until) = look(&memory, 1) else { panic!("not claimed") };
        drop(claim);
        assert!(until.changed().await.is_err(), "nobody is told");
        let claim = first(&memory, 1);
        claim.runs("exchange");
        drop(claim);
        drop(first(&memory, 1));
    }

    #[test]
    fn the_oldest_is_forgotten_first_beyond_either_bound() {
        let few = memory(2, 999);
        for number in 1..=3 {
            keep(&few, number, "answer");
        }
        assert!(is_kept(&few, 2) && is_kept(&few, 3) && !is_kept(&few, 1));
        let small = memory(99, 12);
        for number in 1..=3 {
            keep(&small, number, "answer");
        }
        assert!(is_kept(&small, 2) && is_kept(&small, 3) && !is_kept(&small, 1));
        keep(&small, 4, "an answer that takes more than all may");
        assert!(!is_kept(&small, 4) && !is_kept(&small, 3));
        assert_eq!(small.table.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_forgotten_and_may_come_again() {
        let memory = memory(9, 999);
        keep(&memory, 1, "old");
        tokio::time::advance(LONG / 2).await;
        keep(&memory, 2, "young");
        tokio::time::advance(LONG / 2).await;
        assert!(is_kept(&memory, 2));
        keep(&memory, 1, "new");
        tokio::time::advance(LONG / 2).await;
        assert!(is_kept(&memory, 1) && !is_kept(&memory, 2));
        assert_eq!(memory.table.lock().order.len(), 1);
        assert_eq!(memory.table.lock().bytes, 3);
    }

    #[test]
    fn what_runs_is_never_forgotten() {
        let memory = memory(1, 1);
        let claim = first(&memory, 1);
        claim.runs("exchange");
        for number in 2..9 {
            keep(&memory, number, "x");
        }
        assert!(matches!(look(&memory, 1), Look::Running(_)));
    }
}
