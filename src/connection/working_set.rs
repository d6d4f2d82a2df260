//! What a connection of HTTP/1 goes on with once the exchange that it waits for has its slot, or its answer.

use crate::{exchange, prefetch::Extent};

/// By its addresses alone: each of these is held by another.
#[derive(Debug, Default)]
pub(crate) struct WorkingSet {
    /// Where its task runs it.
    pub(crate) exchange: exchange::Extents,
    pub(crate) record: Extent,
    /// What the backend gets.
    pub(crate) request: Extent,
    /// In hyper's place for it, as the next.
    pub(crate) visit: Extent,
    pub(crate) reply: Extent,
    /// hyper's buffer, where the head of an answer is written.
    pub(crate) head: Extent,
    /// The socket's side.
    pub(crate) io: Extent,
}

impl WorkingSet {
    /// Asks for all of it, once for each exchange: from then on it is there.
    #[inline]
    pub(super) fn prefetch(&self) {
        let Self { exchange, record, request, visit, reply, head, io } = self;
        if exchange.running.take() {
            // In the order in which it is needed.
            for extent in [visit, &exchange.shared, record, request, io, head, reply] {
                extent.prefetch();
            }
        }
    }

    /// No exchange is waited for any more.
    #[inline]
    pub(crate) fn forget(&self) {
        self.exchange.running.clear();
    }
}
