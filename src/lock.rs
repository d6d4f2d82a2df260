//! A lock for what each request takes: held for some instructions, and never where anything waits, for a disk or for
//! who reads our log. What may take longer has the usual kind (`parking_lot`).
//!
//! Each request takes some twenty of these, nearly always with nobody else at it. A lock that puts threads to sleep has to
//! find out whether there is one to be woken whenever it is left, by an instruction as dear as that which takes it. This
//! one is left by a plain store.

use std::{cell::Cell, hint, thread, time::Duration};

pub(crate) type Mutex<T> = spin::mutex::SpinMutex<T, Briefly>;
pub(crate) type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T, Briefly>;

/// How one waits for a lock.
#[derive(Debug)]
pub(crate) struct Briefly;

impl spin::RelaxStrategy for Briefly {
    /// Called between two looks.
    fn relax() {
        let looks = LOOKS.get().wrapping_add(1);
        LOOKS.set(looks);
        match looks {
            // It takes longer than it should.
            _ if looks.is_multiple_of(LONG) => thread::sleep(MOMENT),
            // Whoever has it may have been taken off the processor.
            _ if looks.is_multiple_of(SHORT) => thread::yield_now(),
            _ => hint::spin_loop(),
        }
    }
}

thread_local! {
    /// At whatever locks.
    static LOOKS: Cell<u32> = const { Cell::new(0) };
}

/// So many looks take less than a microsecond or two.
const SHORT: u32 = 32;
/// Of these, so many yields.
const LONG: u32 = 64 * SHORT;
const MOMENT: Duration = Duration::from_micros(100);
