//! A lock for what each request takes: held for some instructions, nearly always, and never over a wait, for a disk to
//! be read or for who reads our log. What may take longer has the usual kind (`parking_lot`). The kernel may take a while
//! for what is closed under one, aged connections and the file of a spool: who waits meanwhile comes to sleep.
//!
//! Each request takes some twenty of these, nearly always with nobody else at it. A lock that puts threads to sleep has to
//! find out whether there is one to be woken whenever it is left, by an instruction as dear as that which takes it. This
//! one is left by a plain store.

use std::{
    hint,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    thread,
    time::Duration,
};

use spin::mutex::{SpinMutex, SpinMutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(SpinMutex<T>);

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: SpinMutexGuard<'a, T>,
    /// Not `Send`: a task that kept it over an await would not compile. Of what is no task, clippy says so.
    here: PhantomData<*const ()>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let guard = match self.0.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        };
        MutexGuard { guard, here: PhantomData }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    /// Apart, since it would stand at each place where a lock is taken.
    #[cold]
    #[inline(never)]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        let mut rests = 0_u32;
        loop {
            for _ in 0..LOOKS {
                hint::spin_loop();
                // Looked at before it is asked for: who only looks does not take it from the other one's cache.
                if !self.0.is_locked()
                    && let Some(guard) = self.0.try_lock()
                {
                    return guard;
                }
            }
            rests += 1;
            match rests > YIELDS {
                // It takes longer than it should.
                true => thread::sleep(MOMENT),
                // Whoever has it may have been taken off the processor.
                false => thread::yield_now(),
            }
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// With a pause before each.
const LOOKS: u32 = 32;
/// So often the processor is given away before the thread sleeps.
const YIELDS: u32 = 64;
const MOMENT: Duration = Duration::from_micros(100);
