//! The life of an exchange.

use std::{task::Poll, time::Duration};

use http::{header::SET_COOKIE, response};
use tokio::time::{Instant, sleep_until};

use super::{
    Exchange, Plan,
    policy::{Allowance, Policy},
};
use crate::{
    admission::queue::NoSlot,
    backend::{Answer, Backend, Fault, Link, Outbound, Piece, Sent, Slot, Switched, Watched as _},
    headers,
    observe::record::Ended,
    refusal::Refusal,
    replay::Kept,
    spool::{End, Retain, Spool, Store},
    tunnel,
};

/// Why an exchange ended before its answer did.
pub(super) enum Stopped {
    /// Nobody watched any more when its turn came: the backend never heard of it.
    Abandoned,
    /// No slot came free.
    NoSlot(NoSlot),
    /// Policy or a bound ended it, for this reason.
    Cut(&'static str),
    /// The backend gave no valid head.
    NoAnswer(Refusal),
    /// The backend broke the answer off.
    BrokenOff,
    /// It was a tunnel, and that ended so.
    Tunnel(tunnel::End),
}

/// What the client gets of an answer.
enum Heard {
    /// All of it; so it ended, and its connection may serve another exchange.
    All(End, Box<Link>),
    /// Nothing but perhaps its head, before a restart cut it. The request can go once more.
    Nothing(Outbound),
    /// The connection has left HTTP.
    Switched(Box<Switched>),
}

/// Runs the exchange to its end. Nothing that happens to a client ends it.
pub(super) fn run(exchange: Exchange, plan: Plan) -> impl Future<Output = ()> {
    // Here, since an `async fn` would hold it all twice.
    let Plan { backend, request, policy, store, retain, tunnel } = plan;
    async move {
        let tunnel = tunnel.as_deref();
        let ended = shielded(&exchange, backend, request, &policy, &store, retain, tunnel).await;
        let kept = ended.unwrap_or_else(|stopped| {
            if let Some(refusal) = stopped.refusal() {
                exchange.refuse(&refusal);
            }
            None
        });
        drop(exchange);
        if let Some(kept) = kept {
            // Boxed: few exchanges are kept. A drain waits until other seawalls have been told.
            Box::pin(kept.tell()).await;
        }
    }
}

async fn shielded(
    exchange: &Exchange,
    backend: std::sync::Arc<Backend>,
    request: Outbound,
    policy: &Policy,
    store: &Store,
    retain: Retain,
    tunnel: Option<&tunnel::Plan>,
) -> Result<Option<Box<Kept>>, Stopped> {
    let spool = store.spool(retain);
    let _cut = CutAtLast(&spool);
    let (mut slot, mut request, mut handed) = (None, request, None);
    // A block, and no value: what is held at its end would need room in every exchange.
    let switched = 'http: {
        let result = loop {
            let link = match exchange.reach(&backend, &request, &mut slot).await {
                Ok(link) => link,
                Err(stopped) => break Err(stopped),
            };
            let Some(held) = &slot else { unreachable!("reached with a slot") };
            if let Some(name) = backend.server_of(held) {
                exchange.record().note(|outcome| outcome.server = Some(name));
            }
            let sent = link.since;
            let asked = exchange.ask(&backend, (held, link), request, policy, &spool, &mut handed);
            let heard = asked.await;
            let over = Instant::now();
            let goes_on = matches!(heard, Ok(Heard::Nothing(_) | Heard::Switched(_)));
            exchange.record().note(|outcome| {
                outcome.backend += over - sent;
                outcome.over = (!goes_on).then_some(over);
            });
            match heard {
                Ok(Heard::All(end, link)) => {
                    Backend::keep(held, link, over);
                    break Ok(end);
                }
                Ok(Heard::Nothing(again)) => request = again,
                Ok(Heard::Switched(switched)) => break 'http switched,
                Err(stopped) => break Err(stopped),
            }
        };
        // The connection is closed or kept by now: only then may the next exchange have the slot.
        // And only then does the client learn that it has all: its next request finds the slot free.
        drop(slot);
        exchange.conclude_with(&result);
        if retain == Retain::Nothing {
            spool.end(result.as_ref().map_or(End::Cut, End::clone));
            return result.map(|_| None);
        }
        // Boxed: rare, and larger than the rest.
        return Box::pin(exchange.end_retained(&spool, result)).await;
    };
    // Boxed, too.
    Box::pin(exchange.tunnel(switched, tunnel, &spool, slot)).await
}

