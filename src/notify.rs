//! What the service manager is told of us (`sd_notify(3)`), where one has started us.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::tasks::Tasks;

/// Variables of the service manager that are for us, and for no child.
pub(crate) const VARIABLES: [&str; 6] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// All listeners are open.
pub(crate) fn ready(places: &[String]) {
    tell(&format!("READY=1\nSTATUS=listening on {}", places.join(", ")));
}

/// The configuration is about to be read again; [`ready`] follows, whatever comes of it. systemd
/// (`Type=notify-reload`) tells by the time which order this answers.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
}

/// The drain has begun, and may take so long: the manager is to wait, whatever its own bound.
pub(crate) fn stopping(connections: usize, exchanges: usize, longest: Duration) {
    // What is longer than it can count is no bound.
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    tell(&format!(
        "STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\n\
         STATUS=draining: {connections} connections, {exchanges} exchanges"
    ));
}

/// Tells the watchdog twice in its time that we are alive, where it asks for that, and as long as
/// every worker gets round to its tasks. Runs until the process ends.
pub(crate) async fn feed_watchdog(workers: Vec<Handle>) {
    let Some(half) = watchdog().map(|bound| bound / 2) else { return };
    loop {
        match are_alive(&workers, half).await {
            true => tell("WATCHDOG=1"),
            false => tracing::error!("a worker does not get round to its tasks"),
        }
        sleep(half).await;
    }
}

/// Does each of them run what it is given, within this time?
async fn are_alive(workers: &[Handle], within: Duration) -> bool {
    let ask = |worker: &Handle| {
        let (answer, asked) = oneshot::channel();
        let _there = worker.enter();
        Tasks::background(async move {
            // Where nobody listens any more, it was too late.
            let _ = answer.send(());
        });
        asked
    };
    let asked: Vec<_> = workers.iter().map(ask).collect();
    let all = async {
        for answer in asked {
            // An error is a worker that has ended, as all will.
            let _ = answer.await;
        }
    };
    timeout(within, all).await.is_ok()
}

/// Its bound, where it is meant for this process.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let for_us = env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(process::id().into());
    number("WATCHDOG_USEC").filter(|bound| for_us && *bound > 0).map(Duration::from_micros)
}

fn tell(state: &str) {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return };
    let try_it = || -> io::Result<usize> {
        let place = match place.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&place)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &place)
    };
    if let Err(error) = try_it() {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[tokio::test]
    async fn one_worker_that_stands_still_is_noticed() {
        let here = Handle::current();
        // Nobody runs it.
        let still = Builder::new_current_thread().build().expect("a runtime");
        assert!(are_alive(std::slice::from_ref(&here), Duration::from_secs(10)).await);
        assert!(!are_alive(&[here, still.handle().clone()], Duration::from_millis(50)).await);
        still.shutdown_background();
    }
}
