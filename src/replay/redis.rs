//! Kept answers and claims that several seawalls share, in a Redis.
//!
//! A claim says that one seawall runs the exchange of a key. It is a value that expires and that
//! its holder renews ([`lease`]): a seawall that is killed renews no more, so its claims are free
//! again after [`Bounds::lease`]. Each change is a script that compares and sets in one step
//! ([`scripts`]).
//!
//! The whole process has one connection ([`link`]), driven by the worker that first needed it: calls
//! are small and go through it side by side, and whether Redis answers is one fact for all.

mod lease;
mod link;
mod scripts;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

pub(crate) use self::lease::Lease;
use self::{
    lease::Held,
    link::Link,
    scripts::{State, Token, Value},
};
use crate::{config::RedisUrl, tasks::Tasks};

/// Kept answers and claims that several seawalls share.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    link: Arc<Link>,
    bounds: Bounds,
    tokens: Arc<Tokens>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// An answer is forgotten when it is so old.
    pub age: Duration,
    /// A claim that is not renewed for so long is free. At least some times `timeout`.
    pub lease: Duration,
    /// Each call to Redis ends within this, connecting included.
    pub timeout: Duration,
}

/// What became of an attempt to claim a key.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The exchange is ours to run.
    Ours(Lease),
    /// Somebody runs it: see [`Redis::ended`].
    Running,
    /// It was run; this is the answer.
    Kept(Bytes),
    /// The key belongs to a request with another fingerprint.
    Other,
}

/// How an exchange that somebody else runs came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Kept(Bytes),
    /// Without an answer, or its seawall is gone: the key can be claimed anew.
    Released,
}

/// Redis did not say whose the key is.
#[derive(Debug, thiserror::Error)]
#[error("{lost}")]
pub(crate) struct Unclaimed {
    pub lost: Lost,
    /// For those who run the exchange all the same: claims the key as soon as Redis is back, if it
    /// is free then, and can be finished like any other.
    pub lease: Lease,
}

/// Why Redis did not do what it was asked to do. All but `Taken` are its own fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error("Redis cannot be reached; check replay.redis and that it runs")]
    Unreachable,
    #[error("Redis does not answer in time")]
    Silent,
    #[error("Redis refuses; check its password, permissions and memory")]
    Refused,
    #[error("Redis holds something that this version of seawall cannot read")]
    Unreadable,
    #[error("somebody else has claimed the key while Redis could not be asked")]
    Taken,
    #[error("the process is ending")]
    Ending,
}

impl Bounds {
    pub(crate) fn keep(age: Duration) -> Self {
        Self { age, lease: LEASE, timeout: TIMEOUT }
    }
}

impl Redis {
    /// Connects when it is first needed.
    pub(crate) fn new(url: &RedisUrl, bounds: Bounds) -> Self {
        let link = Arc::new(Link::new(url.clone(), bounds.timeout));
        Self { link, bounds, tokens: Arc::default() }
    }

    pub(crate) fn is_at(&self, url: &RedisUrl) -> bool {
        self.link.is_to(url)
    }

    /// The same with other bounds.
    pub(crate) fn bounded(&self, bounds: Bounds) -> Self {
        Self { bounds, ..self.clone() }
    }

    /// Claims the key, or says who has it.
    ///
    /// May be dropped at any time: what was claimed is released then.
    pub(crate) async fn claim(
        &self,
        key: &[u8; 32],
        fingerprint: &[u8; 32],
    ) -> Result<Claim, Unclaimed> {
        let held = Arc::new(Held {
            link: self.link.clone(),
            bounds: self.bounds,
            name: scripts::name(key),
            fingerprint: *fingerprint,
            token: self.tokens.token(),
        });
        let (tell, told) = oneshot::channel();
        // A task of its own: a claim that Redis has granted must not be forgotten here because the
        // client left in the meantime. Told to nobody, its lease is dropped, and so released.
        let task = held.clone();
        Tasks::background(async {
            let _ = tell.send(try_claim(task).await);
        });
        let ending = |_| Err(Unclaimed { lost: Lost::Ending, lease: Lease::begin(held) });
        told.await.unwrap_or_else(ending)
    }

    /// Waits until the exchange that somebody else runs under this key is over.
    ///
    /// A loss of Redis is borne for as long as the other's claim holds without it
    /// ([`Bounds::lease`]): to run the exchange in the meantime would be to run it twice.
    ///
    /// It asks again and again, at first often, then less so ([`pause`]): subscribing would need
    /// asking all the same, since nobody announces that a claim has expired.
    pub(crate) async fn ended(
        &self,
        key: &[u8; 32],
        fingerprint: &[u8; 32],
    ) -> Result<Ended, Lost> {
        let name = scripts::name(key);
        let began = Instant::now();
        let mut answered = began;
        // Before the first connection nothing is known that could be forgotten.
        let mut connection = self.link.connections().max(1);
        let mut missing = None;
        loop {
            match self.link.ask(&self.link.scripts.look(&name)).await {
                Ok(Some(value)) => {
                    let value = Value::read(&value)?;
                    if value.fingerprint != *fingerprint {
                        return Ok(Ended::Released);
                    }
                    match value.state {
                        State::Kept(answer) => return Ok(Ended::Kept(answer)),
                        State::Running => connection = self.link.connections(),
                    }
                    (answered, missing) = (Instant::now(), None);
                }
                Ok(None) => {
                    answered = Instant::now();
                    let since = *missing.get_or_insert(answered);
                    // Over a new connection this may be a Redis that was restarted and has
                    // forgotten; whoever runs the exchange tells it again (`Held::renew`).
                    let same = connection == self.link.connections();
                    if same || since.elapsed() >= self.bounds.lease / 2 {
                        return Ok(Ended::Released);
                    }
                }
                Err(lost) if lost == Lost::Unreadable => return Err(lost),
                Err(lost) if answered.elapsed() >= self.bounds.lease => return Err(lost),
                Err(_) => {}
            }
            sleep(pause(began.elapsed())).await;
        }
    }
}

async fn try_claim(held: Arc<Held>) -> Result<Claim, Unclaimed> {
    let value = held.claim().await.and_then(|other| other.as_ref().map(Value::read).transpose());
    match value {
        Ok(None) => Ok(Claim::Ours(Lease::begin(held))),
        Ok(Some(value)) if value.fingerprint != held.fingerprint => Ok(Claim::Other),
        Ok(Some(Value { state: State::Running, .. })) => Ok(Claim::Running),
        Ok(Some(Value { state: State::Kept(answer), .. })) => Ok(Claim::Kept(answer)),
        Err(lost) => Err(Unclaimed { lost, lease: Lease::begin(held) }),
    }
}

/// A tenth of what was waited already, so that asking adds no more than that to a long wait, and
/// within bounds that spare Redis.
fn pause(waited: Duration) -> Duration {
    (waited / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Makes tokens that no other process makes: the seed is random, from the system.
#[derive(Default)]
struct Tokens {
    seed: RandomState,
    next: AtomicU64,
}

impl Tokens {
    fn token(&self) -> Token {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut token = Token::default();
        for (half, bytes) in token.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.seed.hash_one((number, half)).to_be_bytes());
        }
        token
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Tokens")
    }
}

const LEASE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
