//! House-wide bounds on what all spools hold together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

/// So many bytes may be taken at once.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<AtomicU64>,
    max: u64,
}

/// Bytes of all spools together, in one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) used: u64,
    pub(crate) max: u64,
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self { used: Arc::default(), max }
    }

    pub(super) fn held(&self) -> Held {
        Held { used: self.used.load(Ordering::Relaxed), max: self.max }
    }

    /// The same budget with another bound.
    pub(super) fn bounded(&self, max: u64) -> Self {
        Self { used: self.used.clone(), max }
    }

    /// An empty share, to be grown.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// Is hardly anything left, or more taken than there is? What is left is for small bodies, and for chunks that
    /// are on their way already.
    pub(super) fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.max - self.max / LEFT
    }

    /// The same bytes; what they keep of memory is taken, even beyond the bound, and given back with the last
    /// handle on them: whoever has one keeps all of it, be it the spool, the disk's thread or what writes to the
    /// client.
    pub(super) fn counted(&self, bytes: Bytes, kept: u64) -> Bytes {
        let mut share = self.share();
        share.grow_anyway(kept);
        Bytes::from_owner(Counted { bytes, _share: share })
    }
}

/// Bytes with their share.
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Share {
    /// Takes `bytes` more, or nothing at all.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.budget.max {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Takes `bytes` more even beyond the bound.
    pub(super) fn grow_anyway(&mut self, bytes: u64) {
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Of the same budget.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// This part of a budget is left when it counts as short.
const LEFT: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_when_the_share_is_dropped() {
        let budget = Budget::new(10);
        let mut one = budget.share();
        let mut two = budget.share();
        assert!(one.grow(7));
        assert!(!two.grow(4));
        assert!(two.grow(3));
        drop(one);
        assert!(two.grow(7));
        assert!(!two.grow(1));
        two.shrink(1);
        assert!(two.grow(1));
    }
}
