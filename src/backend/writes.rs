//! Which answers may be older than what somebody has written: a count that rises with every unsafe
//! request (RFC 9110, section 9.2.1).

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Rises when an unsafe request is sent, and again before its client learns anything of it: the
/// backend may have read for others in between. While it stands still, nobody has learned of a
/// write, and whoever reads may be given what another reads.
#[derive(Debug, Default)]
pub(crate) struct Writes(AtomicU64);

impl Writes {
    pub(crate) fn raise(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(SeqCst)
    }
}
