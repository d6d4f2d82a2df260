//! The last minutes, second by second, so that whoever opens the page sees where things come from.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::House;
use crate::{
    lock::Mutex,
    observe::{
        counts::{BOUNDS, Counts, Histogram},
        record::Ended,
    },
};

/// The ring of samples; cloning gives another handle on the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Series(Arc<Mutex<VecDeque<Sample>>>);

/// One second of the whole house. Durations are milliseconds; none where nothing ended.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    /// Its number; the next one has the next.
    number: u64,
    /// When it ended, as in [`super::state::State`].
    at: f64,
    /// What ended in it, in the order of [`Ended::ALL`].
    ended: [u64; Ended::ALL.len()],
    /// Answers to clients in the 500s, our own among them.
    errors: u64,
    /// p50, p95 and p99 of what clients waited.
    visit: Option<[f64; 3]>,
    /// The same over the minute that ended with it.
    minute: Option<[f64; 3]>,
    slots_in_use: usize,
    queued: usize,
    held: usize,
    orphans: usize,
}

impl Series {
    /// Those that came behind this number.
    pub(super) fn since(&self, number: u64) -> Vec<Sample> {
        let samples = self.0.lock();
        samples.iter().filter(|sample| sample.number > number).cloned().collect()
    }

    /// Samples as long as the process lasts.
    pub(super) async fn run(self, house: House) {
        // What ended before the first look is in the first second, too.
        let mut before = Counts::default();
        let mut minute = VecDeque::from([before.visit.clone()]);
        let mut seconds = interval(SECOND);
        // After a pause one sample stands for all of it, instead of many for nothing.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        seconds.tick().await;
        for number in 1.. {
            seconds.tick().await;
            let now = sum(&house);
            let began = minute.front().unwrap_or(&before.visit);
            let sample = Sample::of(number, &house, &before, &now, began);
            if minute.len() == MINUTE {
                minute.pop_front();
            }
            minute.push_back(now.visit.clone());
            before = now;
            let mut samples = self.0.lock();
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(sample);
        }
    }
}

impl Sample {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn of(number: u64, house: &House, before: &Counts, now: &Counts, minute: &Histogram) -> Self {
        let backends = house.proxy.backends();
        let ended = Ended::ALL.map(|one| now.ended(one) - before.ended(one));
        Self {
            number,
            at: house.millis(Instant::now()),
            ended,
            errors: now.statuses[5] - before.statuses[5],
            visit: percentiles(&before.visit, &now.visit),
            minute: percentiles(minute, &now.visit),
            slots_in_use: backends.iter().map(|one| one.slots().in_use()).sum(),
            queued: backends.iter().map(|one| one.slots().waiting()).sum(),
            held: backends.iter().map(|one| one.held()).sum(),
            orphans: house.books.running().iter().filter(|one| one.is_orphan()).count(),
        }
    }
}

/// What all backends, and what had none, have come to.
fn sum(house: &House) -> Counts {
    let mut sum = Counts::default();
    house.books.counts().iter().for_each(|(_, counts)| sum.merge(counts));
    sum
}

/// Of what came in between; each as far into its bucket as its rank is.
fn percentiles(before: &Histogram, now: &Histogram) -> Option<[f64; 3]> {
    #[expect(clippy::cast_precision_loss, reason = "no second has as many as that")]
    let differ = |(now, before): (&u64, &u64)| (now - before) as f64;
    let buckets: Vec<f64> = now.buckets.iter().zip(&before.buckets).map(differ).collect();
    let all: f64 = buckets.iter().sum();
    (all > 0.0).then(|| RANKS.map(|rank| percentile(&buckets, rank * all)))
}

fn percentile(buckets: &[f64], rank: f64) -> f64 {
    let millis = |bound: Option<&Duration>| bound.map(|bound| bound.as_secs_f64() * 1e3);
    let mut below = 0.0;
    for (place, &count) in buckets.iter().enumerate() {
        if count > 0.0 && below + count >= rank {
            let from = place.checked_sub(1).and_then(|place| millis(BOUNDS.get(place)));
            let from = from.unwrap_or_default();
            // Beyond all bounds nothing is known but that.
            let to = millis(BOUNDS.get(place)).unwrap_or(from);
            return from + (to - from) * (rank - below) / count;
        }
        below += count;
    }
    millis(BOUNDS.last()).unwrap_or_default()
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: usize = 60;
/// Ten minutes of them.
const KEPT: usize = 600;
const RANKS: [f64; 3] = [0.5, 0.95, 0.99];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_in_its_bucket_and_none_where_nothing_was() {
        let (before, mut now) = (Histogram::default(), Histogram::default());
        assert_eq!(percentiles(&before, &now), None);
        // Between 10 and 15 ms, and one far beyond.
        now.buckets[8] = 98;
        now.buckets[BOUNDS.len()] = 2;
        let [half, most, nearly_all] = percentiles(&before, &now).expect("some");
        assert!((10.0..15.0).contains(&half) && (14.0..15.0).contains(&most), "{half} {most}");
        assert!((nearly_all - 600_000.0).abs() < 1.0, "{nearly_all}");
        assert_eq!(percentiles(&now, &now.clone()), None);
    }
}
