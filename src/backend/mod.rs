//! The fragile server behind us: its slots, its connections, how a request is sent to it, and how
//! requests wait while it is away.

mod again;
mod child;
mod dial;
mod driver;
mod hold;
mod interim;
mod last_lines;
mod link;
mod look;
mod pool;
mod send;
mod wire;
mod writes;

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

#[cfg(fuzzing)]
pub(crate) use self::interim::of_pieces as interim_answers;
pub(crate) use self::{
    again::Again,
    child::Child,
    hold::Turn,
    last_lines::LastLines,
    link::Link,
    send::{Answer, Outbound, Sent, Switched, Watched},
    writes::Writes,
};
use self::{dial::Dialler, hold::Hold, look::Look, pool::Pool};
use crate::{admission::queue::Slots, config, observe::books::Account, refusal::Refusal};

/// One backend, for the whole house.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    /// Under which its exchanges are counted.
    pub(crate) account: Account,
    pub(crate) slots: Slots,
    /// Where some route to its server joins requests.
    pub(crate) writes: Option<Arc<Writes>>,
    /// For requests that name no host.
    pub(crate) host: http::HeaderValue,
    /// Sent by the supervisor; whoever waits for the backend subscribes to it.
    pub(crate) child: watch::Sender<Child>,
    /// What the child wrote; empty where the backend is not our child.
    pub(crate) output: LastLines,
    dialler: Dialler,
    hold: Hold,
    pool: Pool,
    look: Look,
}

/// What is known of a backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Condition {
    /// Nobody has asked it anything yet.
    Unknown,
    Up,
    /// It cannot be reached, for this reason.
    Away {
        since: Instant,
        why: &'static str,
    },
    /// Our child, which will be back soon.
    Restarting,
    /// Our child, which has ended again and again.
    CrashLoop,
}

impl Condition {
    /// All that [`Self::word`] says.
    pub(crate) const WORDS: [&str; 5] = ["unknown", "up", "away", "restarting", "crash_loop"];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Away { .. } => "away",
            Self::Restarting => "restarting",
            Self::CrashLoop => "crash_loop",
        }
    }
}

impl Backend {
    pub(crate) fn new(
        config: &config::Backend,
        writes: Option<Arc<Writes>>,
        account: Account,
    ) -> Arc<Self> {
        Arc::new(Self {
            account,
            writes,
            slots: Slots::new(config.max_concurrency, &config.queue),
            host: host_of(config.url.host()),
            child: watch::Sender::default(),
            output: LastLines::default(),
            dialler: Dialler::new(config),
            hold: Hold::new(&config.name, &config.hold),
            pool: Pool::new(config.max_concurrency, config.idle),
            look: Look::default(),
            config: config.clone(),
        })
    }

    /// Waits while the backend is away, and behind those who do, until this request may go on.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        self.hold.turn().await
    }

    /// May requests go on without waiting, as far as anybody knows? For a child that ends again and
    /// again they do not wait: whoever asks is to see why.
    pub(crate) fn is_there(&self) -> bool {
        self.hold.is_open() || self.crash_loop().is_some()
    }

    /// Is it away, and waited for?
    pub(crate) fn is_away(&self) -> bool {
        self.hold.is_away() && self.crash_loop().is_none()
    }

    /// Do requests wait for it while it is away?
    pub(crate) fn holds(&self) -> bool {
        self.hold.is_on() && self.crash_loop().is_none()
    }

    /// As far as is known without asking it.
    pub(crate) fn condition(&self) -> Condition {
        match (self.hold.away_since(), &*self.child.borrow()) {
            (_, Child::CrashLoop(_)) => Condition::CrashLoop,
            (Some((since, why)), _) => Condition::Away { since, why },
            (None, Child::Restarting) => Condition::Restarting,
            (None, _) if self.hold.was_reached() => Condition::Up,
            (None, _) => Condition::Unknown,
        }
    }

    /// How many requests wait for it to come back.
    pub(crate) fn held(&self) -> usize {
        self.hold.waiting()
    }

    /// How many connections are kept for the next request.
    pub(crate) fn kept(&self) -> usize {
        self.pool.len()
    }

    fn crash_loop(&self) -> Option<Refusal> {
        self.child.borrow().crash_loop()
    }

    /// Resolves when a request that waits since `came` has waited too long for a backend that is
    /// away.
    pub(crate) async fn outwaited(&self, came: Instant, is_page_load: bool) -> Refusal {
        let mut child = self.child.subscribe();
        tokio::select! {
            // Cancel-safe: what is dropped only waits.
            refusal = self.hold.outwaited(came, is_page_load) => refusal,
            crash_loop = child.wait_for(|child| child.crash_loop().is_some()) => {
                crash_loop.ok().and_then(|child| child.crash_loop()).unwrap_or(Refusal::Internal)
            }
        }
    }

    /// Keeps a connection whose exchange is over, if it can serve another. Before the exchange
    /// gives its slot away: connections, busy and idle together, never outnumber the slots.
    pub(crate) fn keep(&self, mut link: Box<Link>, now: Instant) {
        if link.is_ready() {
            link.was_kept = true;
            self.pool.keep(link, now);
        }
    }

    /// Closes kept connections as they come of age. Runs until the process ends.
    pub(crate) async fn close_aged(self: Arc<Self>) {
        self.pool.close_aged().await;
    }
}

fn host_of(name: &str) -> http::HeaderValue {
    http::HeaderValue::from_str(name).unwrap_or(http::HeaderValue::from_static(""))
}