/// Whatever becomes of the task, nobody reads on in vain.
struct CutAtLast<'a>(&'a Spool);

impl Drop for CutAtLast<'_> {
    fn drop(&mut self) {
        // Without effect where the end is known.
        self.0.end(End::Cut);
    }
}

impl Exchange {
    /// Notes how it ended, before anybody sees that it did.
    pub(super) fn conclude_with(&self, result: &Result<End, Stopped>) {
        match result {
            Ok(_) => self.conclude(Ended::Delivered, None),
            Err(stopped) => self.conclude(stopped.ended(), stopped.reason()),
        }
    }

    /// Sends the request, and passes on what comes of it.
    async fn ask(
        &self,
        backend: &Backend,
        (slot, link): (&Slot, Box<Link>),
        request: Outbound,
        policy: &Policy,
        spool: &Spool,
        handed: &mut Option<response::Parts>,
    ) -> Result<Heard, Stopped> {
        let sent = tokio::select! {
            biased;
            sent = backend.send(slot, link, request, self) => sent.map_err(Stopped::NoAnswer)?,
            // What is dropped here is the exchange itself: it is cut.
            reason = self.outlived(policy.allowance(false, None)) => return Err(Stopped::Cut(reason)),
        };
        let (answer, again) = match sent {
            Sent::Answered(answer, again) => (answer, again),
            Sent::Again(again) => return Ok(Heard::Nothing(again)),
            // The client has the head of another answer, which a restart cut.
            Sent::Switched(_) if handed.is_some() => return Err(Stopped::BrokenOff),
            Sent::Switched(switched) => return Ok(Heard::Switched(switched)),
        };
        match (self.pass_on(answer, policy, spool, handed).await, again) {
            (Err(Stopped::BrokenOff), Some(again)) if spool.written() == 0 && self.is_wanted() => {
                Ok(Heard::Nothing(again))
            }
            (result, _) => result.map(|(end, link)| Heard::All(end, link)),
        }
    }

    /// Hands on the head, then the body as it comes; gives the connection back. A head that was
    /// `handed` on already is handed on once: another one must be the same.
    async fn pass_on(
        &self,
        answer: Answer,
        policy: &Policy,
        spool: &Spool,
        handed: &mut Option<response::Parts>,
    ) -> Result<(End, Box<Link>), Stopped> {
        let Answer { head: mut parts, cookie, mut link } = answer;
        self.record().note(|outcome| outcome.backend_status = Some(parts.status));
        let overruled =
            headers::accept(&mut parts, self.record().id()).map_err(Stopped::NoAnswer)?;
        let endless = headers::is_endless(&parts.headers);
        let allowance = policy.allowance(endless, overruled);
        let brief = endless && allowance.time < policy.orphan.max_duration;
        let bodyless = link.is_read();
        let first = link.at_once();
        let is_whole = first.is_ready() && link.is_read();
        match handed {
            None => {
                // Small bodies come with their head, and then nothing is to be kept of that.
                if !matches!(first, Poll::Ready(None | Some(Ok(_)))) {
                    *handed = Some(parts.clone());
                }
                // Of another server's answer, should it come to one, all else must be the same.
                // And what a cache has for all must not lead all of them to one server.
                if let Some(cookie) = cookie.filter(|_| !headers::is_public(&parts.headers)) {
                    parts.headers.append(SET_COOKIE, *cookie);
                }
                // What has come whole is over in a moment: the clock is read then.
                let answered = (!is_whole).then(Instant::now);
                self.answer(parts, spool, bodyless, brief, answered);
            }
            Some(before) if headers::is_same_answer(before, &parts) => {}
            Some(_) => return Err(Stopped::BrokenOff),
        }
        let finished = async {
            let max_bytes = policy.orphan.max_bytes;
            let end = self.fill(spool, first, &mut link, max_bytes).await?;
            link.settle().await;
            Ok(end)
        };
        let end = tokio::select! {
            biased;
            end = finished => end?,
            // What is dropped here is the exchange itself: it is cut.
            reason = self.outlived(allowance) => return Err(Stopped::Cut(reason)),
        };
        Ok((end, link))
    }

