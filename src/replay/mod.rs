//! Replay: a request that is answered from the result of one before, running or over.
//!
//! [`key`] says which requests are the same; [`memory`] knows those of this process; [`redis`] those
//! of all seawalls that stand behind one name; [`answer`] makes bytes of an answer and an answer of
//! bytes.
//!
//! Of requests with the same name, one is the first and holds a [`Claim`]. Its exchange ends in an
//! answer that is kept, or the claim is dropped and the next one is the first. Where Redis is lost
//! requests go on with what this process knows. But a request that is known to run at another
//! seawall is not run here as well, whatever becomes of Redis.

pub(crate) mod answer;
mod key;
mod memory;
pub(crate) mod redis;

use bytes::Bytes;

pub(crate) use self::{
    answer::Answer,
    key::{Key, Name, Naming},
    memory::{Claim, InMemory},
};
use self::{
    memory::{Bounds, Look, Memory},
    redis::{Ended, Lease, Redis},
};
use crate::config::{self, WhileRunning};

/// What is known of requests that have a key. `R`: a running exchange, for those who attach to it.
#[derive(Debug)]
pub(crate) struct Replay<R> {
    memory: Memory<R>,
    redis: Option<Redis>,
    while_running: WhileRunning,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Turn<R, T> {
    /// The request is to be run, and its claim kept or dropped.
    Run(Claim<R>),
    /// It runs, and this is what attaching to it gave.
    Attached(T),
    /// It was run.
    Kept(Answer),
}

/// Why a request can be neither run nor answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTurn {
    #[error("the key was used for another request")]
    Other,
    #[error("the request runs, and is not open to retries")]
    Running,
    #[error("the request was run by another seawall, and its result cannot be had")]
    Unknown,
}

/// An answer that is kept here, and is to be told to all seawalls.
#[derive(Debug)]
pub(crate) struct Kept {
    lease: Lease,
    answer: Bytes,
}

impl<R> Replay<R> {
    pub(crate) fn new(config: &config::Replay) -> Self {
        let redis = |url| Redis::new(url, redis::Bounds::keep(config.keep));
        Self {
            memory: Memory::new(bounds(config)),
            redis: config.redis.as_ref().map(redis),
            while_running: config.while_running,
        }
    }

    /// The same with what this configuration says. What runs goes on with the Redis that it began
    /// with.
    pub(crate) fn reloaded(&self, config: &config::Replay) -> Self {
        let keep = redis::Bounds::keep(config.keep);
        let redis = |url| match self.redis.as_ref().filter(|redis| redis.is_at(url)) {
            Some(redis) => redis.bounded(keep),
            None => Redis::new(url, keep),
        };
        Self {
            memory: self.memory.bounded(bounds(config)),
            redis: config.redis.as_ref().map(redis),
            while_running: config.while_running,
        }
    }

    /// What is kept by this process.
    pub(crate) fn in_memory(&self) -> InMemory {
        self.memory.kept()
    }

    /// Run, attach or replay. Waits only for what other seawalls run, and for those who find out
    /// the same at the same time. May be dropped at any time.
    pub(crate) async fn turn<T>(
        &self,
        name: &Name,
        attach: impl Fn(&R) -> Option<T>,
    ) -> Result<Turn<R, T>, NoTurn> {
        let attaches = self.while_running == WhileRunning::Attach;
        loop {
            match self.memory.look(name, |running| attaches.then(|| attach(running)).flatten()) {
                Look::First(claim) => return self.claim(claim).await,
                Look::Claimed(mut until) if attaches => {
                    // An error says that it is known now.
                    let _ = until.changed().await;
                }
                Look::Running(Some(exchange)) => return Ok(Turn::Attached(exchange)),
                Look::Claimed(_) | Look::Running(None) => return Err(NoTurn::Running),
                Look::Kept(answer) => return replayed(answer),
                Look::Other => return Err(NoTurn::Other),
            }
        }
    }

    /// Asks the other seawalls, where there are some.
    async fn claim<T>(&self, mut claim: Claim<R>) -> Result<Turn<R, T>, NoTurn> {
        let Some(redis) = &self.redis else { return Ok(Turn::Run(claim)) };
        let Name { key, fingerprint } = claim.name;
        loop {
            let kept = match redis.claim(&key, &fingerprint).await {
                Ok(redis::Claim::Ours(lease)) => {
                    claim.lease = Some(lease);
                    return Ok(Turn::Run(claim));
                }
                // The store has said so in the log.
                Err(unclaimed) => {
                    claim.lease = Some(unclaimed.lease);
                    return Ok(Turn::Run(claim));
                }
                Ok(redis::Claim::Other) => return Err(NoTurn::Other),
                Ok(redis::Claim::Kept(answer)) => answer,
                Ok(redis::Claim::Running) if self.while_running == WhileRunning::Conflict => {
                    return Err(NoTurn::Running);
                }
                Ok(redis::Claim::Running) => match redis.ended(&key, &fingerprint).await {
                    Ok(Ended::Kept(answer)) => answer,
                    Ok(Ended::Released) => continue,
                    // The other one may have run it to its end: never twice by our doing.
                    Err(_) => return Err(NoTurn::Unknown),
                },
            };
            claim.keep(kept.clone());
            return replayed(kept);
        }
    }
}

impl<R> Claim<R> {
    /// Keeps the answer for retries here; gives back what is to be done for those elsewhere.
    pub(crate) fn end(mut self, answer: &Answer) -> Option<Kept> {
        let answer = Bytes::from(answer.encode());
        self.keep(answer.clone());
        Some(Kept { lease: self.lease.take()?, answer })
    }
}

impl Kept {
    /// Bounded in time: where Redis is lost, the answer is told to it later, or never.
    pub(crate) async fn tell(self) {
        if let Err(lost) = self.lease.finish(&self.answer).await {
            tracing::debug!(%lost, "an answer is kept by this seawall alone for now");
        }
    }
}

fn bounds(config: &config::Replay) -> Bounds {
    Bounds { entries: config.entries, total: config.total, age: config.keep }
}

fn replayed<R, T>(kept: Bytes) -> Result<Turn<R, T>, NoTurn> {
    match Answer::decode(kept) {
        Ok(answer) => Ok(Turn::Kept(answer)),
        Err(unreadable) => {
            tracing::error!(%unreadable, "a request was run, and its answer is lost");
            Err(NoTurn::Unknown)
        }
    }
}
