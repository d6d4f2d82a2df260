//! The signals that seawall takes: those that end it, and SIGHUP.

use std::{fs, io, sync::Arc};

use rustix::process;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};

use crate::observe::access::AccessLog;

/// The signals that seawall takes.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGHUP ends us when our terminal closes: we have one, and are not to outlive it (nohup).
    ends_with_terminal: bool,
    hangups: Arc<Notify>,
    /// A file has reached the length that the system allows (`ulimit -f`). As long as somebody listens, that
    /// is an error for who writes it, and not the end of the process.
    _file_too_long: Signal,
}

impl Signals {
    /// Those of this process.
    ///
    /// # Errors
    /// Where the system refuses to tell.
    pub fn of_process() -> io::Result<Self> {
        // Before we listen to it, which nobody could tell from being told to ignore it.
        let ends_with_terminal = has_terminal() && !is_ignored(process::Signal::HUP);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            ends_with_terminal,
            hangups: Arc::default(),
            _file_too_long: signal(SignalKind::from_raw(process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Told of every SIGHUP that ends nothing, while the next signal is awaited.
    pub(crate) fn hangups(&self) -> Arc<Notify> {
        self.hangups.clone()
    }

    /// The next one that is to end something. Whatever is awaited, SIGHUP opens the log's file anew.
    pub(super) async fn next(&mut self, log: &AccessLog) -> &'static str {
        loop {
            tokio::select! {
                // Cancel-safe: all can be awaited again.
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {
                    // Taken from us by then.
                    if self.ends_with_terminal && !has_terminal() {
                        self.ends_with_terminal = false;
                        return "SIGHUP";
                    }
                    log.reopen();
                    self.hangups.notify_one();
                }
            }
        }
    }
}

fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// By whoever started us. False where it is not known.
fn is_ignored(signal: process::Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
