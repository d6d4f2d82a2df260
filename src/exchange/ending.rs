//! What is known of an exchange once it has ended, and what is kept of it.

use super::Exchange;
use crate::{observe::record::Ended, replay, spool};

impl Exchange {
    /// Notes how it ended, before anybody sees that it did.
    pub(super) fn conclude(&self, ended: Ended, reason: Option<&'static str>) {
        self.record.note(|outcome| {
            outcome.ended = Some(ended);
            // Why the exchange ended says more than why its client left.
            outcome.reason = reason.or(outcome.reason);
        });
        self.tells();
        if self.known.is_none() {
            return;
        }
        if ended != Ended::Delivered {
            self.give_up();
        }
        let mut state = self.shared.state.lock();
        if let Some(open) = &mut state.open {
            open.fate = Some((ended, reason));
            // What is not whole is not for newcomers.
            state.closed |= ended != Ended::Delivered;
        }
    }

    /// Nothing is kept of it: whoever sends the request again runs it again.
    pub(super) fn give_up(&self) {
        drop(self.known.as_ref().and_then(|known| known.claim()));
    }

    /// Keeps the whole answer for those who send the request again, and gives back what is to be
    /// done so that other seawalls have it too.
    pub(super) async fn keep(&self, spool: &spool::Spool) -> Option<Box<replay::Kept>> {
        let claim = self.known.as_ref()?.claim()?;
        let (status, fields) = self.shared.state.lock().open.as_ref()?.head()?;
        // Without it the claim is dropped, and a retry runs.
        let (body, trailers) = spool.retained().await?;
        let trailers = trailers.map(Box::new);
        claim.end(&replay::Answer { status, fields, body, trailers }).map(Box::new)
    }
}
