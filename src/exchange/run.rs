//! The life of an exchange.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use http::response;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Exchange, Plan,
    pass::{Come, Whole},
    policy::{Allowance, Policy},
};
use crate::{
    admission::queue::Came,
    backend::{Backend, Link, Outbound, Sent, Slot, Switched, Watched as _},
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
    /// `backend.queue.max` requests wait for a slot already.
    QueueFull,
    /// No slot came free within `backend.queue.timeout`.
    QueuedTooLong,
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
    /// Nothing yet of what has come whole, in one piece.
    Whole(Whole),
    /// Nothing but perhaps its head, before a restart cut it. The request can go once more.
    Nothing(Box<Outbound>),
    /// The connection has left HTTP.
    Switched(Box<Switched>),
}

/// Runs the exchange to its end. Nothing that happens to a client ends it.
pub(super) fn run(exchange: Exchange, plan: Plan) -> impl Future<Output = ()> {
    // Here, since an `async fn` would hold it all twice.
    let Plan { means, request, policy, by_pipe, retain, tunnel } = plan;
    async move {
        let slot = match exchange.first_slot(&means.backend, &request).await {
            Ok(slot) => slot,
            Err(stopped) => {
                exchange.conclude(stopped.ended(), stopped.reason());
                return exchange.refuse_for(&stopped);
            }
        };
        let spool = AnswerSpool { store: &means.store, retain, by_pipe, made: None };
        let (backend, tunnel) = (&*means.backend, tunnel.as_deref());
        // Boxed, and so made only now: while thousands wait in the queue, it would lie in no cache any more.
        let ended =
            Box::pin(shielded(&exchange, backend, request, slot, &policy, spool, tunnel)).await;
        let kept = ended.unwrap_or_else(|stopped| {
            exchange.refuse_for(&stopped);
            None
        });
        drop(exchange);
        if let Some(kept) = kept {
            // Boxed: few exchanges are kept. A drain waits until other seawalls have been told.
            Box::pin(kept.tell()).await;
        }
    }
}

fn shielded(
    exchange: &Exchange,
    backend: &Backend,
    mut request: Box<Outbound>,
    mut slot: Option<Slot>,
    policy: &Policy,
    mut spool: AnswerSpool<'_>,
    tunnel: Option<&tunnel::Plan>,
) -> impl Future<Output = Result<Option<Box<Kept>>, Stopped>> {
    let (mut came, mut handed) = (Came::New, None);
    // As above.
    async move {
        // A block, and no value: what is held at its end would need room in every exchange.
        let switched = 'http: {
            let result = loop {
                let link = match exchange.reach(backend, &request, came, &mut slot).await {
                    Ok(link) => link,
                    Err(stopped) => break Err(stopped),
                };
                came = Came::Again;
                let Some(held) = &slot else { unreachable!("reached with a slot") };
                if let Some(name) = backend.server_of(held) {
                    exchange.record().note(|outcome| outcome.server = Some(name));
                }
                let sent = link.since;
                let asked =
                    exchange.ask(backend, (held, link), request, policy, &mut spool, &mut handed);
                let heard = asked.await;
                let over = Instant::now();
                if !matches!(heard, Ok(Heard::Whole(_))) {
                    let goes_on = matches!(heard, Ok(Heard::Nothing(_) | Heard::Switched(_)));
                    exchange.record().note(|outcome| {
                        outcome.backend += over - sent;
                        outcome.over = (!goes_on).then_some(over);
                    });
                }
                match heard {
                    Ok(Heard::Whole(Whole { told, link })) => {
                        Backend::keep(held, link, over);
                        // As below: nobody learns that all is there before the next exchange can have the slot.
                        drop(slot);
                        exchange.answer_whole(told, sent, over);
                        return Ok(None);
                    }
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
            if spool.retain == Retain::Nothing {
                if let Some(spool) = &spool.made {
                    spool.end(result.as_ref().map_or(End::Cut, End::clone));
                    spool.settle().await;
                }
                return result.map(|_| None);
            }
            // Boxed: rare, and larger than the rest.
            return Box::pin(exchange.end_retained(spool.get(), result)).await;
        };
        // Boxed, too.
        Box::pin(exchange.tunnel(switched, tunnel, spool.get(), slot)).await
    }
}

/// The spool of an answer, made once it is needed: what comes whole in one piece needs none. Whatever
/// becomes of the exchange, nobody reads on in vain.
struct AnswerSpool<'a> {
    store: &'a Store,
    retain: Retain,
    by_pipe: bool,
    made: Option<Spool>,
}

impl AnswerSpool<'_> {
    fn get(&mut self) -> &Spool {
        self.made.get_or_insert_with(|| self.store.spool_of(self.retain, self.by_pipe))
    }

    fn is_empty(&self) -> bool {
        self.made.as_ref().is_none_or(|spool| spool.written() == 0)
    }
}

