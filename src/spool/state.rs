//! What a spool holds: how chunks are taken, and let go.

use bytes::{Bytes, BytesMut};

use super::{Place, Retain, State};

/// A chunk on its way into a spool.
pub(super) struct Offer {
    pub(super) chunk: Bytes,
    /// Bytes of memory that it keeps.
    kept: u64,
    is_counted: bool,
}

impl Offer {
    pub(super) fn new(chunk: Bytes, kept: u64) -> Self {
        Self { chunk, kept, is_counted: false }
    }
}

impl State {
    pub(super) fn take_place(&mut self) -> usize {
        let offset = self.floor();
        let place = Some(Place { offset, waker: None });
        match self.readers.iter().position(Option::is_none) {
            Some(free) => {
                self.readers[free] = place;
                free
            }
            None => {
                self.readers.push(place);
                self.readers.len() - 1
            }
        }
    }

    pub(super) fn is_unread(&self) -> bool {
        self.retain == Retain::Nothing && self.readers.iter().all(Option::is_none)
    }

    pub(super) fn release(&mut self) -> u64 {
        if std::mem::replace(&mut self.retain, Retain::Nothing) == Retain::Nothing {
            return 0;
        }
        self.let_go();
        if self.is_unread() { self.written - self.furthest } else { 0 }
    }

    /// Takes the chunk where there is room for it, and says how many bytes were discarded by that;
    /// else `None`. A large one counts from then on, wherever it waits.
    pub(super) fn push(&mut self, offer: &mut Offer, memory: u64) -> Option<u64> {
        let chunk = &mut offer.chunk;
        let len = chunk.len() as u64;
        let mut discarded = 0;
        if let Retain::Upto(bound) = self.retain
            && self.written + len > bound
        {
            discarded = self.release();
        }
        if self.is_unread() {
            self.written += len;
            self.let_go();
            return Some(discarded + len);
        }
        let held = self.written - self.memory_from;
        let is_large = chunk.len() >= LARGE;
        if is_large && !std::mem::replace(&mut offer.is_counted, true) {
            *chunk = self.charged.budget().counted(std::mem::take(chunk), offer.kept);
        }
        let fits = held == 0 || held + len <= self.bound(memory);
        let is_taken = match is_large {
            true => fits && (held == 0 || !self.charged.budget().is_short()),
            false if held == 0 => {
                self.charged.grow_anyway(len);
                true
            }
            false => fits && self.charged.grow(len),
        };
        if !is_taken {
            self.short = true;
            return None;
        }
        self.written += len;
        match self.chunks.back_mut() {
            Some(last) if last.len() + chunk.len() <= SMALL => {
                let mut merged = BytesMut::with_capacity(SMALL);
                merged.extend_from_slice(last);
                merged.extend_from_slice(chunk);
                *last = merged.freeze();
            }
            _ => self.chunks.push_back(chunk.clone()),
        }
        self.wake();
        // Nothing yet: there is a reader, or what was written is retained.
        Some(discarded)
    }

    pub(super) fn wake(&mut self) {
        for place in self.readers.iter_mut().flatten() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// The offset below which nobody will read.
    pub(super) fn floor(&self) -> u64 {
        if self.retain != Retain::Nothing {
            return 0;
        }
        let lowest = self.readers.iter().flatten().map(|place| place.offset).min();
        lowest.unwrap_or(self.written)
    }

    pub(super) fn let_go(&mut self) {
        let floor = self.floor();
        while let Some(first) = self.chunks.front() {
            if self.memory_from + first.len() as u64 > floor {
                break;
            }
            self.drop_first();
        }
        if self.chunks.is_empty() {
            self.memory_from = self.written;
        }
        self.drop_passed_disk();
        self.look_whether_caught_up();
    }

    pub(super) fn look_whether_caught_up(&mut self) {
        if self.chunks.is_empty() && self.disk.is_none() && self.in_pipe.is_nothing() {
            self.pace.caught_up();
        }
    }

    pub(super) fn drop_first(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.first += 1;
            self.memory_from += chunk.len() as u64;
            if chunk.len() < LARGE {
                self.charged.shrink(chunk.len() as u64);
            }
        }
    }

    pub(super) fn is_partly_on_disk(&self) -> bool {
        self.disk.is_some() && !self.chunks.is_empty()
    }

    pub(super) fn drop_passed_disk(&mut self) {
        if self.disk.is_some() && !self.spilling && self.floor() >= self.memory_from {
            self.disk = None;
        }
    }
}

/// Chunks up to this size are merged while nobody reads them: each may hold a whole read buffer.
pub(super) const SMALL: usize = 4096;
/// From this size on a chunk counts for itself, for as long as anybody has it; smaller ones count while they
/// are in the spool.
pub(super) const LARGE: usize = 16 * 1024;
