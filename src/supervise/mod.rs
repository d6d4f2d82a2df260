//! The life of the child: the command that is given behind `--` and runs behind us.
//!
//! - `command`: what is to be run, and how it is told its port; `servers`: those that are known
//! - `life`: one life of the child, from its start to the end of its family
//! - `keeper`: the process in between, which ends that family even where we are killed
//! - `family`: all that have come from the child, and how they are ended
//! - `output`: what it writes

mod command;
mod family;
mod keeper;
mod life;
mod output;
mod servers;

use std::{io, pin::pin, sync::Arc, time::Duration};

use rustix::process::Pid;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    command::{Command, NoWay},
    keeper::Keeper,
    life::NotStarted,
};
use self::{family::Status, life::Life};
use crate::{
    backend::{Behind, Child},
    observe::output::Output,
    tasks::Tasks,
};

/// The pause before the child is started again; each one is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Who has lived so long was well: the next pause is the first again.
const WELL: Duration = Duration::from_secs(10);
/// So many lives in a row that were shorter are a crash loop.
const CRASH_LOOP: u32 = 3;

/// The last answer is out when the child is to end, but the view that gave it may still be at its
/// last lines: a signal there is a traceback (seen with gunicorn's sync worker).
const SETTLE: Duration = Duration::from_millis(100);

/// What is run, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) command: Command,
    /// After SIGINT, and again after SIGTERM.
    pub(crate) grace: Duration,
    /// It is not started again, and its end is ours.
    pub(crate) once: bool,
    /// The soft limit of descriptors that it is to have.
    pub(crate) descriptors: u64,
}

/// A child that runs, and is started again when it ends.
#[derive(Debug)]
pub(crate) struct Supervisor {
    orders: Orders,
    /// Gives the child's exit code once nothing is left of it.
    over: oneshot::Receiver<u8>,
}

/// What the child is to do. Given once, they hold.
#[derive(Debug, Clone, Default)]
struct Orders {
    end: CancellationToken,
    /// With SIGKILL.
    at_once: CancellationToken,
}

/// Our output streams.
#[derive(Debug, Clone)]
struct Streams {
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

/// The lives of one command, one after the other.
struct Lives {
    plan: Plan,
    /// Every line of its output begins with it.
    mark: String,
    /// Told of it.
    child: Behind,
    orders: Orders,
    streams: Streams,
    /// Who was our child before: where a script became us, what it had put into the background.
    strangers: Vec<Pid>,
    /// Lives in a row that were short.
    short: u32,
}

impl Supervisor {
    /// Starts the command, and from then on tells `child` how it is.
    pub(crate) async fn start(plan: Plan, child: Behind) -> Result<Self, NotStarted> {
        let strangers = family::members(&[]);
        family::adopt_orphans();
        let streams = Streams {
            stdout: Output::start("child-stdout", Duration::ZERO, io::stdout()),
            stderr: Output::start("child-stderr", Duration::ZERO, io::stderr()),
        };
        let orders = Orders::default();
        let lives = Lives {
            mark: format!("{} | ", plan.command.name()),
            plan,
            child,
            orders: orders.clone(),
            streams,
            strangers,
            short: 0,
        };
        let first = lives.start().await?;
        if !lives.plan.command.is_told() {
            let port = lives.plan.command.port();
            tracing::info!(
                port,
                "the command is not one that is known: it must listen on PORT; if it has a port of its own, give --port-of"
            );
        }
        let (ending, over) = oneshot::channel();
        Tasks::background(async move {
            let code = lives.run(first).await;
            // Nobody waits for it where the process ends in another way.
            let _ = ending.send(code);
        });
        Ok(Self { orders, over })
    }

    /// Waits for the end of a child that is run once, and gives its exit code.
    pub(crate) async fn ended_by_itself(&mut self) -> u8 {
        match (&mut self.over).await {
            Ok(code) => code,
            // The task was lost: a fault of ours, which must not look like an end.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends the child: in order, or at once when `hurry` comes. Nothing is left of it then, and its
    /// output is written.
    pub(crate) async fn end(mut self, hurry: impl Future<Output = ()>) {
        let mut hurry = pin!(hurry);
        tokio::select! {
            () = sleep(SETTLE) => {}
            () = hurry.as_mut() => self.orders.at_once.cancel(),
        }
        self.orders.end.cancel();
        if !self.over.is_terminated() {
            tokio::select! {
                biased;
                // Cancel-safe: it is awaited further.
                _ = &mut self.over => {}
                () = hurry, if !self.orders.at_once.is_cancelled() => {
                    self.orders.at_once.cancel();
                    let _ = (&mut self.over).await;
                }
            }
        }
    }
}

impl Lives {
    /// One life after the other, until the child is to end, or has ended and was to run once.
    async fn run(mut self, first: Life) -> u8 {
        let mut started: Result<Life, NotStarted> = Ok(first);
        loop {
            let began = Instant::now();
            let (ended, code) = match started {
                Ok(life) => {
                    let status = self.follow(life).await;
                    (status.to_string(), status.code())
                }
                Err(error) => (error.to_string(), u8::MAX),
            };
            if self.orders.end.is_cancelled() {
                return code;
            }
            // How it ended stands last.
            self.child.output.push(&format!("[{ended}]"));
            let lived = began.elapsed();
            self.short = if lived < WELL { self.short + 1 } else { 1 };
            let lived = format_args!("{:.1} s", lived.as_secs_f64()).to_string();
            if self.plan.once {
                self.tell(Child::CrashLoop(self.child.output.text().into()));
                tracing::info!(ended, lived, "the command has ended");
                return code;
            }
            let pause = pause(self.short);
            tracing::warn!(ended, lived, ?pause, "the command has ended; it is started again");
            if self.short >= CRASH_LOOP {
                self.tell(Child::CrashLoop(self.child.output.text().into()));
            } else {
                self.tell(Child::Restarting);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.orders.end.cancelled() => return code,
            }
            self.child.output.begin();
            started = self.start().await;
        }
    }

    async fn start(&self) -> Result<Life, NotStarted> {
        let life = Life::start(&self.plan).await?;
        let (port, pid) = (self.plan.command.port(), life.pid());
        tracing::info!(command = %self.plan.command, port, pid, "the command is started");
        // In a crash loop it has to prove itself first.
        if self.short < CRASH_LOOP {
            self.tell(Child::Running);
        }
        Ok(life)
    }

    async fn follow(&self, life: Life) -> Status {
        let mut whole = pin!(life.live(self));
        let status = match timeout(WELL, &mut whole).await {
            Ok(status) => status,
            Err(_) => {
                self.tell(Child::Running);
                whole.await
            }
        };
        // What is said of its end stands behind its last lines.
        self.streams.stdout.settled().await;
        self.streams.stderr.settled().await;
        status
    }

    fn tell(&self, child: Child) {
        self.child.state.send_replace(child);
    }
}

fn pause(short: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(short.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_to_their_bound() {
        let pauses: Vec<u128> = (1..=9).map(|short| pause(short).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
