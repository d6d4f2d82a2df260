//! What hardly any connection has, and what is hardly ever looked at.

use std::task::Waker;

use super::Connection;
use crate::spool::Piped;

/// What is hardly ever looked at.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Boxed: hardly any connection has it.
    pub(super) rare: Option<Box<Rare>>,
    /// The task that waits while it is on the clock.
    pub(super) waiting: Option<Waker>,
}

/// What hardly any connection has.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) interims: Vec<u8>,
    /// A part of the answer that hyper was handed what stands in for.
    piped: Option<Box<Piped>>,
    /// Why it broke, where the IO knows.
    why: Option<&'static str>,
}

impl Connection {
    /// A part of the answer that goes out in the place of what stands in for it. The one before is out: else it
    /// would not have come.
    pub(crate) fn pass(&self, piped: Box<Piped>) {
        let before = self.aside.lock().rare.get_or_insert_default().piped.replace(piped);
        // Outside of the lock: it tells its spool.
        drop(before);
    }

    /// Of those that were passed, the one that has not been taken yet.
    pub(crate) fn take_piped(&self) -> Option<Box<Piped>> {
        self.aside.lock().rare.as_mut()?.piped.take()
    }

    /// Why the client is gone.
    pub(crate) fn why(&self) -> Option<&'static str> {
        self.aside.lock().rare.as_ref()?.why
    }

    pub(crate) fn note(&self, why: &'static str) {
        self.aside.lock().rare.get_or_insert_default().why.get_or_insert(why);
    }
}
