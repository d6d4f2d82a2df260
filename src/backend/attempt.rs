//! One try to connect to a server.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{dial::NoConnection, lasting::Lasting, link::Link, server::Slot};
use crate::refusal::Refusal;

/// Why there is no connection to a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLink {
    #[error(transparent)]
    NoConnection(#[from] NoConnection),
    #[error("the connection was closed before anything was said")]
    Closed,
    #[error("its name stands for other servers now")]
    Gone,
}

impl Lasting {
    /// A connection to the server of this slot, within that time. Where it is to `listen`, the server must
    /// not close it before that has passed.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        slot: &Slot,
        bound: Duration,
        listen: Option<Duration>,
    ) -> Result<Box<Link>, NoLink> {
        let mut place = slot.server().place();
        let until = Instant::now() + bound.min(place.connect_timeout);
        if place.to_ask().is_some() {
            self.ask_before(slot.server(), until).await?;
            if !self.slots.line().has(slot.seats()) {
                return Err(NoLink::Gone);
            }
            place = slot.server().place();
        }
        // Before it is dialled: it is counted from here on.
        let open = slot.server().pool.open();
        let dialled = tokio::select! {
            biased;
            dialled = place.dialler.dial(until) => dialled,
            // Cancel-safe: what is dropped would lead to where nobody is.
            () = self.moved(slot.seats(), &place) => return Err(NoLink::Gone),
        };
        let socket = dialled.inspect_err(|error| {
            if error.is_nobody() {
                slot.server().is_gone();
            }
        })?;
        let mut link = Link::over(socket, place.number, open);
        match listen {
            Some(listen) if link.closes_within(listen).await => Err(NoLink::Closed),
            _ => Ok(link),
        }
    }
}

impl NoLink {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::NoConnection(NoConnection::Name(_)) => Refusal::NameUnknown,
            Self::NoConnection(NoConnection::Refused) => Refusal::ConnectionRefused,
            Self::NoConnection(NoConnection::TimedOut) => Refusal::ConnectionTimedOut,
            Self::NoConnection(NoConnection::Unreachable(_)) | Self::Gone => Refusal::Unreachable,
            Self::Closed => Refusal::ClosedEarly,
        }
    }
}
