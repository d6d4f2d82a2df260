//! A lock for what is shared between the tasks of several workers: held for some instructions, and never where anything
//! waits or is read from a disk.
//!
//! Each request takes some twenty of them, nearly always with nobody else at it. A lock that puts threads to sleep has to
//! find out whether there is one to be woken whenever it is left, by an instruction as dear as that which takes it. This
//! one is left by a plain store.

use std::{hint, thread};

pub(crate) type Mutex<T> = spin::mutex::SpinMutex<T, Briefly>;
pub(crate) type MutexGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T, Briefly>;

/// How one waits for a lock.
#[derive(Debug)]
pub(crate) struct Briefly;

impl spin::RelaxStrategy for Briefly {
    fn relax() {
        for _ in 0..LOOKS {
            hint::spin_loop();
        }
        // Whoever has it may have been taken off the processor.
        thread::yield_now();
    }
}

/// A lock is held for about as long as this takes.
const LOOKS: u32 = 16;
