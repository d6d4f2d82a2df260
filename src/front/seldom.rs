//! A future that stands beside another one for a long time, and is hardly ever ready.
//!
//! The drain is awaited beside every request of every connection: polled with each of them, it would
//! lock what all connections have in common, several times a request.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

pin_project! {
    /// Polls `future` only when that asks for it. Ready once, it stays so.
    pub(super) struct Seldom<F> {
        #[pin]
        future: F,
        is_over: bool,
        bell: Arc<Bell>,
        // The task that is woken by the bell.
        task: Option<Waker>,
    }
}

/// What the future is polled with.
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        // Rung, since it was never polled.
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::default() });
        Self { future, is_over: false, bell, task: None }
    }
}

impl<F: Future<Output = ()>> Future for Seldom<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(());
        }
        // Hardly ever: a task has one waker for its lifetime.
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *this.task = Some(cx.waker().clone());
            this.bell.task.lock().clone_from(this.task);
        }
        if !this.bell.rung.load(SeqCst) {
            return Poll::Pending;
        }
        // Before the poll: what rings during it is not missed.
        this.bell.rung.store(false, SeqCst);
        let waker = this.bell.clone().into();
        let polled = this.future.poll(&mut Context::from_waker(&waker));
        *this.is_over = polled.is_ready();
        polled
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_once_until_it_asks_for_more() {
        let (polls, notify) = (AtomicUsize::new(0), Notify::new());
        let mut notified = pin!(notify.notified());
        let counted = poll_fn(|cx| {
            polls.fetch_add(1, Relaxed);
            notified.as_mut().poll(cx)
        });
        let mut seldom = pin!(Seldom::new(counted));
        for _ in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(seldom.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(polls.load(Relaxed), 1);
        notify.notify_waiters();
        seldom.as_mut().await;
        seldom.await;
        assert_eq!(polls.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn whoever_awaits_it_is_woken() {
        let notify = Arc::new(Notify::new());
        let rings = notify.clone();
        let wait = async {
            let mut seldom = pin!(Seldom::new(notify.notified()));
            let polled = poll_fn(|cx| Poll::Ready(seldom.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            seldom.await;
        };
        // Polled first, the other rings while it waits.
        tokio::join!(wait, async { rings.notify_waiters() });
    }
}
