//! The only place that spawns. Every task belongs to a kind, and the drain waits for each kind.

mod bell;

use std::{
    fmt,
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub(crate) use self::bell::{Bell, Draining};
use crate::prefetch::Extent;

/// The tasks of one process, counted by kind; cloning gives another handle on the same.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    kinds: Arc<Kinds>,
}

#[derive(Debug, Default)]
struct Kinds {
    /// Those who accept.
    listeners: TaskTracker,
    /// Client connections.
    connections: TaskTracker,
    /// Streams of connections of HTTP/2.
    streams: TaskTracker,
    /// Exchanges, orphans and queued ones among them.
    exchanges: TaskTracker,
    ordered: Notify,
    draining: AtomicBool,
    closing: CancellationToken,
    /// Of all who accept.
    bells: Mutex<Vec<Weak<Bell>>>,
}

impl Tasks {
    /// Runs an accept loop on the current worker.
    pub fn listener(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.kinds.listeners.spawn(erased(task)));
    }

    /// Runs one client connection on the current worker.
    pub fn connection(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.kinds.connections.spawn(task));
    }

    /// Runs one stream of an HTTP/2 connection on the current worker.
    pub fn stream(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.kinds.streams.spawn(task));
    }

    /// Counts one exchange, which is to be run.
    pub fn count_exchange(&self) -> TaskTrackerToken {
        self.kinds.exchanges.token()
    }

    /// One that is counted.
    pub fn exchange(
        counted: TaskTrackerToken,
        exchange: impl Future<Output = ()> + Send + 'static,
    ) -> Running {
        Running(Some(Counted { exchange: Box::pin(exchange), _token: counted }))
    }

    /// Runs until the worker ends; nobody waits for it.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn background(task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(erased(task)));
    }

    /// The process is asked to drain, as a first signal would.
    pub fn order_drain(&self) {
        self.kinds.ordered.notify_one();
    }

    /// Waits until it was asked.
    pub async fn drain_ordered(&self) {
        self.kinds.ordered.notified().await;
    }

    /// The process is to end; perhaps it goes on accepting for a while.
    pub fn begin_drain(&self) {
        self.kinds.draining.store(true, Relaxed);
    }

    /// Is the process to end?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.kinds.draining.load(Relaxed)
    }

    /// The same on another thread than the current one.
    pub fn background_on(worker: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        drop(worker.spawn(erased(task)));
    }

    /// What comes of it on another thread than the current one; none where that has ended. Whoever ceases
    /// to wait does not end it.
    pub async fn done_on<T: Send + 'static>(
        worker: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        worker.spawn(erased(task)).await.ok()
    }

    /// All are to come to their end.
    pub fn close(&self) {
        let mut bells = self.kinds.bells.lock();
        let all: Vec<_> = bells.drain(..).filter_map(|bell| bell.upgrade()).collect();
        // All of them before anybody ceases to accept: who is accepted then is known to come late.
        for bell in &all {
            bell.ring();
        }
        self.kinds.closing.cancel();
        drop(bells);
        for bell in &all {
            bell.wake();
        }
    }

    /// Rings then, for those who are accepted at one place.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        let bell = Arc::new(Bell::default());
        let mut bells = self.kinds.bells.lock();
        // Of places at which we listen no longer.
        bells.retain(|bell| bell.strong_count() > 0);
        bells.push(Arc::downgrade(&bell));
        // Under the lock, under which all others ring.
        if self.kinds.closing.is_cancelled() {
            bell.ring();
        }
        bell
    }

    /// Cancelled when all are to come to their end.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.kinds.closing
    }

    /// Waits until nobody accepts any more and no connection and no exchange is left.
    pub async fn finished(&self) {
        // In this order: a listener can start a connection, that a stream, and both an exchange.
        let Kinds { listeners, connections, streams, exchanges, .. } = &*self.kinds;
        for kind in [listeners, connections, streams, exchanges] {
            kind.close();
            kind.wait().await;
        }
    }

    /// How many client connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.kinds.connections.len()
    }

    /// How many exchanges are queued or running.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.kinds.exchanges.len()
    }
}

/// An exchange, which is run by whoever polls it, and by a task of its own once that one has dropped it: nothing
/// but its own end ends it.
#[derive(Debug)]
pub struct Running(Option<Counted>);

/// One that the drain waits for.
struct Counted {
    exchange: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// After the exchange: it is over when all of it is gone.
    _token: TaskTrackerToken,
}

impl Running {
    /// Says where it is in memory.
    pub(crate) fn locate(&self, extent: &Extent) {
        if let Some(counted) = &self.0 {
            extent.set(&*counted.exchange);
        }
    }

    /// Goes on with it, as far as it can. One that panics is over.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(counted) = &mut self.0 else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(counted).poll(cx)));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.0 = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Running {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn drop(&mut self) {
        // Where the worker itself is ending, the exchange is dropped.
        if let Some(counted) = self.0.take()
            && Handle::try_current().is_ok()
        {
            drop(tokio::spawn(counted));
        }
    }
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.exchange.as_mut().poll(cx)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Counted").finish_non_exhaustive()
    }
}

/// A task without a type of its own: each type that is spawned is compiled for itself, and twice, once for each kind of
/// runtime. For tasks of which there are few.
fn erased<T>(
    task: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(task)
}

/// Runs file work where it may block.
///
/// # Errors
/// What the work itself reports, or that the process is ending.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(lost) => Err(io::Error::other(lost)),
    }
}

/// How long what had only begun when the drain began may still take: half a head, a handshake, the first
/// request of who was in the kernel's queue.
pub(crate) const LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_exchange_goes_on_when_who_ran_it_has_left_and_the_drain_waits_for_it() {
        let (tasks, (go_on, stop)) = (Tasks::default(), oneshot::channel());
        let (tell, told) = oneshot::channel();
        let mut running = Tasks::exchange(tasks.count_exchange(), async {
            stop.await.expect("somebody says so");
            tell.send(()).expect("somebody listens");
        });
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(running.poll(&mut context).is_pending());
        assert_eq!(tasks.open_exchanges(), 1);
        drop(running);
        assert_eq!(tasks.open_exchanges(), 1);
        go_on.send(()).expect("it waits");
        tasks.finished().await;
        assert_eq!((told.await, tasks.open_exchanges()), (Ok(()), 0));
    }

    #[tokio::test]
    async fn an_exchange_that_panics_is_over_and_whoever_ran_it_is_not() {
        let tasks = Tasks::default();
        let mut running = Tasks::exchange(tasks.count_exchange(), async { panic!("on purpose") });
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(running.poll(&mut context).is_ready());
        assert_eq!(tasks.open_exchanges(), 0);
    }
}
