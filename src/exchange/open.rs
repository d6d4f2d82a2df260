//! An exchange that others may join: to whom it is open, and the answer as it is offered to them.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, StatusCode, response};

use super::{shared::Head, sharing::Sharing};
use crate::{backend::Writes, observe::record::Ended, spool};

/// What makes an exchange one that others may join.
#[derive(Debug)]
pub(super) struct Open {
    /// The address of who started it.
    pub caller: IpAddr,
    to: To,
    offer: Option<Offer>,
    /// How it ended, and why, for the log of those who joined.
    pub fate: Option<(Ended, Option<&'static str>)>,
}

/// To whom it is open.
#[derive(Debug)]
pub(super) enum To {
    /// Who sends an equal request, unless somebody has written since it was sent.
    Equals { writes: Arc<Writes>, since: u64 },
    /// Who sends the same request once more, and knows it.
    Retries,
}

/// The answer as it is offered to whoever comes.
#[derive(Debug)]
struct Offer {
    parts: response::Parts,
    spool: spool::Spool,
    bodyless: bool,
    brief: bool,
    sharing: Sharing,
    given: bool,
}

impl Open {
    pub(super) fn new(caller: IpAddr, to: To) -> Box<Self> {
        Box::new(Self { caller, to, offer: None, fate: None })
    }

    /// The head of the answer, to be kept.
    pub(super) fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        let parts = &self.offer.as_ref()?.parts;
        Some((parts.status, parts.headers.clone()))
    }

    /// The exchange is about to be sent.
    pub(super) fn begin(&mut self) {
        if let To::Equals { writes, since } = &mut self.to {
            *since = writes.count();
        }
    }

    /// Does the answer perhaps not show what somebody has written?
    pub(super) fn is_outdated(&self) -> bool {
        match &self.to {
            To::Equals { writes, since } => writes.count() != *since,
            To::Retries => false,
        }
    }

    /// From here on, the answer is offered.
    pub(super) fn offer(
        &mut self,
        parts: response::Parts,
        spool: &spool::Spool,
        bodyless: bool,
        brief: bool,
    ) {
        let sharing = match self.to {
            To::Equals { .. } => Sharing::of(&parts.headers),
            // The same caller, by the scope of its key.
            To::Retries => Sharing::All,
        };
        let spool = spool.clone();
        self.offer = Some(Offer { parts, spool, bodyless, brief, sharing, given: false });
    }

    pub(super) fn is_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// The answer from its first byte, where this caller may have it.
    pub(super) fn head_for(&mut self, caller: IpAddr) -> Option<Head> {
        let near = caller == self.caller;
        let offer = self.offer.as_mut()?;
        let may = match offer.sharing {
            Sharing::All => true,
            Sharing::Address => near,
            Sharing::One => near && !offer.given,
        };
        if !may {
            return None;
        }
        let body = spool::Body::Spooled(offer.spool.reader_from_start()?);
        offer.given = true;
        let Offer { bodyless, brief, .. } = *offer;
        Some(Head { parts: offer.parts.clone(), body, bodyless, brief })
    }
}
