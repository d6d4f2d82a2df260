//! Those that are over: the last ones, within bounds.
//!
//! Under a flood they are a sample, and what went wrong is not pushed out by what did not: each has a
//! shelf of its own, and where there is no more room, the fuller one gives.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{
    capture::Capture,
    mask::Mask,
    record::{Ended, Facts, Outcome},
    redact::Redact,
};
use crate::{config, lock::Mutex};

/// The last ones that are over.
#[derive(Debug)]
pub(crate) struct Recent {
    entries: usize,
    /// Of those that are over.
    memory: u64,
    /// The same, for what is taken down of those that run.
    running_memory: u64,
    running: AtomicU64,
    /// Of each body.
    bodies: usize,
    mask: ArcSwap<Mask>,
    /// Between two that are kept, in the mean.
    interval: Duration,
    shelves: Mutex<Shelves>,
}

/// One that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// That of its record.
    pub serial: u64,
    /// In the order in which they were over; from 1.
    pub number: u64,
    pub facts: Facts,
    pub outcome: Outcome,
    /// What was said, where that was taken down.
    pub capture: Option<Box<Capture>>,
}

#[derive(Debug, Default)]
struct Shelves {
    /// How many were ever put here.
    count: u64,
    plain: Shelf,
    /// What was not simply delivered.
    odd: Shelf,
}

/// Oldest first.
#[derive(Debug, Default)]
struct Shelf {
    kept: VecDeque<Arc<Finished>>,
    bytes: u64,
}

impl Recent {
    pub(crate) fn new(config: &config::Inspect, redact: Redact) -> Self {
        Self {
            entries: config.entries,
            memory: config.memory - config.memory / 2,
            running_memory: config.memory / 2,
            running: AtomicU64::new(0),
            bodies: usize::try_from(config.bodies).unwrap_or(usize::MAX),
            mask: ArcSwap::from_pointee(Mask::new(&config.mask, redact)),
            interval: Duration::from_secs(1) / config.rate.max(1),
            shelves: Mutex::default(),
        }
    }

    /// Nothing is kept.
    pub(crate) fn off() -> Self {
        Self::new(&config::Inspect::off(), Redact::new(&[]))
    }

    /// How many are kept at most.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// Those that were over after the one with this number, the newest first; all, for 0.
    pub(crate) fn since(&self, number: u64) -> Vec<Arc<Finished>> {
        let shelves = self.shelves.lock();
        let newer = |shelf: &Shelf| {
            let newer = shelf.kept.iter().rev().take_while(|one| one.number > number);
            newer.cloned().collect::<Vec<_>>()
        };
        let mut all = newer(&shelves.plain);
        all.extend(newer(&shelves.odd));
        drop(shelves);
        all.sort_unstable_by_key(|one| std::cmp::Reverse(one.number));
        all
    }

    pub(crate) fn find(&self, serial: u64) -> Option<Arc<Finished>> {
        let shelves = self.shelves.lock();
        let mut all = shelves.plain.kept.iter().chain(&shelves.odd.kept);
        all.find(|one| one.serial == serial).cloned()
    }

    /// Is one that comes `now` to be kept? On a worker with this pace.
    pub(super) fn takes(&self, pace: &mut Pace, now: Instant) -> bool {
        // The common case of a flood is one comparison.
        pace.next.is_none_or(|next| next <= now) && self.entries > 0 && {
            let burst = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
            pace.next = Some(pace.next.map_or(burst, |next| next.max(burst)) + self.interval);
            true
        }
    }

