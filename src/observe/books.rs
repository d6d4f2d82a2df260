//! The books of the house: what runs, and what was counted of that which is over.
//!
//! Every record is entered when it is opened, and counted when it is closed. Each worker has a sheet
//! of its own for that, so that none waits for another; whoever reads the books goes through all
//! sheets, and that is rare.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use parking_lot::RwLock;
use slab::Slab;
use tokio::time::Instant;

use super::{
    access::AccessLog,
    capture::Capture,
    counts::Counts,
    recent::{Pace, Recent, is_plain},
    record::{Facts, Outcome, Record},
    trace::Tracer,
};
use crate::lock::Mutex;

/// Where records are entered; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: AccessLog,
    tracer: Option<Tracer>,
    sheets: [Mutex<Sheet>; SHEETS],
    /// In the order of their first mention; that of [`Account::NONE`] is empty.
    names: RwLock<Vec<Arc<str>>>,
    recent: Recent,
    began: SystemTime,
    /// The same moment.
    zero: Instant,
}

/// A worker's own.
#[derive(Debug, Default)]
struct Sheet {
    running: Slab<Running>,
    /// How many were ever entered here.
    entered: u64,
    /// By account.
    counts: Vec<Counts>,
    /// Of those that are chosen to be kept when they come.
    chosen: Pace,
    /// Of those that are kept for what has become of them.
    odd: Pace,
}

#[derive(Debug)]
struct Running {
    serial: u64,
    record: Weak<Record>,
}

/// Where a record stands in the books.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    serial: u64,
    line: u32,
    /// It is to be kept when it is over, and what is said is taken down.
    pub(super) is_chosen: bool,
}

/// Under which name something is counted: that of a backend, whose name stands for the same one for
/// ever, also when the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Account(u32);

