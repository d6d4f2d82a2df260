//! The one timer of a client connection.
//!
//! What is due is later with each request, and nothing is while a client waits for its answer. So the timer is
//! only moved when it must be: whoever is on the clock when it goes off early sets it anew, and where
//! nobody is, it wakes nobody.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use crate::connection::Connection;

/// A timer, set to what is due first. It wakes the connection, which knows whether somebody waits for that, and whom
/// to wake: so there is one of these for each connection.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// What it is set to. Here, too, since what the timer has is in no cache any more when the next request has come.
    due: Instant,
    /// The task that the connection was told of, to compare with. None as long as none has waited.
    task: Option<Waker>,
}

impl Alarm {
    pub(super) fn at(due: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(due)), due, task: None }
    }

    /// Ready once `due` has come. From here on the client is on the clock, until it is taken off that.
    pub(super) fn poll(
        &mut self,
        due: Instant,
        connection: &Arc<Connection>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        connection.start_clock();
        let Self { timer, due: set, task } = self;
        let is_told = task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if is_told && *set <= due && !connection.has_gone_off() {
            // Polled once more, it would only be told once more whom to wake.
            return Poll::Pending;
        }
        let is_too_late = *set > due;
        let mut reset = |mut timer: Pin<&mut Sleep>| {
            connection.is_wound();
            timer.as_mut().reset(due);
            *set = due;
        };
        if is_too_late {
            reset(timer.as_mut());
        }
        if !is_told {
            connection.is_waited_for(cx.waker());
            *task = Some(cx.waker().clone());
        }
        let waker = Waker::from(connection.clone());
        let mut cx = Context::from_waker(&waker);
        // Whatever else this task has done: out of its budget, it would only be told to come again, and the timer not
        // whom to wake.
        while pin!(unconstrained(timer.as_mut())).poll(&mut cx).is_ready() {
            if Instant::now() >= due {
                // Where it went off before it was told whom to wake, nobody has noted it.
                connection.goes_off();
                return Poll::Ready(());
            }
            reset(timer.as_mut());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::Wake,
        time::Duration,
    };

    use tokio::time::{advance, sleep};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_heard_is_not_woken_and_is_once_it_is_on_the_clock_again() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let connection = Arc::new(Connection::any());
        let (second, began) = (Duration::from_secs(1), Instant::now());
        let mut alarm = Alarm::at(began + second);
        let mut poll = |due: Instant| alarm.poll(due, &connection, &cx);
        let woken = || count.0.load(Relaxed);

        assert!(poll(began + second).is_pending());
        // Heard in time: what goes off then has nobody to wake.
        connection.stop_clock();
        sleep(2 * second).await;
        assert_eq!(woken(), 0);
        // It has gone off, and is set anew.
        assert!(poll(began + 3 * second).is_pending());
        sleep(second / 2).await;
        assert_eq!(woken(), 0);
        // Later with each request: it goes off early, and whoever is on the clock sets it anew.
        assert!(poll(began + 5 * second).is_pending());
        sleep(second).await;
        assert_eq!(woken(), 1);
        assert!(poll(began + 5 * second).is_pending());
        // Earlier, and somebody else.
        let other = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(other.clone());
        let poll = alarm.poll(began + 4 * second, &connection, &Context::from_waker(&waker));
        assert!(poll.is_pending());
        advance(second).await;
        assert_eq!((woken(), other.0.load(Relaxed)), (1, 1));
        assert!(alarm.poll(began + 4 * second, &connection, &cx).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_due_already_is_found_again_and_can_be_put_off() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let connection = Arc::new(Connection::any());
        let (second, began) = (Duration::from_secs(1), Instant::now());
        let mut alarm = Alarm::at(began);

        // Ready before it was told whom to wake.
        assert!(alarm.poll(began, &connection, &cx).is_ready());
        assert!(alarm.poll(began, &connection, &cx).is_ready());
        assert_eq!(count.0.load(Relaxed), 0);
        assert!(alarm.poll(began + second, &connection, &cx).is_pending());
        sleep(2 * second).await;
        assert_eq!(count.0.load(Relaxed), 1);
        assert!(alarm.poll(began + second, &connection, &cx).is_ready());
    }
}
