//! The fragile server behind us: its slots, its connections, how a request is sent to it, and how
//! requests wait while it is away.

mod attempt;
mod child;
mod dial;
mod eject;
mod head;
mod health;
mod hold;
mod inbound;
mod last_lines;
mod lasting;
mod link;
mod look;
mod maps;
mod names;
mod outbound;
mod pool;
mod resolve;
mod send;
mod server;
mod stick;
mod wire;
mod writes;

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

#[cfg(feature = "fuzzing")]
pub use self::inbound::Told;
#[cfg(feature = "fuzzing")]
pub(crate) use self::inbound::of_pieces as answer_of;
use self::lasting::Lasting;
pub(crate) use self::{
    child::{Behind, Child},
    hold::Turn,
    inbound::Piece,
    last_lines::LastLines,
    link::{Fault, Link},
    outbound::Outbound,
    send::{Answer, Sent, Switched, Watched},
    server::{InLine, Server, Slot},
    stick::{Stuck, is_of_server},
    writes::Writes,
};
#[cfg(feature = "steps")]
pub use self::{head::written as write_head, inbound::head_of as read_head};
use crate::{
    admission::queue::{Came, Slots, Terms},
    config,
    observe::books::Account,
    refusal::Refusal,
    tasks::Tasks,
};

/// So often it is looked for those who have waited in the queue for too long.
const LOOK: Duration = Duration::from_millis(50);
/// No more often than this, since all of them are looked at: who waits too long hears of it that much later.
const PAUSE: Duration = Duration::from_millis(10);

/// One backend as one configuration has it. Requests keep the one that they began with; what must
/// not be there twice is [`Lasting`].
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    /// What others know by it, too.
    pub(crate) shared: Shared,
    /// For requests that name no host.
    pub(crate) host: http::HeaderValue,
    /// What the cookie is called that leads a client to the same server again.
    cookie: Option<Arc<str>>,
    /// Of the servers that the configuration names; others have another number.
    pub(crate) number: u64,
    lasting: Arc<Lasting>,
}

/// What a backend has in common with others.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Under which its exchanges are counted.
    pub account: Account,
    /// What is written at its server: those that are one server share it.
    pub writes: Arc<Writes>,
    /// What runs behind it; of all but the first, nothing.
    pub child: Behind,
}

/// A backend that the configuration has no more.
#[derive(Debug)]
pub(crate) struct Retired {
    config: config::Backend,
    shared: Shared,
    lasting: Weak<Lasting>,
}

/// What is known of one server.
#[derive(Debug, Clone)]
pub(crate) struct ServerState {
    pub(crate) name: Arc<str>,
    /// It is sent nobody, since others are there.
    pub(crate) is_out: bool,
    /// It has not answered as it should when it was asked how it is.
    pub(crate) is_unwell: bool,
    pub(crate) slots: usize,
    pub(crate) slots_in_use: usize,
    /// Connections that are kept for the next request.
    pub(crate) kept: usize,
}

impl ServerState {
    fn of(seats: &server::Seats) -> Self {
        Self {
            name: seats.server.name(),
            is_out: seats.is_out(),
            is_unwell: seats.server.conduct.is_unwell(),
            slots: seats.count(),
            slots_in_use: seats.taken(),
            kept: seats.server.pool.len(),
        }
    }
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
    pub(crate) fn new(config: &config::Backend, shared: Shared) -> Arc<Self> {
        Self::over(Lasting::new(config), config, shared)
    }

    /// The same backend as this configuration has it: with the slots, the queue and the connections
    /// that it has, and with what is known of it. Connections are made as is said here from now on,
    /// also for requests that came before.
    pub(crate) fn reloaded(&self, config: &config::Backend, shared: Shared) -> Arc<Self> {
        self.lasting.reload(config);
        Self::over(self.lasting.clone(), config, shared)
    }

    fn over(lasting: Arc<Lasting>, config: &config::Backend, shared: Shared) -> Arc<Self> {
        let (config, host) = (config.clone(), host_of(config.url().host()));
        let number = lasting.number();
        let sticks = config.sticky == config::Sticky::Cookie;
        let cookie = sticks.then(|| stick::cookie_name(&config.name));
        Arc::new(Self { config, shared, host, cookie, number, lasting })
    }

    /// The configuration has it no more: what runs and waits goes to its end, and nothing is kept.
    pub(crate) fn retire(&self) -> Retired {
        self.lasting.retire();
        let Self { config, shared, lasting, .. } = self;
        let (config, shared) = (config.clone(), shared.clone());
        Retired { config, shared, lasting: Arc::downgrade(lasting) }
    }

    /// A slot that is free now. Nobody is overtaken: one that comes free is handed to the first who
    /// waits, and only what nobody waits for can be taken here.
    pub(crate) fn free_slot(&self) -> Option<Slot> {
        self.lasting.slots.free_slot(None)
    }

