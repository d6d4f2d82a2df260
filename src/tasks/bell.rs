//! How the connections of one worker hear of the drain.
//!
//! Each of them waits for it from its first moment to its last, and there may be a new one for every
//! request. So they stand in one list for each place where they are accepted, and not in one of the whole
//! house, and whoever is polled again looks at a flag.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use slab::Slab;
use tokio::time::{Sleep, sleep};

use super::LATE;
use crate::lock::Mutex;

/// Rings once, when all are to come to their end.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    waiting: Mutex<Slab<Waker>>,
}

/// Ready once the bell has rung, and from then on.
#[derive(Debug)]
pub(crate) struct Draining {
    bell: Arc<Bell>,
    /// Where it stands in the list, and who is woken there.
    place: Option<(usize, Task)>,
    /// Of who came when it had rung, and has had no time yet to say what it wants.
    late: Option<Pin<Box<Sleep>>>,
}

/// Whom a waker wakes, as long as we hold one of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Task(usize, usize);

impl Bell {
    /// Whoever looks from here on finds it rung. Those who wait are woken by [`Self::wake`].
    pub(super) fn ring(&self) {
        // Under the lock: who stands in the list has looked before.
        let _waiting = self.waiting.lock();
        self.rung.store(true, SeqCst);
    }

    /// Wakes all who wait for it, once it has rung.
    pub(super) fn wake(&self) {
        let woken = std::mem::take(&mut *self.waiting.lock());
        for (_, task) in woken {
            task.wake();
        }
    }

    pub(crate) fn draining(self: &Arc<Self>) -> Draining {
        Draining { bell: self.clone(), place: None, late: None }
    }

    /// Of who was in the kernel's queue when accepting came to its end.
    pub(crate) fn draining_late(self: &Arc<Self>) -> Draining {
        let mut draining = self.draining();
        draining.late = self.has_rung().then(|| Box::pin(sleep(LATE)));
        draining
    }

    fn has_rung(&self) -> bool {
        self.rung.load(SeqCst)
    }
}

impl Task {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(late) = &mut this.late {
            return late.as_mut().poll(cx);
        }
        if this.bell.has_rung() {
            return Poll::Ready(());
        }
        let task = Task::of(cx.waker());
        // Hardly ever more than once: a task has one waker for its lifetime.
        if this.place.is_none_or(|(_, known)| known != task) {
            let mut waiting = this.bell.waiting.lock();
            if this.bell.has_rung() {
                return Poll::Ready(());
            }
            let place = match this.place {
                Some((place, _)) => {
                    waiting[place].clone_from(cx.waker());
                    place
                }
                None => waiting.insert(cx.waker().clone()),
            };
            this.place = Some((place, task));
        }
        Poll::Pending
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some((place, _)) = self.place {
            // None where it has rung. Dropped behind the lock: it may be the last of its task.
            let woken = self.bell.waiting.lock().try_remove(place);
            drop(woken);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    async fn is_ready(draining: &mut Draining) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *draining).poll(cx))).await.is_ready()
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_and_whoever_comes_later_does_not_wait() {
        let bell = Arc::new(Bell::default());
        let mut first = bell.draining();
        assert!(!is_ready(&mut first).await);
        let rings = bell.clone();
        // Polled first, the other rings while it waits.
        tokio::join!(&mut first, async move {
            rings.ring();
            rings.wake();
        });
        assert!(is_ready(&mut first).await);
        assert!(is_ready(&mut bell.draining()).await);
    }

    #[tokio::test]
    async fn the_task_that_polled_last_is_woken() {
        let bell = Arc::new(Bell::default());
        let mut moved = bell.draining();
        assert!(!is_ready(&mut moved).await);
        let (polled, mut is_polled) = tokio::sync::oneshot::channel::<()>();
        let mut polled = Some(polled);
        #[expect(clippy::disallowed_methods, reason = "another task, as it is")]
        let woken = tokio::spawn(poll_fn(move |cx| {
            let woken = Pin::new(&mut moved).poll(cx);
            drop(polled.take());
            woken
        }));
        let _ = (&mut is_polled).await;
        bell.ring();
        bell.wake();
        woken.await.expect("woken");
    }

    #[tokio::test]
    async fn whoever_has_left_stands_in_no_list() {
        let bell = Arc::new(Bell::default());
        for _ in 0..3 {
            let mut left = bell.draining();
            assert!(!is_ready(&mut left).await);
        }
        assert!(bell.waiting.lock().is_empty());
        let mut left = bell.draining();
        assert!(!is_ready(&mut left).await);
        bell.ring();
        bell.wake();
        drop(left);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_it_has_rung_has_a_moment() {
        let bell = Arc::new(Bell::default());
        bell.ring();
        bell.wake();
        let mut late = bell.draining_late();
        assert!(!is_ready(&mut late).await);
        let late = pin!(late);
        tokio::time::timeout(LATE * 2, late).await.expect("over");
    }
}
