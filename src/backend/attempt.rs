//! One try to connect to a server.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{dial::NoConnection, lasting::Lasting, link::Link, names, server::Slot};
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
        if let Some(name) = place.to_ask() {
            let found = timeout(until - Instant::now(), names::look_up(name)).await;
            let found = found.map_err(|_| NoConnection::TimedOut)?;
            let found = found.map_err(|error| NoConnection::Name(error.into()))?;
            self.resolved(&place.url, &found);
            if !self.slots.line().has(slot.seats()) {
                return Err(NoLink::Gone);
            }
            place = slot.server().place();
        }
        // Before it is dialled: it is counted from here on.
        let open = slot.server().pool.open();
        let socket = place.dialler.dial(until - Instant::now()).await?;
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