    /// Takes a slot, or a place in the queue until there is one; none where that is full. Who still waits after
    /// `queue.timeout` is woken, and has to see to that itself. Dropping the future leaves the queue.
    /// Whoever was held, or had a slot before, finds a place even in a full one: `backend.hold.max` is their bound.
    pub(crate) fn slot<'a>(
        &'a self,
        request: &'a Outbound,
        came: Came,
        was_held: bool,
        began: Instant,
    ) -> InLine<'a> {
        let is_bounded = !was_held && came == Came::New;
        let max = if is_bounded { self.config.queue.max } else { usize::MAX };
        let terms = Terms { max, came, began, timeout: self.config.queue.timeout };
        self.lasting.slots.slot(request.at(), terms)
    }

    /// Somebody has begun to wait for a slot: has all who do woken when they have waited long enough, or while the
    /// backend is away, so that they see to it. A timer of its own would cost each as much as the whole
    /// wait, which is short for most.
    pub(crate) fn watch_queue(&self) {
        if !self.lasting.slots.line().is_to_be_watched() {
            return;
        }
        let (lasting, child) = (self.lasting.clone(), self.shared.child.clone());
        Tasks::background(async move {
            let is_out_of_reach =
                || lasting.hold.is_away() || child.state.borrow().crash_loop().is_some();
            let line = lasting.slots.line();
            let mut now = Instant::now();
            while let Some(next) = line.wake(now, is_out_of_reach()) {
                sleep_until(next.clamp(now + PAUSE, now + LOOK)).await;
                now = Instant::now();
            }
        });
    }

    pub(crate) fn slots(&self) -> &Slots<Server> {
        &self.lasting.slots
    }

    /// Waits while the backend is away, and behind those who do, until this request may go on.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        self.lasting.hold.turn(self.config.hold.max).await
    }

    /// May requests go on without waiting, as far as anybody knows? For a child that ends again and
    /// again they do not wait: whoever asks is to see why.
    pub(crate) fn is_there(&self) -> bool {
        self.lasting.hold.is_open() || !self.is_waited_for() || self.crash_loop().is_some()
    }

    /// Is it away, and waited for?
    pub(crate) fn is_away(&self) -> bool {
        self.lasting.hold.is_away() && self.is_waited_for() && self.crash_loop().is_none()
    }

    /// Do requests wait for it while it is away?
    pub(crate) fn holds(&self) -> bool {
        self.is_waited_for() && self.crash_loop().is_none()
    }

    /// Does anybody wait for it at all?
    fn is_waited_for(&self) -> bool {
        !self.config.hold.longest.is_zero() && self.config.hold.max > 0
    }

    /// As far as is known without asking it.
    pub(crate) fn condition(&self) -> Condition {
        match (self.lasting.hold.away_since(), &*self.shared.child.state.borrow()) {
            (_, Child::CrashLoop(_)) => Condition::CrashLoop,
            (Some((since, why)), _) => Condition::Away { since, why },
            (None, Child::Restarting) => Condition::Restarting,
            (None, _) if self.lasting.hold.was_reached() => Condition::Up,
            (None, _) => Condition::Unknown,
        }
    }

    /// Of several servers, the name of the one that this slot is of.
    pub(crate) fn server_of(&self, slot: &Slot) -> Option<Arc<str>> {
        self.lasting.has_several.load(Relaxed).then(|| slot.server().name())
    }

    /// Each of its servers.
    pub(crate) fn servers(&self) -> Vec<ServerState> {
        let servers = self.lasting.slots.servers();
        servers.iter().map(|one| ServerState::of(one)).collect()
    }

    /// How many requests wait for it to come back.
    pub(crate) fn held(&self) -> usize {
        self.lasting.hold.waiting()
    }

    /// How many connections are kept for the next request.
    pub(crate) fn kept(&self) -> usize {
        self.lasting.slots.servers().iter().map(|one| one.server.pool.len()).sum()
    }

    fn crash_loop(&self) -> Option<Refusal> {
        self.shared.child.state.borrow().crash_loop()
    }

    /// Resolves when a request that waits since `came` has waited too long for a backend that is
    /// away.
    pub(crate) async fn outwaited(&self, came: Instant, is_page_load: bool) -> Refusal {
        let mut child = self.shared.child.state.subscribe();
        tokio::select! {
            // Cancel-safe: what is dropped only waits.
            refusal = self.lasting.hold.outwaited(self.config.hold.longest, came, is_page_load) => refusal,
            crash_loop = child.wait_for(|child| child.crash_loop().is_some()) => {
                crash_loop.ok().and_then(|child| child.crash_loop()).unwrap_or(Refusal::Internal)
            }
        }
    }

    /// The same for who looks now and then: when it will have waited too long, and what to say then. None while
    /// the backend is there.
    pub(crate) fn outwaited_at(
        &self,
        came: Instant,
        is_page_load: bool,
    ) -> Option<(Instant, Refusal)> {
        if let Some(crash_loop) = self.crash_loop() {
            return Some((came, crash_loop));
        }
        self.lasting.hold.outwaited_at(self.config.hold.longest, came, is_page_load)
    }

    /// Keeps a connection whose exchange is over, if it can serve another. Before the exchange
    /// gives its slot away: connections, busy and idle together, never outnumber the slots.
    pub(crate) fn keep(slot: &Slot, mut link: Box<Link>, now: Instant) {
        if link.is_ready() {
            link.rest();
            let number = link.server;
            slot.server().pool.keep(link, number, now);
        }
    }

    /// Sees to its connections and names, until it is retired. Once, however often it is called.
    pub(crate) fn tend(&self, tasks: &Tasks) {
        self.lasting.tasks.get_or_init(|| tasks.clone());
        self.lasting.tend();
        self.lasting.look_regularly();
        if self.config.servers.iter().any(|url| names::name(url).is_some()) {
            self.lasting.ask_regularly();
        }
    }
}

impl Retired {
    /// As it was, if anything runs or waits there still.
    pub(crate) fn revive(&self) -> Option<Arc<Backend>> {
        let lasting = self.lasting.upgrade()?;
        Some(Backend::over(lasting, &self.config, self.shared.clone()))
    }
}

fn host_of(name: &str) -> http::HeaderValue {
    http::HeaderValue::from_str(name).unwrap_or(http::HeaderValue::from_static(""))
}
