//! What an exchange shares with those who watch it, and the seats they have.
//!
//! Everything that decides between them is decided under one lock: whether an exchange that nobody
//! watches is sent, whether an orphan ends, and whether somebody may still join it. Only that nothing has
//! come up yet is known without it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Waker},
};

use http::{Response, response};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::open::Open;
use crate::{
    admission::per_client::ClientShare,
    backend::Writes,
    lock::Mutex,
    observe::{
        record::{self, Outcome, Record, Stage},
        trace::{Trail, What},
    },
    prefetch::prefetch,
    refusal::Refusal,
    spool,
};

/// The head of an answer, and its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub parts: response::Parts,
    pub body: spool::Body,
    /// No body comes, whatever the fields say: HEAD, 204, 304.
    pub bodyless: bool,
    /// Goes on for ever, and is not to outlive its client for long.
    pub brief: bool,
}

/// What a watcher gets in the place of a head.
#[derive(Debug)]
pub(super) enum NoHead {
    Refused(Refusal),
    /// The answer is not for all who wait for it, and not for this one.
    NotShared,
}

/// In this order, since of thousands who wait nothing is in the processor's caches any more when it is their turn, and
/// each line of them costs as much as all that is done in it: flags, lock, and what is looked at with every step stand
/// in one, and what answers stand in comes last.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shared {
    /// Nobody has watched for a moment, or an operator has ended it: what the task is woken for. Set under the lock by
    /// whoever brings that about, and never taken back: until then it is wanted, which needs no lock to be known.
    pub has_news: AtomicBool,
    /// The task that runs it is woken for that.
    pub is_told: AtomicBool,
    /// There was word for those who watch. Asked, and unset, by the client's task that runs it.
    pub has_word: AtomicBool,
    /// Its end is told to all who watch.
    pub is_over: AtomicBool,
    /// It was open to others when it began.
    pub may_have_guests: bool,
    /// That of its first watcher, where that is traced.
    pub trail: Option<Arc<Trail>>,
    /// Of an unsafe request: raised before its client learns anything.
    pub writes: Option<Arc<Writes>>,
    pub state: Mutex<State>,
    pub share: ClientShare,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct State {
    pub stage: Stage,
    pub ended: bool,
    /// It is at its end, or will not be sent: nobody joins it any more.
    pub closed: bool,
    /// To be sent even if nobody watches by then: its client was told that it will be.
    pub promised: bool,
    pub watchers: u32,
    /// Where others may join.
    pub open: Option<Box<Open>>,
    /// Of the task that wants to know when the last watcher leaves.
    pub task: Option<Waker>,
    /// Of the exchange, until it has ended: those who watch it for longer must not keep it.
    pub record: Option<Arc<Record>>,
    pub orphaned: Option<Instant>,
    /// An operator ends it, for this reason.
    pub condemned: Option<&'static str>,
    /// Nearly always one.
    seats: SmallVec<[Option<Seat>; 1]>,
}

/// The place of one watcher.
#[derive(Debug)]
pub(super) struct Seat {
    told: Word,
    /// Of whom others may join. Boxed: few have it.
    caller: Option<Box<IpAddr>>,
    /// Interim answers, to be taken before the answer. Boxed: there are hardly ever any.
    interims: Option<Box<Interims>>,
    pub waker: Option<Waker>,
}

/// Boxed, both: while an exchange waits, it has no room for either, which would be in no cache any more by then.
#[derive(Debug)]
enum Word {
    Nothing,
    Head(Box<Head>),
    NoHead(Box<NoHead>),
    /// It has taken what it was told.
    Taken,
}

#[derive(Debug, Default)]
struct Interims {
    came: usize,
    untaken: Vec<Response<()>>,
}

impl Shared {
    /// For the first watcher, in seat 0.
    pub(super) fn new(
        share: ClientShare,
        writes: Option<Arc<Writes>>,
        open: Option<Box<Open>>,
        record: Arc<Record>,
    ) -> Arc<Self> {
        let trail = record.trail().cloned();
        let caller = open.as_ref().map(|open| open.caller);
        let may_have_guests = open.is_some();
        let state = State {
            stage: Stage::Queued,
            ended: false,
            record: Some(record),
            closed: false,
            watchers: 1,
            orphaned: None,
            condemned: None,
            promised: false,
            seats: smallvec::smallvec![Some(Seat::of(caller))],
            open,
            task: None,
        };
        let [has_news, is_told, has_word, is_over] = [const { AtomicBool::new(false) }; 4];
        let state = Mutex::new(state);
        Arc::new(Self {
            has_news,
            is_told,
            has_word,
            is_over,
            may_have_guests,
            trail,
            writes,
            state,
            share,
        })
    }

    /// Seats one more watcher, if the exchange is open to it; an orphan is none any more then.
    pub(super) fn take_seat(&self, caller: IpAddr) -> Option<usize> {
        let mut state = self.state.lock();
        let sent = state.stage > Stage::Queued;
        if state.ended || state.closed {
            return None;
        }
        let open = state.open.as_mut()?;
        if sent && open.is_outdated() {
            return None;
        }
        let mut taken = Seat::of(Some(caller));
        if open.is_offered() {
            taken.tell(Ok(Box::new(open.head_for(caller)?)));
        }
        state.watchers += 1;
        let now = Instant::now();
        if state.orphaned.take().is_some() {
            self.share.adopted();
            state.note(|outcome| outcome.adopted(now));
        }
        if let Some(trail) = &self.trail {
            trail.happened(What::Joined, now);
        }
        let free = state.seats.iter().position(Option::is_none);
        Some(match free {
            Some(index) => {
                state.seats[index] = Some(taken);
                index
            }
            None => {
                state.seats.push(Some(taken));
                state.seats.len() - 1
            }
        })
    }
}

