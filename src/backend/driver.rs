//! Who is woken when something happens on a connection to the backend.
//!
//! hyper and the socket keep the waker they were last polled with. A kept connection goes from
//! exchange to exchange, so that would be the task of one long past: its next user would wake it
//! for nothing, and pay for registering another. So they keep one waker for the connection's
//! lifetime, which knows who drives it now.

use std::{
    sync::Arc,
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

#[derive(Debug, Default)]
struct Seat(Mutex<State>);

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

    /// Polls, and has the present task woken if that was not enough.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..AT_ONCE {
            // What happened until now is seen by this poll; what the last task waited for is over.
            *self.seat.0.lock() = State::default();
            let polled = poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() {
                return polled;
            }
            let mut state = self.seat.0.lock();
            if !state.woken {
                state.waiting = Some(cx.waker().clone());
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.0.lock();
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
}
