//! The life of an exchange.

use std::{pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use http::response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Exchange, Plan,
    policy::{Allowance, Policy},
};
use crate::{
    admission::queue::{NoSlot, Slot},
    backend::{Answer, Backend, Link, Outbound, Sent, Watched as _},
    headers,
    observe::record::Ended,
    refusal::Refusal,
    spool::{End, Spool, Store},
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
}

/// Runs the exchange to its end. Nothing that happens to a client ends it.
pub(super) async fn run(exchange: Exchange, plan: Plan, _counted: TaskTrackerToken) {
    let result = shielded(&exchange, plan.backend, plan.request, &plan.policy, &plan.store).await;
    exchange.ended(&result);
}

async fn shielded(
    exchange: &Exchange,
    backend: std::sync::Arc<Backend>,
    request: Outbound,
    policy: &Policy,
    store: &Store,
) -> Result<(), Stopped> {
    let spool = store.spool(false);
    let _cut = CutAtLast(&spool);
    let (mut slot, mut request, mut handed) = (None, request, None);
    let (slot, sent, result) = loop {
        let (reached, link) = exchange.reach(&backend, &request, slot).await?;
        let sent = Instant::now();
        let (answer, again) = match exchange.send(&backend, link, request, policy).await {
            Ok(Sent::Answered(answer, again)) => (answer, again),
            Ok(Sent::Again(again)) => {
                (slot, request) = (Some(reached), again);
                continue;
            }
            Err(stopped) => break (reached, sent, Err(stopped)),
        };
        let result = exchange.pass_on(&backend, answer, policy, &spool, &mut handed).await;
        match (result, again) {
            // A restart has cut it behind its head, and the client has no more than that.
            (Err(Stopped::BrokenOff), Some(again))
                if spool.written() == 0 && exchange.is_wanted() =>
            {
                (slot, request) = (Some(reached), again);
            }
            (result, _) => break (reached, sent, result),
        }
    };
    exchange.record().note(|outcome| outcome.backend = sent.elapsed());
    // The connection is closed or kept by now: only then may the next exchange have the slot. And
    // only then does the client learn that it has all: its next request finds the slot free.
    drop::<Slot>(slot);
    spool.end(result.as_ref().map_or(End::Cut, End::clone));
    result.map(|_| ())
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
    async fn send(
        &self,
        backend: &Backend,
        link: Box<Link>,
        request: Outbound,
        policy: &Policy,
    ) -> Result<Sent, Stopped> {
        tokio::select! {
            biased;
            sent = backend.send(link, request, self) => sent.map_err(Stopped::NoAnswer),
            // What is dropped here is the exchange itself: it is cut.
            reason = self.outlived(policy.allowance(false, None)) => Err(Stopped::Cut(reason)),
        }
    }

    /// Hands on the head, then the body as it comes; keeps the connection if it can be kept. A head
    /// that was `handed` on already is handed on once: another one must be the same.
    async fn pass_on(
        &self,
        backend: &Backend,
        answer: Answer,
        policy: &Policy,
        spool: &Spool,
        handed: &mut Option<response::Parts>,
    ) -> Result<End, Stopped> {
        let Answer { response, mut link } = answer;
        let (mut parts, mut body) = response.into_parts();
        self.record().note(|outcome| outcome.backend_status = Some(parts.status));
        let overruled =
            headers::accept(&mut parts, self.record().id()).map_err(Stopped::NoAnswer)?;
        let endless = headers::is_endless(&parts.headers);
        let allowance = policy.allowance(endless, overruled);
        let brief = endless && allowance.time < policy.orphan.max_duration;
        let bodyless = body.is_end_stream();
        let first = Link::at_once(body.frame());
        match handed {
            None => {
                // Small bodies come with their head, and then nothing is to be kept of that.
                if !matches!(first, Poll::Ready(None | Some(Ok(_)))) {
                    *handed = Some(parts.clone());
                }
                self.answer(parts, spool, bodyless, brief);
            }
            Some(before) if headers::is_same_answer(before, &parts) => {}
            Some(_) => return Err(Stopped::BrokenOff),
        }
        let finished = async {
            let max_bytes = policy.orphan.max_bytes;
            let end = self.fill(spool, first, &mut body, &mut link, max_bytes).await?;
            link.settle().await;
            Ok(end)
        };
        let end = tokio::select! {
            biased;
            end = finished => end?,
            // What is dropped here is the exchange itself: it is cut.
            reason = self.outlived(allowance) => return Err(Stopped::Cut(reason)),
        };
        backend.keep(link);
        Ok(end)
    }

    /// Reads the body at the backend's pace to its last byte.
    async fn fill(
        &self,
        spool: &Spool,
        first: Poll<Option<hyper::Result<Frame<Bytes>>>>,
        body: &mut Incoming,
        link: &mut Link,
        max_orphan_bytes: u64,
    ) -> Result<End, Stopped> {
        let mut discarded = 0;
        let mut come = first;
        loop {
            let next = match std::mem::replace(&mut come, Poll::Pending) {
                Poll::Ready(next) => next,
                Poll::Pending if body.is_end_stream() => break,
                Poll::Pending => link.drive(body.frame()).await,
            };
            let frame = match next {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "answer broken off");
                    return Err(Stopped::BrokenOff);
                }
            };
            let chunk = match frame.into_data() {
                Ok(chunk) => chunk,
                Err(other) => return Ok(End::Whole(other.into_trailers().ok())),
            };
            let len = chunk.len() as u64;
            // The spool of an answer is never retained, so it waits for room and does not fail.
            if spool.write(chunk).await.unwrap_or(true) {
                continue;
            }
            discarded += len;
            self.record().note(|outcome| outcome.discarded += len);
            if discarded > max_orphan_bytes {
                return Err(Stopped::Cut("orphan.max_bytes reached"));
            }
        }
        Ok(End::Whole(None))
    }

    /// Resolves once the exchange has been an orphan for longer than it may be.
    async fn outlived(&self, allowance: Allowance) -> &'static str {
        let since = self.orphaned_since().await;
        if allowance.time > Duration::ZERO {
            let mut end = pin!(sleep_until(since + allowance.time));
            end.as_mut().await;
        }
        allowance.reason
    }

    fn ended(self, result: &Result<(), Stopped>) {
        let (ended, reason, refusal) = match result {
            Ok(()) => (Ended::Delivered, None, None),
            Err(Stopped::Abandoned) => (Ended::Abandoned, None, None),
            Err(Stopped::NoSlot(why)) => {
                let refusal = match why {
                    NoSlot::QueueFull => Refusal::QueueFull,
                    NoSlot::WaitedTooLong => Refusal::QueuedTooLong,
                };
                (Ended::Refused, Some(refusal.reason()), Some(refusal))
            }
            Err(Stopped::Cut(reason)) => (Ended::Cut, Some(*reason), Some(Refusal::CutShort)),
            Err(Stopped::NoAnswer(refusal)) => {
                // To a person who waits for a restart, we answer; nothing has failed yet.
                let is_ours = *refusal == Refusal::Restarting;
                let ended = if is_ours { Ended::Refused } else { Ended::Failed };
                (ended, Some(refusal.reason()), Some(refusal.clone()))
            }
            Err(Stopped::BrokenOff) => {
                (Ended::Failed, Some("the backend broke its answer off"), None)
            }
        };
        self.record().note(|outcome| {
            outcome.ended = Some(ended);
            // Why the exchange ended says more than why its client left.
            outcome.reason = reason.or(outcome.reason);
        });
        if let Some(refusal) = refusal {
            self.refuse(refusal);
        }
    }
}
