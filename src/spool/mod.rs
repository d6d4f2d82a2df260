//! Bytes held in memory, then in an unlinked temporary file: one writer, many readers.
//!
//! The writer goes ahead of its readers as long as the bounds of `[spool]` hold, but for moments in
//! which it waits for those that keep pace (`pace`); a reader gets what has come at once. Bytes that
//! every reader has passed are let go, unless the spool retains them from the start ([`Retain`]). With
//! no reader left (and nothing retained) what is written is only counted.
//!
//! Memory of one body is bounded by `spool.memory`; beyond it everything held goes to disk in one
//! stride. Where `spool.total_disk` or the disk itself is full, [`Spool::write`] waits for the
//! readers, or fails with [`Full`] where the whole body is retained; what is retained up to a bound
//! is given up instead. A single chunk is always taken, so that nobody waits for the memory of
//! others.
//!
//! A long body for one client over a bare socket need not be here at all: as long as that client keeps pace, parts of
//! it go by in a pipe (`piped`), between what was written before and what is written then.
//!
//! `spool.total_memory` counts buffers, as long as anybody has a piece of them: the spool, the thread that
//! writes to disk, hyper while its client's socket is full. Where it is nearly used up, little is read at a time
//! on both sides (`is_short`), since a single chunk of each body may lie beyond the bound.

mod body;
mod budget;
mod disk;
mod pace;
mod piped;
mod reader;
mod spill;
mod state;
mod whole;

use std::{
    collections::VecDeque, future::poll_fn, io, path::PathBuf, sync::Arc, task::Waker,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use smallvec::SmallVec;
use tokio::sync::Notify;

pub(crate) use self::{
    body::{Received, SendBody},
    budget::Held,
    piped::Piped,
    reader::{Broken, Reader},
    whole::Body,
};
use self::{
    budget::{Budget, Share},
    disk::Disk,
    pace::Pace,
    piped::InPipe,
    state::Offer,
};
use crate::{
    lock::{Mutex, MutexGuard},
    pipe::Pipes,
};

/// The house-wide place that all spools share.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    limits: Arc<Limits>,
}

#[derive(Debug)]
struct Limits {
    memory: u64,
    patience: Duration,
    total_memory: Budget,
    total_disk: Budget,
    dir: PathBuf,
    pipes: Arc<Pipes>,
}

/// One body. Cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    shared: Arc<Shared>,
}

/// From where a new reader may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retain {
    /// From what other readers have not passed.
    Nothing,
    /// From the first byte, until more than so many bytes have been written, or there is no more
    /// room: then never again.
    Upto(u64),
    /// From the first byte, always.
    All,
}

/// How the writing ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Whole, perhaps with trailers. Boxed: every spool has room for them.
    Whole(Option<Box<HeaderMap>>),
    /// There was more to come, and it will not.
    Cut,
}

/// No room in memory nor on disk, and no reader that could make some.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    /// `spool.total_memory` and `spool.total_disk` are both used up.
    #[error("spool.total_memory and spool.total_disk are used up")]
    Budget,
    /// The folder of the temporary files does not take it.
    #[error("spool.dir: {0}")]
    Disk(io::Error),
}

#[derive(Debug)]
struct Shared {
    limits: Arc<Limits>,
    /// Its one reader can pass on what is in a pipe, and nothing is retained.
    by_pipe: bool,
    state: Mutex<State>,
    /// Told when a reader has let something go, or has gone itself, where the writer is short of it.
    room: Notify,
}

#[derive(Debug)]
struct State {
    /// `[memory_from, written)`, of which `chunks` holds what is not let go.
    chunks: VecDeque<Bytes>,
    /// Number of the first of `chunks`; numbers never come twice.
    first: u64,
    /// Offset of the first byte in memory.
    memory_from: u64,
    /// Offset behind the last byte.
    written: u64,
    charged: Share,
    disk: Option<Disk>,
    in_pipe: InPipe,
    /// The file is being written; it must not go, however far the readers are.
    spilling: bool,
    /// The writer has found no room, and may wait for some.
    short: bool,
    /// The writer has waited for the readers; said once in the log.
    paced: bool,
    pace: Pace,
    end: Option<End>,
    retain: Retain,
    /// How far the furthest reader ever was: what is let go beyond it was discarded.
    furthest: u64,
    /// Nearly always one.
    readers: SmallVec<[Option<Place>; 1]>,
}

/// Where a reader stands.
#[derive(Debug)]
struct Place {
    offset: u64,
    waker: Option<Waker>,
}

impl Shared {
    /// Something was let go: tells the writer, where it is short of room.
    fn has_room(&self, state: MutexGuard<'_, State>) {
        let short = state.short;
        drop(state);
        if short {
            self.room.notify_one();
        }
    }
}

impl Store {
    pub(crate) fn new(config: &crate::config::Spool) -> Self {
        let limits = Limits {
            memory: config.memory,
            patience: config.patience,
            total_memory: Budget::new(config.total_memory),
            total_disk: Budget::new(config.total_disk),
            dir: config.dir.clone(),
            pipes: Pipes::new(),
        };
        Self { limits: Arc::new(limits) }
    }

    /// What all spools hold, in memory and on disk.
    pub(crate) fn held(&self) -> [Held; 2] {
        [self.limits.total_memory.held(), self.limits.total_disk.held()]
    }

    /// The same with the bounds of this configuration. Spools that there are keep theirs, and count
    /// for both.
    pub(crate) fn reloaded(&self, config: &crate::config::Spool) -> Self {
        let limits = Limits {
            memory: config.memory,
            patience: config.patience,
            total_memory: self.limits.total_memory.bounded(config.total_memory),
            total_disk: self.limits.total_disk.bounded(config.total_disk),
            dir: config.dir.clone(),
            pipes: self.limits.pipes.clone(),
        };
        Self { limits: Arc::new(limits) }
    }

