//! Whether something is due from the client by some time.
//!
//! Nothing is while it waits for its answer, and then its timer, which nobody has taken back, has nobody to wake. Only who
//! is heard is taken off the clock: after a stall, and with HTTP/2, the timer may wake a task once in vain.

use std::{
    sync::{
        Arc,
        atomic::{
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    task::{Wake, Waker},
};

use super::Connection;

impl Connection {
    /// From here on something is. Whoever looks at the timer after this finds that it has gone off, or is woken by it: the
    /// timer is marked as gone off before it wakes anybody.
    pub(crate) fn start_clock(&self) {
        self.on_the_clock.store(true, Relaxed);
        fence(SeqCst);
    }

    /// It has come.
    pub(crate) fn stop_clock(&self) {
        self.on_the_clock.store(false, Relaxed);
    }

    /// This is the task that waits.
    pub(crate) fn is_waited_for(&self, task: &Waker) {
        *self.waiting.lock() = Some(task.clone());
    }
}

/// What the timer wakes.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        fence(SeqCst);
        if self.on_the_clock.load(Relaxed)
            && let Some(task) = &*self.waiting.lock()
        {
            task.wake_by_ref();
        }
    }
}
