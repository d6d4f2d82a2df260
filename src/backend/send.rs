//! Sending a request: over a kept connection where that is safe, else over a new one; and once more
//! where that is safe too.

use std::{
    future::{Future, poll_fn},
    io,
    num::NonZeroU64,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Response, StatusCode, header::SET_COOKIE, response};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Backend,
    attempt::NoLink,
    hold::Turn,
    link::{Fault, Link},
    outbound::Outbound,
    pool::Taken,
    server::Slot,
    wire::Wire,
};
use crate::refusal::Refusal;

/// Between two tries of a backend that is away. Short, since whoever waits is to be served as soon
/// as it is back.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the first such try may take, since a name may lead elsewhere by then; each one has twice
/// as long as the one before, up to `backend.connect_timeout`.
const TRY: Duration = Duration::from_millis(500);
/// What accepts in place of a server that is not there (the published port of a container) closes
/// the connection before long. What has not been sent by then cannot have been seen.
pub(super) const LISTEN: Duration = Duration::from_millis(10);
/// A process that ends closes its connections one after the other, and its listener somewhere in
/// between: a request that was cut a moment ago could be cut once more, by the same restart. So long it is
/// listened, too, where something is known to accept in place of the server: a machine that is busy with
/// starting that may take longer to close.
const PARTING: Duration = Duration::from_millis(100);

/// The head of the backend's answer, and the connection on which the rest will come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub head: response::Parts,
    /// For the client, beside the answer's own fields.
    pub cookie: Option<Box<HeaderValue>>,
    pub link: Box<Link>,
}

/// The head of an answer behind which the connection has left HTTP, and that connection.
#[derive(Debug)]
pub(crate) struct Switched {
    pub head: response::Parts,
    pub wire: Wire,
}

/// What came of sending a request.
#[derive(Debug)]
pub(crate) enum Sent {
    /// With the request, where it can go once more should the answer not get beyond its head.
    Answered(Answer, Option<Box<Outbound>>),
    /// The backend speaks another protocol now, as it was asked to.
    Switched(Box<Switched>),
    /// The connection ended before the answer began, and the request can go once more.
    Again(Box<Outbound>),
}

