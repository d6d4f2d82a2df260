//! The slots of one server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use smallvec::SmallVec;

/// The slots of one server.
#[derive(Debug)]
pub(crate) struct Seats<S> {
    pub(crate) server: S,
    /// All of these change under the lock of the line, and are read without it: who has a slot knows of
    /// all who had theirs before.
    taken: AtomicUsize,
    count: AtomicUsize,
    is_out: AtomicBool,
}

/// All servers, nearly always one.
pub(crate) type Servers<S> = SmallVec<[Arc<Seats<S>>; 1]>;

/// What became of putting a server out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    /// It is out from now on; others are there.
    Now,
    /// It was so before.
    Already,
    /// There is no other.
    Last,
}

impl<S> Seats<S> {
    pub(crate) fn new(server: S, count: usize) -> Arc<Self> {
        Arc::new(Self {
            server,
            taken: AtomicUsize::new(0),
            count: AtomicUsize::new(count),
            is_out: AtomicBool::new(false),
        })
    }

    /// How many exchanges have one.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// How many there are to be.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Is it sent nobody, as long as another is there?
    pub(crate) fn is_out(&self) -> bool {
        self.is_out.load(Relaxed)
    }

    pub(super) fn are_free(&self) -> bool {
        self.taken() < self.count()
    }

    /// Has it less to do than the other, for what it can?
    pub(super) fn is_less_busy(&self, other: &Self) -> bool {
        self.taken() * other.count() < other.taken() * self.count()
    }

    pub(super) fn take(&self) {
        self.taken.store(self.taken() + 1, Relaxed);
    }

    pub(super) fn give_back(&self) {
        self.taken.store(self.taken() - 1, Relaxed);
    }

    pub(super) fn resize(&self, count: usize) {
        self.count.store(count, Relaxed);
    }

    pub(super) fn put_out(&self, is_out: bool) {
        self.is_out.store(is_out, Relaxed);
    }
}

pub(super) fn is_among<S>(one: &Arc<Seats<S>>, all: &[Arc<Seats<S>>]) -> bool {
    all.iter().any(|other| Arc::ptr_eq(one, other))
}