    /// Reads the body at the backend's pace to its last byte.
    async fn fill(
        &self,
        spool: &Spool,
        first: Poll<Option<Result<Piece, Fault>>>,
        link: &mut Link,
        max_orphan_bytes: u64,
    ) -> Result<End, Stopped> {
        let mut discarded = 0;
        let mut come = first;
        loop {
            let next = match std::mem::replace(&mut come, Poll::Pending) {
                Poll::Ready(next) => next,
                Poll::Pending if link.is_read() => break,
                Poll::Pending => link.piece().await,
            };
            let chunk = match next {
                None => break,
                Some(Ok(Piece::Data(chunk))) => chunk,
                Some(Ok(Piece::Trailers(trailers))) => {
                    return Ok(End::Whole(headers::accept_trailers(trailers)));
                }
                Some(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "answer broken off");
                    return Err(Stopped::BrokenOff);
                }
            };
            self.tells();
            // The spool of an answer is never retained as a whole, so it waits for room and does
            // not fail.
            let unread = spool.write(chunk).await.unwrap_or(0);
            if unread == 0 {
                continue;
            }
            discarded += unread;
            self.record().note(|outcome| outcome.discarded += unread);
            if discarded > max_orphan_bytes {
                return Err(Stopped::Cut("orphan.max_bytes reached"));
            }
        }
        Ok(End::Whole(None))
    }

    /// The end of an answer that was held for others.
    async fn end_retained(
        &self,
        spool: &Spool,
        result: Result<End, Stopped>,
    ) -> Result<Option<Box<Kept>>, Stopped> {
        if !spool.is_retained() {
            // Before its client can have it all, and ask again.
            self.give_up();
        }
        spool.end(result.as_ref().map_or(End::Cut, End::clone));
        let unread = spool.unread();
        self.record().note(|outcome| outcome.discarded += unread);
        let kept = match &result {
            Ok(_) => self.keep(spool).await,
            Err(_) => None,
        };
        spool.release();
        result.map(|_| kept)
    }

    /// Resolves once the exchange has been an orphan for longer than it may be, and nobody can join
    /// it any more, or an operator ends it; with the reason. Whoever joins it meanwhile stops the clock.
    async fn outlived(&self, allowance: Allowance) -> &'static str {
        loop {
            let since = match self.orphaned_since().await {
                Ok(since) => since,
                Err(reason) => return reason,
            };
            if allowance.time > Duration::ZERO {
                tokio::select! {
                    // Cancel-safe: both only wait.
                    () = sleep_until(since + allowance.time) => {}
                    reason = self.condemned() => return reason,
                }
            }
            if self.close_orphan(since) {
                return allowance.reason;
            }
        }
    }
}

impl Stopped {
    fn ended(&self) -> Ended {
        match self {
            Self::Abandoned => Ended::Abandoned,
            // To a person who waits for a restart, we answer; nothing has failed yet.
            Self::NoSlot(_) | Self::NoAnswer(Refusal::Restarting | Refusal::NeverReached) => {
                Ended::Refused
            }
            Self::Cut(_) => Ended::Cut,
            Self::NoAnswer(_) | Self::BrokenOff => Ended::Failed,
            Self::Tunnel(end) => end.ended,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Cut(reason) => Some(reason),
            Self::BrokenOff => Some("the backend broke its answer off"),
            Self::Tunnel(end) => end.reason,
            other => other.refusal().as_ref().map(Refusal::reason),
        }
    }

    /// What those are told who still wait for a head.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Abandoned | Self::BrokenOff | Self::Tunnel(_) => None,
            Self::NoSlot(NoSlot::QueueFull) => Some(Refusal::QueueFull),
            Self::NoSlot(NoSlot::WaitedTooLong) => Some(Refusal::QueuedTooLong),
            Self::Cut(_) => Some(Refusal::CutShort),
            Self::NoAnswer(refusal) => Some(refusal.clone()),
        }
    }
}
