//! What is known of one client connection: shared by its IO, hyper between, and its requests.
//!
//! hyper reads, serves and writes; it tells nobody where it stands. The service marks the
//! beginning and end of each request here, and the IO below hyper acts on it: whether a FIN is
//! news, whether bytes written are an answer or hyper's own, whether an answer is out. Of HTTP/2,
//! each stream has its own marks ([`Stream`]).

mod aside;
mod clock;
mod interims;
mod repeats;
mod stream;
mod working_set;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use smallvec::SmallVec;
use tokio::time::Instant;

use self::aside::Aside;
pub(crate) use self::{
    stream::{Stream, Streams, Unflushed},
    working_set::WorkingSet,
};
use crate::{
    admission::per_client::Account,
    client::Hop,
    headers::PeerFields,
    lock::Mutex,
    observe::{books::Books, record::Record},
    prefetch::prefetch,
};

/// One client connection. In this order, since a connection that has waited is in none of the processor's caches any more:
/// what is looked at with every step stands in one line of them, with the counts that are before it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Connection {
    /// A request has been read in part or whole, and its answer is not yet handed to hyper.
    serving: AtomicBool,
    /// Its request is in, whole: what follows is the wait for the answer, and the answer.
    received: AtomicBool,
    /// The present request is its last one: hyper closes it behind the answer.
    last: AtomicBool,
    /// Bytes of an answer may be in hyper's buffer.
    owing: AtomicBool,
    /// No further request is taken, and none is waited for.
    draining: AtomicBool,
    /// It has been without a request for a while, and need not be served until there is one.
    resting: AtomicBool,
    /// Something is due from its client, and the timer wakes who waits for that.
    on_the_clock: AtomicBool,
    /// The timer has gone off since it was last set, or may have.
    gone_off: AtomicBool,
    /// The client has sent a FIN.
    half_closed: AtomicBool,
    /// A FIN that comes once the client was found to be open still will count as leaving.
    fin_will_leave: AtomicBool,
    /// Something, or the end, is there behind what was read last.
    has_more: AtomicBool,
    /// The socket takes nothing of the answer for now.
    stalled: AtomicBool,
    /// More of the answer is there, and was not handed to hyper because of that.
    held_back: AtomicBool,
    /// Interim answers that wait to go out, below hyper, which sends none.
    has_interims: AtomicBool,
    /// The answer is to be broken off as soon as hyper's buffer is empty.
    breaking: AtomicBool,
    /// An answer is in `finishing`: hyper flushes with every poll, and a lock is not for nothing.
    is_finishing: AtomicBool,
    /// Handed to hyper in whole, and not yet to the kernel.
    finishing: Mutex<SmallVec<[Arc<Record>; 1]>>,
    /// hyper's buffer has been empty since the answer is to be broken off.
    clean: AtomicBool,
    /// Nothing is above its socket, so that bytes can go there from a pipe.
    plain: AtomicBool,
    /// A FIN that comes from here on counts as leaving.
    fin_leaves: AtomicBool,
    /// The body of the present request will never be whole.
    short: AtomicBool,
    /// The client speaks HTTP/1.0, which knows no interim responses.
    http10: AtomicBool,
    /// The answer is broken off, and only a reset can tell the client so.
    reset: AtomicBool,
    /// The peer, with what the backend is told of it.
    pub(crate) fields: PeerFields,
    /// The peer's address and port, for the log.
    pub(crate) name: Arc<str>,
    /// What the peer has at once.
    pub(crate) account: Arc<Account>,
    pub(crate) books: Books,
    aside: Mutex<Aside>,
    /// In a line of its own, the last: looked at once, when it is polled.
    pub(crate) working_set: WorkingSet,
}