impl Shared {
    /// Asks for it, to have it in the processor's caches again by when it is needed.
    pub(super) fn recall(&self) {
        prefetch(self);
    }

    /// Nobody watches what runs at the backend, from `now` on. Here alone it is decided, for the books
    /// and the spans, that an exchange is an orphan.
    pub(super) fn runs_for_nobody(&self, state: &State, now: Instant) {
        state.note(|outcome| outcome.orphaned = Some(now));
        if let Some(trail) = &self.trail {
            trail.happened(What::Orphaned, now);
        }
    }
}

impl record::End for Shared {
    fn end(&self, reason: &'static str) -> bool {
        let mut state = self.state.lock();
        if state.ended {
            return false;
        }
        state.condemned.get_or_insert(reason);
        self.has_news.store(true, Relaxed);
        state.closed = true;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        true
    }
}

impl State {
    fn note(&self, change: impl FnOnce(&mut Outcome)) {
        if let Some(record) = &self.record {
            record.note(change);
        }
    }

    pub(super) fn seat(&mut self, index: usize) -> &mut Seat {
        match self.seats.get_mut(index) {
            Some(Some(seat)) => seat,
            _ => unreachable!("a watcher keeps its seat until it is dropped"),
        }
    }

    pub(super) fn leave(&mut self, index: usize) -> Option<Seat> {
        self.watchers -= 1;
        self.seats.get_mut(index)?.take()
    }

    /// Hands the head to those who wait. Their readers are made here, so that nothing is kept where
    /// nobody watches, and nothing missed where somebody does.
    pub(super) fn answer(
        &mut self,
        parts: response::Parts,
        spool: &spool::Spool,
        bodyless: bool,
        brief: bool,
    ) {
        let Some(open) = &mut self.open else {
            if let Some(Some(seat)) = self.seats.first_mut() {
                let body = spool::Body::Spooled(spool.reader());
                seat.tell(Ok(Box::new(Head { parts, body, bodyless, brief })));
            }
            return;
        };
        open.offer(parts, spool, bodyless, brief);
        for seat in self.seats.iter_mut().flatten() {
            let head = seat.caller.as_deref().and_then(|caller| open.head_for(*caller));
            seat.tell(head.map(Box::new).ok_or_else(|| Box::new(NoHead::NotShared)));
        }
    }

    /// The same with a whole answer, where nobody can join. False where nobody watches.
    pub(super) fn answer_whole(&mut self, head: Box<Head>) -> bool {
        match self.seats.first_mut() {
            Some(Some(seat)) => {
                seat.tell(Ok(head));
                true
            }
            _ => false,
        }
    }

    /// Only where nobody can join: those who come later would have missed it.
    pub(super) fn interim(&mut self, head: Response<()>) {
        let Some(Some(seat)) = self.seats.first_mut().filter(|_| self.open.is_none()) else {
            return;
        };
        let interims = seat.interims.get_or_insert_default();
        interims.came += 1;
        if interims.came <= MOST_INTERIMS {
            interims.untaken.push(head);
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
    }

    /// Those who have joined note how far it has come.
    pub(super) fn wake_guests(&mut self) {
        let guests = self.seats.iter_mut().skip(1).flatten();
        guests.filter_map(|seat| seat.waker.take()).for_each(Waker::wake);
    }

    /// To those who still wait for a head.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        for seat in self.seats.iter_mut().flatten() {
            seat.tell(Err(Box::new(NoHead::Refused(refusal.clone()))));
        }
    }
}

impl Seat {
    fn of(caller: Option<IpAddr>) -> Self {
        let caller = caller.map(Box::new);
        Self { caller, told: Word::Nothing, interims: None, waker: None }
    }

    /// Those that have come since.
    pub(super) fn interims(&mut self) -> Vec<Response<()>> {
        match &mut self.interims {
            Some(interims) => std::mem::take(&mut interims.untaken),
            None => Vec::new(),
        }
    }

    /// What it was told, unless it has that already.
    pub(super) fn take_answer(&mut self) -> Option<Result<Box<Head>, Box<NoHead>>> {
        if let Word::Nothing = self.told {
            return None;
        }
        match std::mem::replace(&mut self.told, Word::Taken) {
            Word::Head(head) => Some(Ok(head)),
            Word::NoHead(no_head) => Some(Err(no_head)),
            Word::Nothing | Word::Taken => None,
        }
    }

    /// Only once.
    fn tell(&mut self, answer: Result<Box<Head>, Box<NoHead>>) {
        let Word::Nothing = self.told else { return };
        self.told = match answer {
            Ok(head) => Word::Head(head),
            Err(no_head) => Word::NoHead(no_head),
        };
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Has the present task woken, and clones nothing where it is registered already.
pub(super) fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

/// Interim answers to one request that are passed on. There are clients that bear no more (Go's).
const MOST_INTERIMS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_takes_three_lines_of_the_cache() {
        // With the two counts of its handles, a size class of the allocator's that begins with a line.
        assert!(2 * size_of::<usize>() + size_of::<Shared>() <= 192);
    }
}
