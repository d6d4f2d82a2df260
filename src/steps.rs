//! What the micro-benchmarks (`tests/bench/steps.rs`) reach of the inside: each hot step of a small request
//! by itself. Built for them alone.

use std::{
    future::poll_fn,
    hint::black_box,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, StatusCode, request};
use tokio::time::Instant;

pub use crate::backend::{read_head, write_head};
use crate::{
    admission::queue::{self, Came, Seats, Terms},
    config::{self, Config},
    exchange::Identity,
    headers::{self, Peer, PeerFields, Scheme},
    observe::{
        books::Books,
        line::{self, Clock},
        record::{Ended, Facts, Outcome, Record, Stage},
    },
    proxy::Proxy,
    request_id::RequestId,
    spool::{End, Reader, Retain, Spool, Store},
    tasks::Tasks,
};

/// All of them together, but for the client's connection: no sockets of its own, no access log.
#[must_use]
pub fn proxy(config: &Config) -> Proxy {
    Proxy::new(config, Tasks::default(), Books::unwritten())
}

/// When requests are equal to this one, of which the backend gets this head.
#[must_use]
pub fn identity(head: &request::Parts) -> impl Eq + use<> {
    Identity::of(0, head, false)
}

/// One client connection, as far as its requests are concerned.
#[derive(Debug)]
pub struct Client {
    name: Arc<str>,
    fields: PeerFields,
    books: Books,
}

impl Client {
    /// One that comes from there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            name: address.to_string().into(),
            fields: PeerFields::new(Some(address), Scheme::Http),
            books: Books::unwritten(),
        }
    }

    /// Looks at the head of a request, and makes of it what the backend gets, with these lines behind its
    /// fields. None where it is refused.
    pub fn forward(&self, head: &mut request::Parts) -> Option<Vec<u8>> {
        headers::check(head, Some(&self.fields)).ok()?;
        let peer = Peer { fields: Some(&self.fields), trusted: false };
        let id = RequestId::of(&head.headers);
        let backend = HeaderValue::from_static("backend:5000");
        Some(headers::rebuild(head, peer, &id, &backend).pieces(&id).concat())
    }

    /// Opens the record of a request, notes what becomes of it, and closes the books on it.
    pub fn record(&self, head: &request::Parts) {
        drop(self.delivered(head));
    }

    /// The line of such a request, to be written.
    #[must_use]
    pub fn line(&self, head: &request::Parts) -> Line {
        let record = self.delivered(head);
        let (facts, outcome) = (record.facts().clone(), record.outcome());
        Line { facts, outcome, clock: Clock::default() }
    }

    fn delivered(&self, head: &request::Parts) -> Arc<Record> {
        let facts = Facts {
            id: RequestId::of(&head.headers),
            client: Some(self.name.clone()),
            line: Some((head.method.clone(), headers::target(head).into())),
            began: Instant::now(),
        };
        let record = Record::open(&self.books, facts);
        record.note(|outcome| outcome.stage = Stage::Queued);
        let sent = Instant::now();
        record.note(|outcome| (outcome.stage, outcome.sent) = (Stage::Waiting, Some(sent)));
        record.note(|outcome| outcome.backend_status = Some(StatusCode::OK));
        record.note(|outcome| outcome.stage = Stage::Answering);
        let over = Instant::now();
        record.note(|outcome| (outcome.backend, outcome.over) = (over - sent, Some(over)));
        record.note(|outcome| outcome.ended = Some(Ended::Delivered));
        record.answered_with(StatusCode::OK);
        record.passed(13);
        record.visited_until(over);
        record
    }
}

/// A line of the access log.
#[derive(Debug)]
pub struct Line {
    facts: Facts,
    outcome: Outcome,
    clock: Clock,
}

impl Line {
    /// Appends it, with the time that it is now.
    pub fn write(&mut self, text: &mut Vec<u8>) {
        let time = self.clock.format(SystemTime::now());
        line::json(text, time, &self.facts, &self.outcome, None);
    }
}

/// Where bodies are held.
#[derive(Debug)]
pub struct Bodies {
    store: Store,
}

impl Bodies {
    /// Within these bounds.
    #[must_use]
    pub fn new(config: &config::Spool) -> Self {
        Self { store: Store::new(config) }
    }

    /// Writes a body, and reads each of its chunks as soon as it is there. How many bytes were read.
    #[must_use]
    pub fn pass(&self, chunks: &[Bytes]) -> usize {
        let spool = self.store.spool(Retain::Nothing);
        let mut reader = spool.reader();
        let mut read = 0;
        for chunk in chunks {
            write(&spool, chunk);
            read += next(&mut reader).map_or(0, |chunk| black_box(chunk).len());
        }
        spool.end(End::Whole(None));
        black_box(next(&mut reader)).map_or(read, |_| 0)
    }

    /// Writes a body that nobody reads any more. How many bytes were discarded.
    #[must_use]
    pub fn discard(&self, chunks: &[Bytes]) -> u64 {
        let spool = self.store.spool(Retain::Nothing);
        drop(spool.reader());
        let discarded = chunks.iter().map(|chunk| write(&spool, chunk)).sum();
        spool.end(End::Whole(None));
        discarded
    }
}

/// Never waits, as long as all that is held fits into memory.
fn write(spool: &Spool, chunk: &Bytes) -> u64 {
    spool.write(chunk.clone()).now_or_never().and_then(Result::ok).unwrap_or_default()
}

fn next(reader: &mut Reader) -> Option<Bytes> {
    let frame = poll_fn(|cx| reader.poll_frame(cx)).now_or_never()??;
    frame.ok()?.into_data().ok()
}

/// The slots of a backend.
#[derive(Debug)]
pub struct Slots {
    slots: queue::Slots<()>,
}

impl Slots {
    /// So many of one server.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { slots: queue::Slots::new([Seats::new((), count)]) }
    }

    /// Takes one that is free, and gives it back. False where none was.
    #[must_use]
    pub fn pass(&self) -> bool {
        black_box(self.slots.free_slot(None)).is_some()
    }

    /// Takes the only one, has the next request wait for it, and hands it over. False where anything went
    /// otherwise.
    #[must_use]
    pub fn hand_over(&self) -> bool {
        let Some(first) = self.slots.free_slot(None) else { return false };
        let (began, timeout) = (Instant::now(), Duration::ZERO);
        let terms = Terms { max: 1, came: Came::New, began, timeout };
        let mut second = pin!(self.slots.line().enter(None, terms));
        let mut cx = Context::from_waker(Waker::noop());
        let waits = second.as_mut().poll(&mut cx).is_pending();
        drop(first);
        waits && second.poll(&mut cx).is_ready()
    }
}