impl Drop for AnswerSpool<'_> {
    fn drop(&mut self) {
        if let Some(spool) = &self.made {
            // Without effect where the end is known.
            spool.end(End::Cut);
        }
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

    /// Tells those who still wait for a head, where there is a refusal for this.
    fn refuse_for(&self, stopped: &Stopped) {
        if let Some(refusal) = stopped.refusal() {
            self.refuse(&refusal);
        }
    }

    /// Sends the request, and passes on what comes of it.
    fn ask(
        &self,
        backend: &Backend,
        (slot, link): (&Slot, Box<Link>),
        request: Box<Outbound>,
        policy: &Policy,
        spool: &mut AnswerSpool<'_>,
        handed: &mut Option<Box<response::Parts>>,
    ) -> impl Future<Output = Result<Heard, Stopped>> {
        let store = spool.store;
        // As above.
        async move {
            // A block: what came needs no room while its body does.
            let (answer, mut again) = {
                let sent = tokio::select! {
                    biased;
                    sent = backend.send(slot, link, request, self) => sent.map_err(Stopped::NoAnswer)?,
                    // What is dropped here is the exchange itself: it is cut.
                    reason = self.outlived(policy.allowance(&backend.config, false, None)) => {
                        return Err(Stopped::Cut(reason));
                    }
                };
                match sent {
                    Sent::Answered(answer, again) => (answer, again),
                    Sent::Again(again) => return Ok(Heard::Nothing(again)),
                    // The client has the head of another answer, which a restart cut.
                    Sent::Switched(_) if handed.is_some() => return Err(Stopped::BrokenOff),
                    Sent::Switched(switched) => return Ok(Heard::Switched(switched)),
                }
            };
            let answer =
                match self.whole(answer, (*policy, &backend.config), store, handed.is_some())? {
                    Come::Whole(whole) => return Ok(Heard::Whole(whole)),
                    Come::InPart(answer) => answer,
                };
            let passed = match self.hand_on(answer, spool.get(), handed) {
                // Boxed: each exchange would bear its size, and whose answer does not come whole at once is busy with that.
                Ok(begun) => {
                    let max_bytes = backend.config.orphan.max_bytes;
                    Box::pin(self.pass_on(begun, max_bytes, spool.get(), &mut again)).await
                }
                Err(stopped) => Err(stopped),
            };
            match (passed, again) {
                (Err(Stopped::BrokenOff), Some(again)) if spool.is_empty() && self.is_wanted() => {
                    Ok(Heard::Nothing(again))
                }
                (result, _) => result.map(|(end, link)| Heard::All(end, link)),
            }
        }
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
    pub(super) fn outlived(&self, allowance: Allowance) -> impl Future<Output = &'static str> {
        let Allowance { time, reason } = allowance;
        // Boxed: few need a timer.
        let mut timer: Option<(Instant, Pin<Box<Sleep>>)> = None;
        poll_fn(move |cx| {
            loop {
                let since = match &mut timer {
                    None => match ready!(self.poll_orphaned_since(cx)) {
                        Ok(since) if time > Duration::ZERO => {
                            timer = Some((since, Box::pin(sleep_until(since + time))));
                            continue;
                        }
                        Ok(since) => since,
                        Err(reason) => return Poll::Ready(reason),
                    },
                    Some((since, sleep)) => {
                        if let Poll::Ready(reason) = self.poll_condemned(cx) {
                            return Poll::Ready(reason);
                        }
                        ready!(sleep.as_mut().poll(cx));
                        *since
                    }
                };
                timer = None;
                if self.close_orphan(since) {
                    return Poll::Ready(reason);
                }
            }
        })
    }
}

impl Stopped {
    fn ended(&self) -> Ended {
        match self {
            Self::Abandoned => Ended::Abandoned,
            // To a person who waits for a restart, we answer; nothing has failed yet.
            Self::QueueFull
            | Self::QueuedTooLong
            | Self::NoAnswer(Refusal::Restarting | Refusal::NeverReached) => Ended::Refused,
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
            Self::QueueFull => Some(Refusal::QueueFull),
            Self::QueuedTooLong => Some(Refusal::QueuedTooLong),
            Self::Cut(_) => Some(Refusal::CutShort),
            Self::NoAnswer(refusal) => Some(refusal.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_exchange_is_small() {
        fn size_of_run<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        fn size_of_shielded<A, B, C, D, E, G, H, F: Future>(
            _: fn(A, B, C, D, E, G, H) -> F,
        ) -> usize {
            size_of::<F>()
        }
        // Thousands may sleep at once, with a slot or without; what is rare and large is boxed where it is
        // awaited. Size classes of the allocator's: one more byte takes up the next one. Half of the former is for the
        // queue, where a box would be one more line of memory to wait for.
        assert!(size_of_run(run) <= 192, "{}", size_of_run(run));
        assert!(size_of_shielded(shielded) <= 640, "{}", size_of_shielded(shielded));
    }
}
