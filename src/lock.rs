//! A lock for what each request takes: held for some instructions, nearly always, and never over a wait, for a disk to
//! be read or for who reads our log. What may take longer has the usual kind (`parking_lot`). The kernel may take a while
//! for what is closed under one, aged connections and the file of a spool: who waits meanwhile comes to sleep.
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
        for _ in 0..PAUSES {
            hint::spin_loop();
        }
        rest();
    }
}

/// Apart, since it would stand at each place where a lock is taken.
#[cold]
#[inline(never)]
fn rest() {
    let rests = RESTS.get().wrapping_add(1);
    RESTS.set(rests);
    match rests.is_multiple_of(LONG) {
        // It takes longer than it should.
        true => thread::sleep(MOMENT),
        // Whoever has it may have been taken off the processor.
        false => thread::yield_now(),
    }
}

thread_local! {
    /// Of this thread, at whatever locks.
    static RESTS: Cell<u32> = const { Cell::new(0) };
}

/// Before each look but the first.
const PAUSES: u32 = 16;
/// So often the processor is given away before the thread sleeps.
const LONG: u32 = 64;
const MOMENT: Duration = Duration::from_micros(100);
