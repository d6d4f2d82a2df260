//! The child and all that have come from it, and how they are ended.
//!
//! Whoever uses this has adopted orphans ([`adopt_orphans`]): a process whose parent ends becomes
//! our own child, also one that has left the child's process group. So the family is gone exactly
//! when we have no child left, but for strangers: those that were our children before it began.

use std::{collections::HashMap, fmt, fs, process, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

/// How often it is looked who is left. Only of our own children does the system tell.
const LOOK: Duration = Duration::from_millis(10);
/// How long SIGKILL is repeated: who hangs in the kernel cannot be ended.
const KILLING: Duration = Duration::from_secs(5);

/// How the child has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Exited(i32),
    Signalled(i32),
}

#[derive(Debug)]
pub(super) struct Family {
    /// The child, and by its number the process group that it began in.
    child: Pid,
    strangers: Vec<Pid>,
    status: Option<Status>,
    gone: bool,
}

/// Makes this process the parent of all orphans below it.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "cannot adopt orphans; a child that leaves its group may stay behind");
    }
}

impl Family {
    pub(super) fn of(child: Pid, strangers: &[Pid]) -> Self {
        Self { child, strangers: strangers.into(), status: None, gone: false }
    }

    /// How the child ended, if it has. Takes note of all who have ended.
    pub(super) fn status(&mut self) -> Option<Status> {
        self.reap();
        self.status
    }

    /// SIGINT to the child's group, as a terminal does it; then SIGTERM and at last SIGKILL to all
    /// that are left. `at_once` leaves out what comes before SIGKILL.
    pub(super) async fn end(&mut self, grace: Duration, at_once: impl Future<Output = ()>) {
        let orderly = async {
            // Where nobody is left in it, somebody outside it may be.
            let _ = kill_process_group(self.child, Signal::INT);
            // Who is stopped hears nothing until it goes on.
            let _ = kill_process_group(self.child, Signal::CONT);
            self.wait(grace, Self::has_group).await;
            if !self.gone {
                self.signal(Signal::TERM);
                self.signal(Signal::CONT);
                self.wait(grace, |_| true).await;
            }
        };
        tokio::select! {
            // Cancel-safe: what is dropped only waits.
            () = orderly => {}
            () = at_once => {}
        }
        let until = Instant::now() + KILLING;
        self.reap();
        // Again and again: a fork may slip through between two looks.
        while !self.gone && Instant::now() < until {
            self.signal(Signal::KILL);
            self.wait(LOOK, |_| true).await;
        }
    }

    /// Waits, no longer than `bound`, while somebody is left and `going` holds.
    async fn wait(&mut self, bound: Duration, going: impl Fn(&Self) -> bool) {
        let until = Instant::now() + bound;
        loop {
            self.reap();
            if self.gone || !going(self) || Instant::now() >= until {
                return;
            }
            sleep(LOOK).await;
        }
    }

    fn has_group(&self) -> bool {
        rustix::process::test_kill_process_group(self.child).is_ok()
    }

    fn signal(&self, signal: Signal) {
        let members = members(&self.strangers);
        for member in &members {
            // It may have ended meanwhile.
            let _ = kill_process(*member, signal);
        }
        // Where processes cannot be listed.
        if members.is_empty() && self.has_group() {
            let _ = kill_process_group(self.child, signal);
        }
    }

    fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.child => {
                    let signal = status.terminating_signal().map(Status::Signalled);
                    self.status = signal.or(status.exit_status().map(Status::Exited));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => {
                    self.gone = !self.strangers.is_empty() && members(&self.strangers).is_empty();
                    return;
                }
                // No child is left, and so no process below us.
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

/// All processes below this one, but for some and what is below those.
pub(super) fn members(strangers: &[Pid]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in numbers {
        let stranger = strangers.iter().any(|stranger| stranger.as_raw_nonzero().get() == pid);
        if let Some(parent) = parent_of(pid).filter(|_| !stranger) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![process::id().cast_signed()];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// The fourth field; the second is a name in parentheses, and may hold anything.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

impl Status {
    /// As shells have it.
    pub(super) fn code(self) -> u8 {
        let code = match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(to, "exit code {code}"),
            Self::Signalled(2) => to.write_str("SIGINT"),
            Self::Signalled(6) => to.write_str("SIGABRT"),
            Self::Signalled(9) => to.write_str("SIGKILL"),
            Self::Signalled(11) => to.write_str("SIGSEGV"),
            Self::Signalled(15) => to.write_str("SIGTERM"),
            Self::Signalled(signal) => write!(to, "signal {signal}"),
        }
    }
}
