//! A claim in our hands: renewed while it lives, then finished or released.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    Bounds, Lost,
    link::Link,
    scripts::{self, Token},
};
use crate::tasks::Tasks;

/// Ours until it is finished or dropped; renews itself while it lives.
///
/// Dropped, it is released in the background, so that a retry can run.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Arc<Held>,
    /// Once this is gone, the task that renews releases.
    keeper: oneshot::Sender<Finish>,
}

/// What a claim is made of. Nothing happens when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub link: Arc<Link>,
    pub bounds: Bounds,
    pub name: String,
    pub fingerprint: [u8; 32],
    pub token: Token,
}

#[derive(Debug)]
struct Finish {
    kept: Vec<u8>,
    done: oneshot::Sender<Result<(), Lost>>,
}

impl Lease {
    pub(super) fn begin(held: Arc<Held>) -> Self {
        let (keeper, end) = oneshot::channel();
        Tasks::background(held.clone().keep(end));
        Self { held, keeper }
    }

    /// Puts the answer in the place of the claim.
    ///
    /// Where Redis is lost this returns as soon as that is known, and the answer is kept later, as
    /// long as Redis comes back within [`PATIENCE`].
    pub(crate) async fn finish(self, answer: &[u8]) -> Result<(), Lost> {
        let kept = scripts::kept(&self.held.fingerprint, &self.held.token, answer);
        let (done, told) = oneshot::channel();
        self.keeper.send(Finish { kept, done }).map_err(|_| Lost::Ending)?;
        told.await.unwrap_or(Err(Lost::Ending))
    }
}

impl Held {
    /// Claims, or renews: nothing if it is ours now, else what stands there.
    pub(super) async fn claim(&self) -> Result<Option<Bytes>, Lost> {
        let running = scripts::running(&self.fingerprint, &self.token);
        let lease = self.bounds.lease;
        self.link.ask(&self.link.scripts.claim(&self.name, &running, lease)).await
    }

    /// The life of the task behind a lease. It alone speaks for the claim, so that nothing of it
    /// overtakes anything else.
    async fn keep(self: Arc<Self>, mut end: oneshot::Receiver<Finish>) {
        let finish = tokio::select! {
            // Cancel-safe: a renewal may be sent once, twice, or not at all.
            finish = &mut end => finish,
            () = self.renew() => end.await,
        };
        match finish {
            Ok(finish) => self.finish(finish).await,
            Err(_) => self.release().await,
        }
    }

    /// Renews until somebody else has the key.
    async fn renew(&self) {
        loop {
            self.turn().await;
            if let Ok(Some(_)) = self.claim().await {
                // Who finishes it is told so too, and knows which request it was.
                return tracing::debug!(key = self.name, "replay: {}", Lost::Taken);
            }
        }
    }

    async fn finish(&self, Finish { kept, done }: Finish) {
        let stored = self.store(&kept).await;
        let _ = done.send(stored);
        if !is_to_be_tried_again(stored) {
            return;
        }
        let kibibytes = u32::try_from(kept.len() / 1024 + 1).unwrap_or(u32::MAX);
        // So much waits for Redis already that this answer is given up.
        let Ok(_room) = self.link.waiting.try_acquire_many(kibibytes) else { return };
        let until_stored = async {
            loop {
                self.turn().await;
                if !is_to_be_tried_again(self.store(&kept).await) {
                    return;
                }
            }
        };
        let _ = timeout(PATIENCE, until_stored).await;
    }

    async fn store(&self, kept: &[u8]) -> Result<(), Lost> {
        let running = scripts::running(&self.fingerprint, &self.token);
        let finish = self.link.scripts.finish(&self.name, &running, kept, self.bounds.age);
        match self.link.ask(&finish).await? {
            None => Ok(()),
            Some(_) => Err(Lost::Taken),
        }
    }

    async fn release(&self) {
        let running = scripts::running(&self.fingerprint, &self.token);
        // Where Redis does not answer, the claim expires.
        let _ = self.link.ask(&self.link.scripts.release(&self.name, &running)).await;
    }

    /// Until it is time to speak to Redis again: early enough for two more attempts before the
    /// claim expires, and at once when there is a new connection, behind which may be a Redis that
    /// has forgotten everything.
    async fn turn(&self) {
        let known = self.link.connections();
        tokio::select! {
            // Cancel-safe: both only wait.
            () = sleep(self.bounds.lease / 3) => {}
            () = self.link.connected_anew(known) => {}
        }
    }
}

fn is_to_be_tried_again(stored: Result<(), Lost>) -> bool {
    matches!(stored, Err(Lost::Unreachable | Lost::Silent | Lost::Refused))
}

/// How long an answer waits for a Redis that was lost.
const PATIENCE: Duration = Duration::from_secs(60);