impl Connection {
    pub(crate) fn new(hop: Hop, account: Arc<Account>, books: Books) -> Self {
        Self {
            serving: AtomicBool::new(false),
            received: AtomicBool::new(false),
            last: AtomicBool::new(false),
            owing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            on_the_clock: AtomicBool::new(false),
            gone_off: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            fin_will_leave: AtomicBool::new(false),
            has_more: AtomicBool::new(true),
            stalled: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
            has_interims: AtomicBool::new(false),
            breaking: AtomicBool::new(false),
            is_finishing: AtomicBool::new(false),
            finishing: Mutex::default(),
            clean: AtomicBool::new(false),
            plain: AtomicBool::new(false),
            fin_leaves: AtomicBool::new(false),
            short: AtomicBool::new(false),
            http10: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            name: hop.name(),
            fields: PeerFields::new(hop.address, hop.scheme),
            account,
            books,
            aside: Mutex::default(),
            working_set: WorkingSet::default(),
        }
    }

    /// That of some client at this machine.
    #[cfg(test)]
    pub(crate) fn any() -> Self {
        use crate::{admission::per_client::Clients, client::ClientKey, headers::Scheme};

        let ip = std::net::Ipv4Addr::LOCALHOST;
        let hop = Hop { address: Some((ip, 1).into()), scheme: Scheme::Http };
        let account = Clients::generous().account(ClientKey::of(Some(ip.into())));
        Self::new(hop, account, Books::unwritten())
    }

    /// Asks for it, and for what it goes on with, to have both in the processor's caches again by when they are needed.
    #[inline]
    pub(crate) fn recall(&self) {
        prefetch(self);
        self.working_set.prefetch();
    }

    /// hyper has a head. Called before anything else is polled.
    pub(crate) fn begin(&self, version: http::Version, whole: bool, last: bool) {
        self.http10.store(version == http::Version::HTTP_10, Relaxed);
        self.fin_leaves.store(false, Relaxed);
        self.fin_will_leave.store(false, Relaxed);
        self.serving.store(true, Relaxed);
        self.received.store(whole, Relaxed);
        self.short.store(false, Relaxed);
        self.last.store(last, Relaxed);
        self.owing.store(true, Relaxed);
    }

    /// A FIN is leaving, for what is asked for needs both sides.
    pub(crate) fn fin_is_leaving(&self) {
        self.fin_leaves.store(true, Relaxed);
    }

    /// An endless stream: hardly anybody half-closes while reading one, and a silent one shows no
    /// other sign that its client has left. Who has sent its FIN with the request has not left by that.
    pub(crate) fn fin_will_be_leaving(&self) {
        self.fin_will_leave.store(true, Relaxed);
    }

    /// No FIN has come so far.
    pub(crate) fn found_open(&self) {
        if self.fin_will_leave.load(Relaxed) {
            self.fin_leaves.store(true, Relaxed);
        }
    }

    pub(crate) fn does_fin_leave(&self) -> bool {
        self.fin_leaves.load(Relaxed)
    }

    /// The request is in, whole.
    pub(crate) fn received(&self) {
        self.received.store(true, Relaxed);
    }

    /// There is nothing above its socket.
    pub(crate) fn plain(&self) {
        self.plain.store(true, Relaxed);
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.plain.load(Relaxed)
    }

    /// hyper has all of the answer; it is delivered when the kernel has it.
    pub(crate) fn answered(&self, record: Arc<Record>) {
        // Pipelined, the one before may still be there.
        self.finishing.lock().push(record);
        self.is_finishing.store(true, Relaxed);
        self.serving.store(false, Relaxed);
    }

