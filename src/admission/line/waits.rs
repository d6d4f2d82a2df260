//! Those who wait, in the order in which they are served: who is served is nearly always the first one, and who comes the
//! last.

use std::collections::VecDeque;

/// A place in the order: who had a slot already, and found nobody there, comes before all others; then in the
/// order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) Came, u64);

/// To the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Once more.
    Again,
    /// For the first time.
    New,
}

#[derive(Debug)]
pub(super) struct Waits<W> {
    /// By [`Came`].
    ranks: [Rank<W>; 2],
    next: u64,
}

/// Those who came alike.
#[derive(Debug)]
struct Rank<W> {
    /// With a gap where one has left from between others; neither the first nor the last is one.
    places: VecDeque<(u64, Option<W>)>,
    /// How many wait.
    count: usize,
}

impl<W> Waits<W> {
    pub(super) fn new() -> Self {
        Self { ranks: [Rank::new(), Rank::new()], next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.ranks.iter().map(|rank| rank.count).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add(&mut self, came: Came, one: W) -> Number {
        self.next += 1;
        let rank = &mut self.ranks[came as usize];
        rank.places.push_back((self.next, Some(one)));
        rank.count += 1;
        Number(came, self.next)
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut W> {
        let rank = &mut self.ranks[number.0 as usize];
        let place = rank.find(number.1)?;
        rank.places[place].1.as_mut()
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<W> {
        self.ranks[number.0 as usize].remove(number.1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Number, &W)> + Clone {
        [Came::Again, Came::New].into_iter().flat_map(|came| {
            let places = self.ranks[came as usize].places.iter();
            places.filter_map(move |(number, one)| Some((Number(came, *number), one.as_ref()?)))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Number, &mut W)> {
        self.ranks.iter_mut().zip([Came::Again, Came::New]).flat_map(|(rank, came)| {
            let places = rank.places.iter_mut();
            places.filter_map(move |(number, one)| Some((Number(came, *number), one.as_mut()?)))
        })
    }
}

impl<W> Rank<W> {
    fn new() -> Self {
        Self { places: VecDeque::new(), count: 0 }
    }

    fn find(&self, number: u64) -> Option<usize> {
        match self.places.front() {
            Some((first, _)) if *first == number => Some(0),
            _ => self.places.binary_search_by_key(&number, |(number, _)| *number).ok(),
        }
    }

    fn remove(&mut self, number: u64) -> Option<W> {
        let place = self.find(number)?;
        let one = self.places[place].1.take()?;
        self.count -= 1;
        let is_gap = |place: Option<&(u64, Option<W>)>| place.is_some_and(|(_, one)| one.is_none());
        while is_gap(self.places.front()) {
            self.places.pop_front();
        }
        while is_gap(self.places.back()) {
            self.places.pop_back();
        }
        // Whoever looks for the next one passes by all of them.
        if self.places.len() > 2 * self.count + GAPS {
            self.places.retain(|(_, one)| one.is_some());
        }
        // After a flood, its room is given back.
        let len = self.places.len();
        if self.places.capacity() > 4 * len + ROOM {
            self.places.shrink_to(2 * len + ROOM / 2);
        }
        Some(one)
    }
}

/// So many gaps, and as many as wait, are not worth moving the others for.
const GAPS: usize = 64;
/// Nor is so much room.
const ROOM: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(waits: &Waits<u32>) -> Vec<u32> {
        waits.iter().map(|(_, one)| *one).collect()
    }

    #[test]
    fn who_had_a_slot_before_comes_first_and_then_who_came_first() {
        let mut waits = Waits::new();
        let new = [1, 2, 3].map(|one| waits.add(Came::New, one));
        let again = [4, 5].map(|one| waits.add(Came::Again, one));
        assert_eq!((all(&waits), waits.len()), (vec![4, 5, 1, 2, 3], 5));
        assert_eq!((waits.remove(new[1]), waits.remove(new[1])), (Some(2), None));
        assert_eq!(waits.get_mut(new[1]), None);
        assert_eq!(waits.get_mut(new[2]), Some(&mut 3));
        assert_eq!(waits.remove(again[0]), Some(4));
        assert_eq!(waits.remove(again[0]), None);
        waits.iter_mut().for_each(|(_, one)| *one *= 10);
        assert_eq!((all(&waits), waits.len()), (vec![50, 10, 30], 3));
        let numbers: Vec<_> = waits.iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [again[1], new[0], new[2]]);
        assert!(numbers.into_iter().all(|number| waits.remove(number).is_some()));
        assert!(waits.is_empty());
    }

    #[test]
    fn those_who_have_left_from_between_others_are_not_passed_by_for_long() {
        let mut waits = Waits::new();
        let numbers: Vec<_> = (0..10_000).map(|one| waits.add(Came::New, one)).collect();
        for number in &numbers[1..9_999] {
            assert!(waits.remove(*number).is_some());
            let Rank { places, count } = &waits.ranks[1];
            assert!(places.len() <= 2 * count + GAPS, "{} for {count}", places.len());
        }
        assert_eq!((all(&waits), waits.len()), (vec![0, 9_999], 2));
    }

    #[test]
    fn those_who_have_left_behind_who_waits_for_long_take_no_room() {
        let mut waits = Waits::new();
        let first = waits.add(Came::New, 0);
        for one in 1..100_000 {
            let number = waits.add(Came::New, one);
            assert_eq!(waits.remove(number), Some(one));
        }
        let last = waits.add(Came::New, 1);
        assert_eq!((all(&waits), waits.len()), (vec![0, 1], 2));
        assert_eq!(waits.ranks[1].places.len(), 2);
        assert_eq!((waits.remove(last), waits.remove(first)), (Some(1), Some(0)));
    }

    #[test]
    fn after_a_flood_its_room_is_given_back() {
        let mut waits = Waits::new();
        let numbers: Vec<_> = (0..100_000).map(|one| waits.add(Came::New, one)).collect();
        // From the front, and from the middle.
        let (front, back) = numbers.split_at(50_000);
        for (one, other) in front.iter().zip(back) {
            assert!(waits.remove(*one).is_some() && waits.remove(*other).is_some());
            let places = &waits.ranks[1].places;
            let ends = [places.front(), places.back()];
            assert!(ends.into_iter().flatten().all(|(_, one)| one.is_some()));
        }
        assert!(waits.is_empty());
        let room = waits.ranks[1].places.capacity();
        assert!(room <= 2 * ROOM, "{room}");
    }
}
