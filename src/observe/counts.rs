//! What is counted: of every exchange and visit that is over, by backend.

use std::time::Duration;

use http::StatusCode;

use super::record::{Ended, Outcome, Source, Stage};

/// What came of those of one backend, or of none, since the process began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    ended: [u64; Ended::ALL.len()],
    left: [u64; Stage::ALL.len()],
    /// Answers to clients by the first digit of their status; none was given at 0.
    pub(crate) statuses: [u64; 6],
    pub(crate) joins: u64,
    pub(crate) replays: u64,
    pub(crate) tunnels: u64,
    /// Exchanges that went on at the backend while nobody watched.
    pub(crate) orphans: u64,
    /// For which they went on, all together.
    pub(crate) orphan_time: Duration,
    pub(crate) delivered_bytes: u64,
    pub(crate) discarded_bytes: u64,
    /// From the head of a request to the last byte of its answer, or to the client's leave.
    pub(crate) visit: Histogram,
    /// The backend's share of that, or what it took for nobody.
    pub(crate) backend: Histogram,
    /// The wait for a slot, of those who waited.
    pub(crate) queue: Histogram,
    /// The wait for a backend that was away, of those who waited.
    pub(crate) held: Histogram,
    /// By kind, for those that occurred.
    pub(crate) refusals: Vec<(&'static str, u64)>,
}

/// How many durations fell between which of [`BOUNDS`].
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    /// Not cumulative; the last is for what lies beyond all bounds.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) sum: Duration,
}

impl Counts {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.ended[outcome.ended() as usize] += 1;
        if outcome.has_visitor() {
            let class = |status: StatusCode| usize::from(status.as_u16() / 100).min(5);
            self.statuses[outcome.status.map_or(0, class)] += 1;
            self.visit.add(outcome.visit());
        }
        self.delivered_bytes += outcome.delivered;
        self.discarded_bytes += outcome.discarded;
        if !outcome.backend.is_zero() {
            self.backend.add(outcome.backend);
        }
        if !outcome.queue().is_zero() {
            self.queue.add(outcome.queue());
        }
        if !outcome.held.is_zero() {
            self.held.add(outcome.held);
        }
        match outcome.source {
            None => {}
            Some(Source::Join) => self.joins += 1,
            Some(Source::Replay) => self.replays += 1,
        }
        self.tunnels += u64::from(outcome.is_tunnel());
        if let Some(stage) = outcome.left {
            self.left[stage as usize] += 1;
        }
        if let Some(time) = outcome.orphaned_for() {
            self.orphans += 1;
            self.orphan_time += time;
        }
        if let Some(kind) = outcome.refusal {
            self.refuse(kind, 1);
        }
    }

    fn refuse(&mut self, kind: &'static str, times: u64) {
        match self.refusals.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += times,
            None => self.refusals.push((kind, times)),
        }
    }

    /// Those of another worker, or of another backend.
    pub(crate) fn merge(&mut self, other: &Self) {
        add_each(&mut self.ended, &other.ended);
        add_each(&mut self.left, &other.left);
        add_each(&mut self.statuses, &other.statuses);
        self.joins += other.joins;
        self.replays += other.replays;
        self.tunnels += other.tunnels;
        self.orphans += other.orphans;
        self.orphan_time += other.orphan_time;
        self.delivered_bytes += other.delivered_bytes;
        self.discarded_bytes += other.discarded_bytes;
        self.visit.merge(&other.visit);
        self.backend.merge(&other.backend);
        self.queue.merge(&other.queue);
        self.held.merge(&other.held);
        for (kind, times) in &other.refusals {
            self.refuse(kind, *times);
        }
    }

    pub(crate) fn ended(&self, ended: Ended) -> u64 {
        self.ended[ended as usize]
    }

    /// Clients that left in this stage.
    pub(crate) fn left(&self, stage: Stage) -> u64 {
        self.left[stage as usize]
    }
}

impl Histogram {
    pub(super) fn add(&mut self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[bucket] += 1;
        self.sum += duration;
    }

    fn merge(&mut self, other: &Self) {
        add_each(&mut self.buckets, &other.buckets);
        self.sum += other.sum;
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BOUNDS.len() + 1], sum: Duration::ZERO }
    }
}

fn add_each(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// Upper ends of the buckets of a [`Histogram`], each included: fine enough for percentiles.
pub(crate) const BOUNDS: [Duration; 32] = {
    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
    [
        Duration::from_micros(250),
        Duration::from_micros(500),
        ms(1),
        ms(2),
        ms(3),
        ms(5),
        Duration::from_micros(7500),
        ms(10),
        ms(15),
        ms(20),
        ms(30),
        ms(50),
        ms(75),
        ms(100),
        ms(150),
        ms(200),
        ms(300),
        ms(500),
        ms(750),
        ms(1000),
        ms(1500),
        ms(2000),
        ms(3000),
        ms(5000),
        ms(7500),
        ms(10_000),
        ms(15_000),
        ms(20_000),
        ms(30_000),
        ms(60_000),
        ms(120_000),
        ms(600_000),
    ]
};

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::observe::{
        books::Books,
        record::{Facts, Record},
    };
    use crate::request_id::RequestId;

    #[test]
    fn what_is_asked_for_nobody_is_no_answer_that_a_client_missed() {
        let books = Books::unwritten();
        let facts = Facts {
            id: RequestId::from_static("1"),
            client: None,
            line: None,
            began: Instant::now(),
        };
        drop(Record::open(&books, facts.clone()));
        Record::open(&books, facts).note(|outcome| outcome.left = Some(Stage::Queued));
        let counts = books.counts().remove(0).1;
        assert_eq!((counts.statuses[0], counts.visit.buckets.iter().sum::<u64>()), (1, 1));
        assert_eq!(counts.ended.iter().sum::<u64>(), 2);
    }

    #[test]
    fn a_duration_falls_into_the_bucket_whose_end_it_is() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::ZERO);
        histogram.add(BOUNDS[2]);
        histogram.add(BOUNDS[2] + Duration::from_nanos(1));
        histogram.add(Duration::MAX / 2);
        assert_eq!(histogram.buckets[..4], [1, 0, 1, 1]);
        assert_eq!(histogram.buckets[BOUNDS.len()], 1);
        assert!(BOUNDS.is_sorted());
    }
}
