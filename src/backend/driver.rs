//! Who is woken when something happens on a connection to the backend.
//!
//! hyper and the socket keep the waker they were last polled with. A kept connection goes from
//! exchange to exchange, so that would be the task of one long past: its next user would wake it
//! for nothing, and pay for registering another. So they keep one waker for the connection's
//! lifetime, which knows who drives it now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;

/// What a poll itself makes ready is polled again, so many times, before others have their turn:
/// thousands that come back to life at once would all have their buffers at once.
const AT_ONCE: usize = 4;

/// The one who drives a connection.
#[derive(Debug)]
pub(super) struct Driver {
    /// What hyper and the socket are polled with.
    waker: Waker,
    seat: Arc<Seat>,
}

/// Whether a socket that had nothing to read may have something now. hyper reads such a socket up to
/// three times in a row.
#[derive(Debug)]
pub(super) struct News {
    waker: Waker,
    seat: Arc<Seat>,
    /// The socket has nothing, and wakes the driver when that changes.
    is_dry: bool,
}

#[derive(Debug, Default)]
struct Seat {
    state: Mutex<State>,
    /// The driver was woken since the socket was read last.
    news: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The task that waits for the connection.
    waiting: Option<Waker>,
    /// Something has happened since the last poll began.
    woken: bool,
}

impl Driver {
    pub(super) fn new() -> Self {
        let seat = Arc::<Seat>::default();
        Self { waker: seat.clone().into(), seat }
    }

    pub(super) fn news(&self) -> News {
        News { waker: self.waker.clone(), seat: self.seat.clone(), is_dry: false }
    }

    /// Polls, and has the present task woken if that was not enough.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..AT_ONCE {
            // What happened until now is seen by this poll; what the last task waited for is over.
            *self.seat.state.lock() = State::default();
            let polled = poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() {
                return polled;
            }
            let mut state = self.seat.state.lock();
            if !state.woken {
                state.waiting = Some(cx.waker().clone());
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl News {
    /// Reads, unless the socket had nothing and has told of nothing since.
    pub(super) fn read<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Not so where it is another that is woken: who opens a tunnel, say.
        let is_ours = self.waker.will_wake(cx.waker());
        if is_ours && self.is_dry && !self.seat.news.load(SeqCst) {
            return Poll::Pending;
        }
        // Before the read: what comes after it is not missed.
        self.seat.news.store(false, SeqCst);
        let read = read(cx);
        self.is_dry = is_ours && read.is_pending();
        read
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.news.store(true, SeqCst);
        let mut state = self.state.lock();
        state.woken = true;
        if let Some(task) = state.waiting.take() {
            drop(state);
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn wait(driver: &Driver, task: &Arc<Task>) -> Waker {
        let waker = task.clone().into();
        let mut kept = None;
        let polled: Poll<()> = driver.poll(&Context::from_waker(&waker), |cx| {
            kept = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(polled.is_pending());
        kept.expect("polled")
    }

    #[test]
    fn only_the_last_one_who_waits_is_woken_and_only_once() {
        let driver = Driver::new();
        let (first, second) = (Arc::<Task>::default(), Arc::<Task>::default());
        let kept = wait(&driver, &first);
        let same = wait(&driver, &second);
        assert!(kept.will_wake(&same));
        kept.wake_by_ref();
        kept.wake_by_ref();
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (0, 1));
    }

    #[test]
    fn what_happens_during_a_poll_is_not_missed() {
        let driver = Driver::new();
        let task = Arc::<Task>::default();
        let waker = task.clone().into();
        let polled: Poll<()> = driver.poll(&Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(task.0.load(Relaxed), 1);
    }

    #[test]
    fn nobody_is_woken_for_a_connection_that_nobody_waits_for() {
        let driver = Driver::new();
        let task = Arc::<Task>::default();
        let kept = wait(&driver, &task);
        let waker = task.clone().into();
        let polled = driver.poll(&Context::from_waker(&waker), |_| Poll::Ready(()));
        assert!(polled.is_ready());
        kept.wake();
        assert_eq!(task.0.load(Relaxed), 0);
    }

    #[test]
    fn a_socket_that_has_nothing_is_not_read_again_before_it_has_told() {
        let driver = Driver::new();
        let mut news = driver.news();
        let reads = AtomicUsize::new(0);
        let mut read = |waker: &Waker| {
            news.read(&mut Context::from_waker(waker), |_| {
                reads.fetch_add(1, Relaxed);
                Poll::<()>::Pending
            })
            .is_pending()
        };
        assert!(read(&driver.waker) && read(&driver.waker));
        assert_eq!(reads.load(Relaxed), 1);
        driver.waker.wake_by_ref();
        assert!(read(&driver.waker) && read(&driver.waker));
        assert_eq!(reads.load(Relaxed), 2);
        // Whoever else reads is told by the socket, and the driver no more.
        assert!(read(Waker::noop()) && read(Waker::noop()) && read(&driver.waker));
        assert_eq!(reads.load(Relaxed), 5);
    }
}