    /// The answer is broken off. Ready when all that came before is out: hyper throws away what
    /// it has buffered when a body fails. Where the end of an answer is the connection's end
    /// (HTTP/1.0), only a reset keeps it from looking whole.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.breaking.swap(true, Relaxed) {
            self.clean.store(false, Relaxed);
            cx.waker().wake_by_ref();
        }
        if !self.clean.load(Relaxed) {
            return Poll::Pending;
        }
        if self.http10.load(Relaxed) {
            self.reset.store(true, Relaxed);
        }
        Poll::Ready(())
    }

    /// The socket takes nothing for now.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Relaxed);
    }

    /// The socket takes bytes again.
    pub(crate) fn flow(&self, cx: &Context<'_>) {
        self.stalled.store(false, Relaxed);
        if self.held_back.swap(false, Relaxed) {
            cx.waker().wake_by_ref();
        }
    }

    /// Pending while the socket takes nothing: hyper would keep what it is handed.
    pub(crate) fn poll_flowing(&self) -> Poll<()> {
        let is_stalled = self.stalled.load(Relaxed);
        self.held_back.store(is_stalled, Relaxed);
        if is_stalled { Poll::Pending } else { Poll::Ready(()) }
    }

    /// A request that has not begun by now is not taken any more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Is it served with nothing to serve? What hyper still reads of a request that is answered
    /// already is its own affair.
    pub(crate) fn may_rest(&self) -> bool {
        self.is_received() && !self.is_draining() && !self.is_resting()
    }

    /// No request has come for a while.
    pub(crate) fn rest(&self) {
        self.resting.store(true, Relaxed);
    }

    /// It is served from here on, or has said something.
    pub(crate) fn rouse(&self) {
        self.resting.store(false, Relaxed);
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Relaxed)
    }

    /// The last of what the client has sent so far, or not: then it may have left behind that.
    pub(crate) fn has_read(&self, has_more: bool) {
        self.has_more.store(has_more, Relaxed);
    }

    /// Is there anything behind what was read of the client, such as its end, that nobody has looked at?
    pub(crate) fn has_more(&self) -> bool {
        self.has_more.load(Relaxed)
    }

    /// The client will send nothing more.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Relaxed)
    }

    fn is_serving(&self) -> bool {
        self.serving.load(Relaxed)
    }

    pub(crate) fn is_received(&self) -> bool {
        self.received.load(Relaxed)
    }

    pub(crate) fn is_owing(&self) -> bool {
        self.owing.load(Relaxed)
    }

    /// hyper has all of the last answer that there will be: what it writes is followed by the end.
    pub(crate) fn is_ending(&self) -> bool {
        self.last.load(Relaxed) && !self.is_serving()
    }

    pub(crate) fn is_http10(&self) -> bool {
        self.http10.load(Relaxed)
    }

    pub(crate) fn is_to_be_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    /// Only a reset can tell the client that this was not the end.
    pub(crate) fn break_off(&self) {
        self.reset.store(true, Relaxed);
    }

    /// A FIN has come.
    pub(crate) fn half_close(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// hyper has no more of the present request, and nothing will come.
    pub(crate) fn fall_short(&self, cx: &Context<'_>) {
        if !self.short.swap(true, Relaxed) {
            // Whoever receives it must look again.
            cx.waker().wake_by_ref();
        }
    }

    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Relaxed)
    }

    /// hyper's buffer is empty. The time, when this was the end of an answer.
    pub(crate) fn flushed(&self, cx: &Context<'_>) -> Option<Instant> {
        if self.breaking.load(Relaxed) && !self.clean.swap(true, Relaxed) {
            cx.waker().wake_by_ref();
        }
        let mut finished = SmallVec::new();
        if self.is_finishing.load(Relaxed) {
            self.is_finishing.store(false, Relaxed);
            finished = std::mem::take(&mut *self.finishing.lock());
        }
        let is_last = !self.is_serving() && self.is_owing();
        // hyper flushes with every poll: the clock is for the ends of answers.
        if finished.is_empty() && !is_last {
            return None;
        }
        let now = Instant::now();
        for record in finished {
            record.visited_until(now);
        }
        is_last.then(|| {
            self.owing.store(false, Relaxed);
            now
        })
    }
}

impl Drop for Connection {
    /// The kernel never had all of the last answer.
    fn drop(&mut self) {
        let why = self.why().unwrap_or("client closed the connection");
        for record in self.finishing.get_mut().drain(..) {
            record.left(Some(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn a_connection_takes_four_lines_of_the_cache_and_what_is_looked_at_with_every_step_the_first()
    {
        // Behind the two counts of its handles, in a size class of the allocator's that begins with a line.
        let counts = 2 * size_of::<usize>();
        assert!(counts + size_of::<Connection>() <= 256);
        assert!(counts + offset_of!(Connection, clean) <= 64);
        assert_eq!((counts + offset_of!(Connection, working_set)) % 64, 0);
    }
}
