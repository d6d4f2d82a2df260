//! Memory that is asked for before it is used.
//!
//! Of thousands of connections and exchanges that wait, nothing is in the processor's caches any more when it is their
//! turn. What they go on with then is asked for at once, and comes while other things are done: one line after the other,
//! each of them would be waited for.

use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Waker,
};

use prefetch_index::prefetch_index;

/// Where something is in memory, and no right to it: it may be gone.
#[derive(Debug, Default)]
pub(crate) struct Extent(AtomicUsize);

/// Asks for all of it, and waits for nothing.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(value: &T) {
    lines(ptr::from_ref(value).cast::<u8>().addr(), size_of_val(value));
}

/// The same for the beginning of the task that is woken by this.
#[inline]
pub(crate) fn prefetch_task(waker: &Waker) {
    // Where it is no task of the runtime's, something is asked for in vain.
    lines(waker.data().addr(), TASK);
}

#[inline]
fn lines(start: usize, len: usize) {
    let start = index(start);
    offsets(len.min(MOST)).for_each(|offset| prefetch_index(NOWHERE, start.wrapping_add(offset)));
}

/// An address as the index of an element of [`NOWHERE`]: the crate takes no addresses, but elements that a slice does not have,
/// since it reads none.
fn index(address: usize) -> usize {
    address.wrapping_sub(NOWHERE.as_ptr().addr())
}

/// One in each line, wherever it begins: it may end in one more than it is long.
fn offsets(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(LINE).chain(len.checked_sub(1))
}

impl Extent {
    /// It is that of this value from here on.
    #[inline]
    pub(crate) fn set<T: ?Sized>(&self, value: &T) {
        let (start, len) = (ptr::from_ref(value).cast::<u8>().addr(), size_of_val(value));
        self.0.store(start << LENGTH | len.min(MOST), Relaxed);
    }

    /// Asks for what is there.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let (start, len) = self.get();
        lines(start, len);
    }

    /// Nothing is there any more.
    #[inline]
    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    /// Asks for it and clears it. False where there was nothing.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        let is_there = self.0.load(Relaxed) != 0;
        if is_there {
            self.prefetch();
            self.clear();
        }
        is_there
    }

    pub(crate) fn get(&self) -> (usize, usize) {
        let extent = self.0.load(Relaxed);
        (extent >> LENGTH, extent & MOST)
    }
}

/// What the processor fetches at a time.
const LINE: usize = 64;
/// No byte.
const NOWHERE: &[u8] = &[];
/// Of a task, what is looked at first.
const TASK: usize = 256;
/// So many bits of an extent are its length, and the others an address: of 64 bits they are enough. Of 32 they are not, and
/// what is asked for then is something else, in vain.
const LENGTH: u32 = 12;
/// No more bytes are asked for at once.
const MOST: usize = (1 << LENGTH) - 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_extent_is_asked_for_in_all_of_its_lines() {
        for start in 0..2 * LINE {
            for len in 0..5 * LINE {
                let asked: BTreeSet<_> =
                    offsets(len).map(|offset| (start + offset) / LINE).collect();
                let all: BTreeSet<_> = (start..start + len).map(|at| at / LINE).collect();
                assert_eq!(asked, all, "{len} from {start}");
            }
        }
    }

    #[test]
    fn an_address_is_found_by_its_index() {
        let value = 0_u64;
        let address = ptr::from_ref(&value).addr();
        assert_eq!(NOWHERE.as_ptr().wrapping_add(index(address)).addr(), address);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn an_extent_is_that_of_its_value_and_taken_once() {
        let (value, extent) = (vec![0_u8; 300], Extent::default());
        assert!(!extent.take());
        extent.set(&*value);
        assert_eq!(extent.get(), (value.as_ptr().addr(), 300));
        assert!(extent.take());
        assert!(!extent.take());
        let large = vec![0_u8; 3 * MOST];
        extent.set(&*large);
        assert_eq!(extent.get(), (large.as_ptr().addr(), MOST));
        extent.clear();
        assert!(!extent.take());
    }
}