impl Account {
    /// No backend was chosen.
    pub(crate) const NONE: Self = Self(0);

    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

impl Books {
    pub(crate) fn new(log: AccessLog, recent: Recent, tracer: Option<Tracer>) -> Self {
        let inner = Inner {
            log,
            tracer,
            sheets: std::array::from_fn(|_| Mutex::default()),
            names: RwLock::new(vec!["".into()]),
            recent,
            began: SystemTime::now(),
            zero: Instant::now(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Books whose lines are written nowhere.
    #[cfg(any(test, feature = "fuzzing", feature = "steps"))]
    pub(crate) fn unwritten() -> Self {
        Self::new(AccessLog::off(), Recent::off(), None)
    }

    pub(crate) fn log(&self) -> &AccessLog {
        &self.inner.log
    }

    /// Where anything is traced.
    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.inner.tracer.as_ref()
    }

    /// The account of a backend.
    pub(crate) fn account(&self, backend: &str) -> Account {
        let mut names = self.inner.names.write();
        let place = names.iter().position(|name| &**name == backend).unwrap_or_else(|| {
            names.push(backend.into());
            names.len() - 1
        });
        Account(u32::try_from(place).unwrap_or_default())
    }

    pub(crate) fn name(&self, account: Account) -> Arc<str> {
        let names = self.inner.names.read();
        names.get(account.0 as usize).cloned().unwrap_or_default()
    }

    /// Of the process.
    pub(crate) fn began(&self) -> SystemTime {
        self.inner.began
    }

    /// Of the process, too, by the other clock.
    pub(crate) fn zero(&self) -> Instant {
        self.inner.zero
    }

    /// Those that are over.
    pub(crate) fn recent(&self) -> &Recent {
        &self.inner.recent
    }

    /// All that is counted so far, each with the name of its backend; the empty name is for what never
    /// came so far as to have one.
    pub(crate) fn counts(&self) -> Vec<(Arc<str>, Counts)> {
        let names = self.inner.names.read().clone();
        let mut all: Vec<_> = names.into_iter().map(|name| (name, Counts::default())).collect();
        for sheet in &self.inner.sheets {
            let sheet = sheet.lock();
            for ((_, sum), counts) in all.iter_mut().zip(&sheet.counts) {
                sum.merge(counts);
            }
        }
        all
    }

    /// All that runs, in the order of coming.
    pub(crate) fn running(&self) -> Vec<Arc<Record>> {
        let mut all = Vec::new();
        for sheet in &self.inner.sheets {
            let sheet = sheet.lock();
            all.extend(sheet.running.iter().filter_map(|(_, running)| running.record.upgrade()));
        }
        // Outside of the locks: where one of these turns out to be the last handle, it is closed here.
        all.sort_by_key(|record| (record.began(), record.serial()));
        all
    }

    /// The running one with this number.
    pub(crate) fn find(&self, serial: u64) -> Option<Arc<Record>> {
        self.entered(serial)?.upgrade()
    }

    /// Is this the number of one that runs, or is about to be found among the [`recent`](Self::recent)?
    pub(crate) fn is_entered(&self, serial: u64) -> bool {
        self.entered(serial).is_some()
    }

    fn entered(&self, serial: u64) -> Option<Weak<Record>> {
        let sheet = self.inner.sheets[sheet(serial)].lock();
        let mut running = sheet.running.iter().map(|(_, running)| running);
        running.find(|running| running.serial == serial).map(|running| running.record.clone())
    }

    /// For one that `began` now, and that may be chosen already.
    pub(super) fn enter(&self, record: &Weak<Record>, began: Instant, is_chosen: bool) -> Entry {
        let place = here();
        let mut sheet = self.inner.sheets[place].lock();
        let serial = sheet.entered * SHEETS as u64 + place as u64;
        sheet.entered += 1;
        let line = sheet.running.insert(Running { serial, record: record.clone() });
        // So many do not fit into memory.
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let is_chosen = self.inner.recent.takes(&mut sheet.chosen, began) || is_chosen;
        Entry { serial, line, is_chosen }
    }

    /// Counts what is over, writes its line, and keeps it where it was chosen or is of interest.
    pub(super) fn close(
        &self,
        entry: Entry,
        facts: &Facts,
        outcome: &Outcome,
        capture: Option<Box<Capture>>,
    ) {
        let mut sheet = self.inner.sheets[entry.sheet()].lock();
        let account = outcome.account.0 as usize;
        if sheet.counts.len() <= account {
            sheet.counts.resize_with(account + 1, Counts::default);
        }
        sheet.counts[account].add(outcome);
        let is_kept = entry.is_chosen
            || (!is_plain(outcome)
                && self.inner.recent.takes(&mut sheet.odd, outcome.ended_at(facts.began)));
        // What is kept stands here until it is there, so that it is always to be found.
        let gone = (!is_kept).then(|| sheet.running.try_remove(entry.line as usize));
        drop(sheet);
        // Its memory is freed only when this is gone, too; that need not be under the lock.
        drop(gone);
        self.inner.log.write(facts, outcome);
        if is_kept {
            self.inner.recent.put(entry.serial, facts.clone(), outcome.clone(), capture);
            let mut sheet = self.inner.sheets[entry.sheet()].lock();
            let gone = sheet.running.try_remove(entry.line as usize);
            drop(sheet);
            drop(gone);
        }
    }
}

impl Entry {
    pub(super) fn serial(self) -> u64 {
        self.serial
    }

    fn sheet(self) -> usize {
        sheet(self.serial)
    }
}

/// On which sheet a number stands.
#[expect(clippy::cast_possible_truncation, reason = "there are few sheets")]
fn sheet(serial: u64) -> usize {
    (serial % SHEETS as u64) as usize
}

/// The sheet of this thread.
fn here() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HERE: usize = THREADS.fetch_add(1, Relaxed) % SHEETS;
    }
    HERE.with(|here| *here)
}

/// More workers than these share them.
const SHEETS: usize = 16;