/// Those who wait for an answer, as the exchange knows them.
pub(crate) trait Watched: Sync {
    /// The backend may know of the request from here on, which is now. The task is woken when nobody waits any more.
    fn begin(&self, now: Instant, cx: &Context<'_>);
    /// Is it to be sent?
    fn is_wanted(&self) -> bool;
    /// An interim answer has come, before the answer.
    fn interim(&self, head: Response<()>);
    /// May somebody come yet who waits for it too?
    fn is_open(&self) -> bool;
    /// Ready when nobody waits any more.
    fn poll_orphaned(&self, cx: &Context<'_>) -> Poll<()>;
}

impl Backend {
    /// A connection for this request to the server of this slot; where it is its turn to try, as soon
    /// as there is one.
    ///
    /// A kept connection may be closed by the backend at any moment, and then nobody can tell
    /// whether it saw the request. So only an idempotent request (RFC 9110, section 9.2.2) gets one,
    /// and once; all others get a new one. So does one that asks for another protocol: its
    /// connection is not given back.
    pub(crate) async fn connect(
        &self,
        request: &Outbound,
        turn: &Turn<'_>,
        slot: &mut Slot,
    ) -> Result<Box<Link>, Refusal> {
        if request.doubted.is_some() {
            // Where another server has a slot free, that is not to be doubted.
            slot.move_on(false);
        }
        let listen = match turn {
            Turn { is_trial: true, .. } => Some(LISTEN),
            Turn { was_held, .. } if request.doubts(slot) => {
                Some(if *was_held { LISTEN } else { PARTING })
            }
            Turn { .. } => None,
        };
        if request.is_idempotent()
            && listen.is_none()
            && request.doubted.is_none()
            && !request.upgrades
            && let Some(Taken { link, now, is_others }) = slot.server().pool.take()
            // Where it cannot be had here, it is closed, and a new one takes its place.
            && let Ok(mut link) = if is_others { self.moved(slot, link).await } else { Ok(link) }
        {
            link.since = now;
            return Ok(link);
        }
        // Boxed: dialling is rare, and its future is many times the size of all others.
        Box::pin(async {
            let mut bound = if listen.is_some() { TRY } else { Duration::MAX };
            // It was the last one, and is so no more once another is back.
            let mut tried_first = None;
            loop {
                let listen = match listen {
                    Some(LISTEN) if self.lasting.hold.is_stood_in_for() => Some(PARTING),
                    other => other,
                };
                // Each time: while it is tried again and again, the url may be mended.
                match self.attempt(slot, bound, listen).await {
                    Ok(mut link) => {
                        self.lasting.reached(slot.seats());
                        if let Some((seats, why)) = tried_first
                            && !Arc::ptr_eq(&seats, slot.seats())
                        {
                            self.lasting.out_of_reach(&seats, &why);
                        }
                        link.since = Instant::now();
                        return Ok(link);
                    }
                    Err(why) => {
                        if let Some(why) = self.crash_loop() {
                            return Err(why);
                        }
                        let is_another = self.lasting.out_of_reach(slot.seats(), &why);
                        if !is_another && self.is_waited_for() {
                            self.lasting.hold.lost(&self.config.name, why.clone());
                        }
                        if !turn.is_trial {
                            return Err(why);
                        }
                        let tried = slot.seats().clone();
                        // It may be another one that is back.
                        if slot.move_on(true) {
                            tried_first.get_or_insert((tried, why));
                        }
                    }
                }
                sleep(PAUSE).await;
                bound = bound.saturating_mul(2);
            }
        })
        .await
    }

    /// A kept connection of another worker. One whose server does not take what it was sent is not waited
    /// for longer than a new one.
    async fn moved(&self, slot: &Slot, link: Box<Link>) -> io::Result<Box<Link>> {
        let bound = slot.server().place().connect_timeout;
        Box::pin(timeout(bound, link.moved())).await?
    }

    pub(super) async fn attempt(
        &self,
        slot: &Slot,
        bound: Duration,
        listen: Option<Duration>,
    ) -> Result<Box<Link>, Refusal> {
        let link = self.lasting.attempt(slot, bound, listen).await;
        link.map_err(|error| {
            // Once: whoever tries again and again says nothing new.
            if !self.is_away() && !matches!(error, NoLink::Gone) {
                let (backend, place) = (&self.config.name, slot.server().place());
                tracing::warn!(backend, url = %place.url, %error, "cannot connect");
            }
            error.refusal()
        })
    }

    /// Sends the request and awaits the head of the answer.
    ///
    /// Where the connection ends before that is whole, it was stale, or a restart cut it: some servers
    /// write a head line by line. An idempotent request can then be sent once more, and any other
    /// only if no byte of it had left.
    pub(crate) fn send(
        &self,
        slot: &Slot,
        mut link: Box<Link>,
        request: Box<Outbound>,
        watched: &impl Watched,
    ) -> impl Future<Output = Result<Sent, Refusal>> {
        // Here, since an `async fn` would hold what it takes twice.
        let (can_repeat, is_unseen) = (request.is_idempotent() && !request.is_sent, !link.was_kept);
        let upgrades = request.upgrades;
        async move {
            poll_fn(|cx| {
                watched.begin(link.since, cx);
                Poll::Ready(())
            })
            .await;
            let cookie = request.stuck.as_ref().and_then(|stuck| stuck.cookie(slot));
            let sent = link.send(&request).await;
            let mut request = Some(request).filter(|_| can_repeat || !link.is_sent);
            let answered = match sent {
                Ok(()) => {
                    let mut answer = pin!(link.answer(|head| watched.interim(head)));
                    let mut is_watched = request.is_some();
                    // No `select!`: what comes of that would have room in every exchange.
                    poll_fn(|cx| {
                        let answered = answer.as_mut().poll(cx);
                        if answered.is_pending()
                            && is_watched
                            && watched.poll_orphaned(cx).is_ready()
                        {
                            is_watched = false;
                            // Nobody has it sent again any more, unless somebody joins.
                            if !watched.is_open() {
                                request = None;
                            }
                        }
                        answered
                    })
                    .await
                }
                Err(fault) => Err(fault),
            };
            let fault = match answered {
                Ok(head) if upgrades && head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    slot.server().conduct.answered();
                    // Boxed: hardly any does.
                    return Ok(Box::pin(switched(head, cookie, link)).await);
                }
                Ok(head) => {
                    slot.server().conduct.answered();
                    let mut again = request.filter(|_| can_repeat);
                    if let Some(again) = &mut again {
                        again.goes_again(true, NonZeroU64::new(link.server));
                    }
                    return Ok(Sent::Answered(Answer { head, cookie, link }, again));
                }
                Err(fault) => fault,
            };
            // Boxed: rare. Whether it was seen is worth the while: else it is listened whether a restart has begun.
            if link.was_kept
                && request.as_ref().is_some_and(|request| request.has_no_body())
                && matches!(fault, Fault::Closed)
                && Box::pin(link.closed_before()).await
            {
                link.is_sent = false;
            }
            // Neither would what is no HTTP be any the second time, nor what is lost be there again.
            let is_lasting = matches!(fault, Fault::Malformed(_) | Fault::Request(_));
            // One that was kept is often closed in this moment, and that is no fault.
            if is_unseen && !is_lasting {
                self.lasting.cut(slot.seats());
            }
            let may_repeat = !is_lasting && (can_repeat || !(link.is_sent || link.has_heard));
            match request.filter(|_| may_repeat) {
                Some(mut request) if watched.is_wanted() => {
                    tracing::debug!(
                        backend = self.config.name,
                        error = &fault as &dyn std::error::Error,
                        "no answer: sending once more"
                    );
                    let is_sent = request.is_sent || link.is_sent;
                    let doubted = NonZeroU64::new(link.server).filter(|_| is_sent || is_unseen);
                    request.goes_again(is_sent, doubted);
                    Ok(Sent::Again(request))
                }
                _ => Err(self.failed(slot, &fault)),
            }
        }
    }

    fn failed(&self, slot: &Slot, fault: &Fault) -> Refusal {
        tracing::warn!(
            backend = self.config.name,
            url = %slot.server().place().url,
            error = fault as &dyn std::error::Error,
            "no valid answer"
        );
        match fault {
            Fault::Malformed(_) => Refusal::AnswerMalformed,
            Fault::Request(_) => Refusal::Internal,
            _ => Refusal::ClosedEarly,
        }
    }
}

async fn switched(
    mut head: response::Parts,
    cookie: Option<Box<HeaderValue>>,
    link: Box<Link>,
) -> Sent {
    // Nobody else has this answer, and no cache.
    if let Some(cookie) = cookie {
        head.headers.append(SET_COOKIE, *cookie);
    }
    let wire = link.into_wire().await;
    Sent::Switched(Box::new(Switched { head, wire }))
}
