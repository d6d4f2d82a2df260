//! Whether something is due from the client by some time.
//!
//! Nothing is while it waits for its answer, and then its timer, which nobody has taken back, has nobody to wake. Only who
//! is heard is taken off the clock: after a stall, and with HTTP/2, the timer may wake a task once in vain.

use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    task::{Wake, Waker},
};

use super::Connection;

impl Connection {
    /// From here on something is. Whoever was noted as waiting, and then asks whether the timer has gone off, finds that it
    /// has, or is woken by it: here one flag is set and then, in `has_gone_off`, the other looked at, in `wake_by_ref` the
    /// other way round, and all four are in one order.
    pub(crate) fn start_clock(&self) {
        self.on_the_clock.store(true, SeqCst);
    }

    /// Has the timer gone off since it was last set? It may have before, where it was set anew in that moment.
    pub(crate) fn has_gone_off(&self) -> bool {
        self.gone_off.load(SeqCst)
    }

    /// It has gone off.
    pub(crate) fn goes_off(&self) {
        self.gone_off.store(true, SeqCst);
    }

    /// It is about to be set anew. Before that, and not behind it: nothing is lost that goes off from then on.
    pub(crate) fn is_wound(&self) {
        self.gone_off.store(false, Relaxed);
    }

    /// It has come.
    pub(crate) fn stop_clock(&self) {
        self.on_the_clock.store(false, Relaxed);
    }

    /// This is the task that waits.
    pub(crate) fn is_waited_for(&self, task: &Waker) {
        let task = task.clone();
        let before = self.aside.lock().waiting.replace(task);
        // Outside of the lock, as `wake_by_ref` wakes: it may be the last hold on a task.
        drop(before);
    }
}

/// What the timer wakes.
impl Wake for Connection {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.goes_off();
        if !self.on_the_clock.load(SeqCst) {
            return;
        }
        let task = self.aside.lock().waiting.clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}