    /// An empty spool.
    pub(crate) fn spool(&self, retain: Retain) -> Spool {
        self.spool_of(retain, false)
    }

    /// An empty spool, a part of which may go `by_pipe`: its reader, of whom there is one, knows of that.
    pub(crate) fn spool_of(&self, retain: Retain, by_pipe: bool) -> Spool {
        let state = State {
            chunks: VecDeque::new(),
            first: 0,
            memory_from: 0,
            written: 0,
            charged: self.limits.total_memory.share(),
            disk: None,
            in_pipe: InPipe::Nothing,
            spilling: false,
            short: false,
            paced: false,
            pace: Pace::new(self.limits.patience),
            end: None,
            retain,
            furthest: 0,
            readers: SmallVec::new(),
        };
        Spool {
            shared: Arc::new(Shared {
                limits: self.limits.clone(),
                by_pipe: by_pipe && retain == Retain::Nothing,
                state: Mutex::new(state),
                room: Notify::new(),
            }),
        }
    }
}

impl Spool {
    /// A reader from the first byte that is still held.
    pub(crate) fn reader(&self) -> Reader {
        let index = self.shared.state.lock().take_place();
        Reader::new(self.shared.clone(), index)
    }

    /// A reader from the very first byte, where that is retained.
    pub(crate) fn reader_from_start(&self) -> Option<Reader> {
        let mut state = self.shared.state.lock();
        let index = (state.retain != Retain::Nothing).then(|| state.take_place())?;
        drop(state);
        Some(Reader::new(self.shared.clone(), index))
    }

    /// Appends. Gives back how many bytes were discarded by that, because nobody has read them and
    /// nobody may any more.
    pub(crate) async fn write(&self, chunk: Bytes) -> Result<u64, Full> {
        let len = chunk.len() as u64;
        self.write_kept(chunk, len).await
    }

    /// The same with a chunk that keeps so many bytes of memory.
    pub(crate) async fn write_kept(&self, chunk: Bytes, kept: u64) -> Result<u64, Full> {
        let (mut given_up, mut until) = (0, None);
        let mut offer = Offer::new(chunk, kept);
        loop {
            let pushed = self.shared.state.lock().push(&mut offer, self.shared.limits.memory);
            if let Some(discarded) = pushed {
                return Ok(given_up + discarded);
            }
            // Registered before the spill looks, so that room made meanwhile is not missed.
            let room = self.shared.room.notified();
            until = self.patience(until);
            if let Some(until) = until {
                // Boxed, as below.
                Box::pin(self.wait_for_readers(room, until)).await;
                continue;
            }
            // Boxed: rare, and larger than the rest of the exchange.
            match Box::pin(self.spill(&offer.chunk)).await {
                Ok(discarded) => return Ok(given_up + discarded),
                Err(full) if self.shared.state.lock().retain == Retain::All => return Err(full),
                Err(_) if self.is_retained() => {
                    given_up += self.release();
                }
                // A slow reader holds it all, and there is no more room: the backend is read at
                // the client's pace from here on.
                Err(full) => {
                    if !std::mem::replace(&mut self.shared.state.lock().paced, true) {
                        tracing::warn!(reason = %full, "spool is full: reading at the client's pace");
                    }
                    room.await;
                }
            }
        }
    }

    /// What is last of a body that is on disk for the most part goes there too, where memory is short: whoever
    /// still writes needs it more.
    pub(crate) async fn settle(&self) {
        if self.is_short() && self.shared.state.lock().is_partly_on_disk() {
            // Boxed: rare, and larger than the rest of the exchange. Where there is no room, it stays.
            let _ = Box::pin(self.spill(&Bytes::new())).await;
        }
    }

    /// Is `spool.total_memory` nearly used up? Then little is to be read ahead.
    pub(crate) fn is_short(&self) -> bool {
        self.shared.limits.total_memory.is_short()
    }

    /// Nothing more will be written.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.shared.state.lock();
        if state.end.is_none() {
            state.end = Some(end);
            state.wake();
        }
    }

    /// Retains nothing from here on. Gives back how many bytes were discarded by that.
    pub(crate) fn release(&self) -> u64 {
        let mut state = self.shared.state.lock();
        let discarded = state.release();
        self.shared.has_room(state);
        discarded
    }

    /// Can it still be read from the start?
    pub(crate) fn is_retained(&self) -> bool {
        self.shared.state.lock().retain != Retain::Nothing
    }

    /// How many bytes are retained that nobody has read, nor is about to.
    pub(crate) fn unread(&self) -> u64 {
        let state = self.shared.state.lock();
        let alone = state.readers.iter().all(Option::is_none);
        if alone && state.retain != Retain::Nothing { state.written - state.furthest } else { 0 }
    }

    /// All that was written, with the trailers, once that has ended whole; `None` where it is not
    /// retained.
    pub(crate) async fn retained(&self) -> Option<(Bytes, Option<HeaderMap>)> {
        let mut reader = self.reader_from_start()?;
        let (mut all, mut trailers) = (BytesMut::new(), None);
        while let Some(frame) = poll_fn(|cx| reader.poll_frame(cx)).await {
            match frame.ok()?.into_data() {
                Ok(data) => all.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Some((all.freeze(), trailers))
    }

    /// Bytes written so far, discarded ones included.
    pub(crate) fn written(&self) -> u64 {
        self.shared.state.lock().written
    }
}

#[cfg(test)]
mod tests;