    /// Is there room for so many bytes of one that runs? Then they are its.
    pub(super) fn charge(&self, bytes: u64) -> bool {
        let more = |held: u64| Some(held + bytes).filter(|held| *held <= self.running_memory);
        self.running.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// How much more is kept of a body of which so much is kept.
    pub(super) fn body_room(&self, kept: usize) -> usize {
        self.bodies.saturating_sub(kept)
    }

    /// What is secret from now on.
    pub(crate) fn reload(&self, config: &config::Inspect, redact: Redact) {
        self.mask.store(Arc::new(Mask::new(&config.mask, redact)));
    }

    pub(super) fn mask(&self) -> Arc<Mask> {
        self.mask.load_full()
    }

    pub(super) fn put(
        &self,
        serial: u64,
        facts: Facts,
        outcome: Outcome,
        capture: Option<Box<Capture>>,
    ) {
        if let Some(capture) = &capture {
            self.running.fetch_sub(capture.bytes, Relaxed);
        }
        let mut finished = Finished { serial, number: 0, facts, outcome, capture };
        let mut gone = Vec::new();
        let mut shelves = self.shelves.lock();
        shelves.count += 1;
        finished.number = shelves.count;
        let to = match is_plain(&finished.outcome) {
            true => &mut shelves.plain,
            false => &mut shelves.odd,
        };
        to.bytes += finished.size();
        to.kept.push_back(Arc::new(finished));
        while let Some(shelf) = shelves.over(self.entries, self.memory) {
            let Some(oldest) = shelf.kept.pop_front() else { break };
            shelf.bytes -= oldest.size();
            gone.push(oldest);
        }
        drop(shelves);
        // Freed outside of the lock.
        drop(gone);
    }
}

impl Shelves {
    /// The shelf that is to give, if there is no room.
    fn over(&mut self, entries: usize, memory: u64) -> Option<&mut Shelf> {
        let Self { plain, odd, .. } = self;
        let plain_gives = if plain.kept.len() + odd.kept.len() > entries {
            plain.kept.len() > odd.kept.len()
        } else if plain.bytes + odd.bytes > memory {
            plain.bytes > odd.bytes
        } else {
            return None;
        };
        Some(if plain_gives { plain } else { odd })
    }
}

impl Finished {
    /// Of all of it, in bytes.
    fn size(&self) -> u64 {
        let path = self.facts.path().map_or(0, str::len);
        let said = self.capture.as_ref().map_or(0, |said| size_of::<Capture>() as u64 + said.bytes);
        (size_of::<Self>() + path) as u64 + said
    }
}

/// Nothing went wrong.
pub(super) fn is_plain(outcome: &Outcome) -> bool {
    outcome.ended() == Ended::Delivered
        && outcome.status.is_none_or(|status| !status.is_server_error())
}

/// So many a second, on one worker: none is kept before this. A second without any makes up for as
/// many at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::{
        config::Inspect,
        observe::{access::AccessLog, books::Books, record::Record},
        request_id::RequestId,
    };

    fn books(entries: usize, memory: u64) -> Books {
        let config = Inspect { entries, memory, rate: 1000, ..Inspect::off() };
        Books::new(AccessLog::off(), Recent::new(&config, Redact::new(&[])), None)
    }

    fn finish(books: &Books, path: &str, status: u16) {
        let facts = Facts {
            id: RequestId::from_static("1"),
            client: None,
            line: Some((Method::GET, path.into())),
            began: Instant::now(),
        };
        let record = Record::open(books, facts);
        record.answered_with(StatusCode::from_u16(status).expect("a status"));
        record.note(|outcome| outcome.ended = Some(Ended::Delivered));
    }

    fn paths(books: &Books) -> Vec<String> {
        let all = books.recent().since(0);
        all.iter().map(|one| one.facts.path().expect("a path").to_owned()).collect()
    }

    #[tokio::test]
    async fn a_flood_of_what_went_well_does_not_push_out_what_did_not() {
        let books = books(4, 1 << 20);
        for number in 0..3 {
            finish(&books, &format!("/bad{number}"), 500);
        }
        for number in 0..10 {
            finish(&books, &format!("/good{number}"), 200);
        }
        assert_eq!(paths(&books), ["/good9", "/good8", "/bad2", "/bad1"]);
        for number in 3..10 {
            finish(&books, &format!("/bad{number}"), 500);
        }
        assert_eq!(paths(&books), ["/bad9", "/bad8", "/good9", "/good8"]);
        let newest = books.recent().since(0)[0].number;
        assert_eq!(books.recent().since(newest - 1).len(), 1);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_the_oldest_go() {
        let books = books(1000, 200_000);
        let long = "x".repeat(10_000);
        for number in 0..20 {
            finish(&books, &format!("/{number}/{long}"), 200);
        }
        let kept = paths(&books);
        assert_eq!(kept.len(), 9);
        assert!(kept[0].starts_with("/19/") && kept[8].starts_with("/11/"));
        // Too long by itself, it pushes out all, itself too.
        finish(&books, &"x".repeat(200_000), 200);
        assert_eq!(paths(&books).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_more_than_the_rate_a_sample_is_kept() {
        let books = books(100_000, 1 << 30);
        for _ in 0..5000 {
            finish(&books, "/", 200);
        }
        let at_once = books.recent().since(0).len();
        assert!((1000..=1002).contains(&at_once), "{at_once}");
        for _ in 0..5000 {
            tokio::time::advance(Duration::from_micros(200)).await;
            finish(&books, "/", 200);
        }
        let kept = books.recent().since(0).len() - at_once;
        assert!((990..=1010).contains(&kept), "{kept}");
    }
}
