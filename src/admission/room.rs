//! So many at once, first come, first served. The number may change while it is in use: where it
//! shrinks, nobody is sent away, and who is too many is not replaced.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use tokio::sync::Semaphore;

/// Places that are taken and given back.
#[derive(Debug)]
pub(crate) struct Room {
    free: Semaphore,
    /// [`Places`] in one word: the two are changed and compared together.
    places: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    /// That there are, free and taken.
    all: u32,
    /// That there are to be. Where they are fewer, those too many go as they come free.
    wanted: u32,
}

/// A place that is taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Room>);

impl Ticket {
    /// One more of the same room, where one is free.
    pub(crate) fn another(&self) -> Option<Self> {
        self.0.try_enter()
    }
}

impl Room {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        let all = count(places);
        Arc::new(Self {
            free: Semaphore::new(all as usize),
            places: AtomicU64::new(Places { all, wanted: all }.into()),
        })
    }

    /// A place that is free now. Nobody is overtaken: one that comes free is handed to the first who
    /// waits, and only what nobody waits for can be taken here.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Ticket> {
        if self.is_over() {
            // Who waited and left has given a place back past us.
            self.settle();
        }
        self.free.try_acquire().ok()?.forget();
        Some(Ticket(self.clone()))
    }

    /// Waits for a place. Dropping the future leaves the line.
    pub(crate) async fn enter(self: &Arc<Self>) -> Ticket {
        match self.free.acquire().await {
            Ok(place) => place.forget(),
            Err(_) => unreachable!("nobody closes the semaphore"),
        }
        Ticket(self.clone())
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        (self.places().all as usize).saturating_sub(self.free.available_permits())
    }

    /// Are there more places than there are to be?
    fn is_over(&self) -> bool {
        let Places { all, wanted } = self.places();
        all > wanted
    }

    /// From here on there are to be so many.
    pub(crate) fn resize(&self, places: usize) {
        let wanted = count(places);
        let mut missing = 0;
        self.change(|Places { all, .. }| {
            missing = wanted.saturating_sub(all);
            Some(Places { all: all.max(wanted), wanted })
        });
        self.free.add_permits(missing as usize);
        self.settle();
    }

    fn give_back(&self) {
        if self.is_over() && self.take_away() {
            return;
        }
        self.free.add_permits(1);
        if self.is_over() {
            self.settle();
        }
    }

    /// Takes away free places as long as there are too many.
    fn settle(&self) {
        while self.take_away() {
            if self.free.forget_permits(1) == 1 {
                continue;
            }
            self.change(|Places { all, wanted }| Some(Places { all: all + 1, wanted }));
            // Who gives one back after this look sees that there are too many.
            if self.free.available_permits() == 0 {
                return;
            }
        }
    }

    /// Counts one place less, if there are too many.
    fn take_away(&self) -> bool {
        self.change(|Places { all, wanted }| {
            (all > wanted).then(|| Places { all: all - 1, wanted })
        })
    }

    fn places(&self) -> Places {
        self.places.load(SeqCst).into()
    }

    fn change(&self, mut change: impl FnMut(Places) -> Option<Places>) -> bool {
        let change = |word: u64| change(word.into()).map(u64::from);
        self.places.fetch_update(SeqCst, SeqCst, change).is_ok()
    }
}

fn count(places: usize) -> u32 {
    // As good as endless, and within what the semaphore can count anywhere.
    u32::try_from(places).unwrap_or(u32::MAX).min(u32::MAX / 16)
}

impl From<u64> for Places {
    #[expect(clippy::cast_possible_truncation, reason = "each is a half of the word")]
    fn from(word: u64) -> Self {
        Self { all: (word >> 32) as u32, wanted: word as u32 }
    }
}

impl From<Places> for u64 {
    fn from(Places { all, wanted }: Places) -> Self {
        Self::from(all) << 32 | Self::from(wanted)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn enter(room: &Arc<Room>, many: usize) -> Vec<Ticket> {
        (0..many).map(|_| room.try_enter().expect("a place")).collect()
    }

    async fn is_pending<F: Future>(future: F) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, future).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_that_shrinks_lets_nobody_in_until_enough_have_gone() {
        let room = Room::new(3);
        let mut tickets = enter(&room, 3);
        let mut waiting = pin!(room.enter());
        assert!(is_pending(waiting.as_mut()).await);
        room.resize(1);
        for left in [2, 1] {
            tickets.pop();
            assert_eq!(room.taken(), left);
            assert!(is_pending(waiting.as_mut()).await);
            assert!(room.try_enter().is_none());
        }
        tickets.pop();
        let ticket = waiting.await;
        assert_eq!((room.taken(), room.is_over()), (1, false));
        drop(ticket);
        assert_eq!(enter(&room, 1).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_that_grows_again_owes_nothing() {
        let room = Room::new(3);
        let tickets = enter(&room, 3);
        room.resize(1);
        let mut waiting = pin!(room.enter());
        assert!(is_pending(waiting.as_mut()).await);
        room.resize(4);
        let fourth = waiting.await;
        assert!(room.try_enter().is_none());
        drop((tickets, fourth));
        let all = enter(&room, 4);
        assert!(room.try_enter().is_none());
        drop(all);
    }

    #[tokio::test(start_paused = true)]
    async fn free_places_go_at_once_and_one_that_was_left_in_the_line_goes_later() {
        let room = Room::new(3);
        room.resize(1);
        assert_eq!((room.taken(), room.is_over()), (0, false));
        let first = enter(&room, 1);
        let mut waiting = Box::pin(room.enter());
        assert!(is_pending(waiting.as_mut()).await);
        // It is the one's who waits by now, and comes back past the count.
        drop(first);
        room.resize(0);
        drop(waiting);
        assert!(room.try_enter().is_none());
        assert!(!room.is_over());
    }

    #[test]
    fn whatever_comes_together_the_count_is_right_in_the_end() {
        let room = Room::new(4);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        drop(room.try_enter());
                    }
                });
            }
            scope.spawn(|| (0..20_000).for_each(|round| room.resize(1 + round % 5)));
        });
        room.resize(2);
        let two = enter(&room, 2);
        assert!(room.try_enter().is_none());
        drop(two);
        assert_eq!((room.taken(), room.is_over()), (0, false));
    }
}
