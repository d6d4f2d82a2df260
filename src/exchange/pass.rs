//! Passing an answer on: its head, then its body as it comes.

use std::{future::Future, ops::ControlFlow, task::Poll};

use bytes::Bytes;
use http::{HeaderValue, header::SET_COOKIE, response};
use tokio::time::Instant;

use super::{
    Exchange, Head,
    policy::{Allowance, Policy},
    run::Stopped,
};
use crate::{
    backend::{Answer, Fault, Link, Outbound, Piece},
    config, headers,
    pipe::Pipe,
    spool::{End, Spool, Store},
};

/// An answer whose head has come.
pub(super) enum Come {
    /// With all of its body.
    Whole(Whole),
    InPart(Answering),
}

/// An answer that came whole, in one piece, and a connection that needs nothing more.
pub(super) struct Whole {
    pub(super) told: Box<Head>,
    pub(super) link: Box<Link>,
}

/// An answer that is coming: its head as the client is to have it, and what has come of its body with that.
pub(super) struct Answering {
    parts: response::Parts,
    cookie: Option<Box<HeaderValue>>,
    link: Box<Link>,
    first: Poll<Option<Result<Piece, Fault>>>,
    bodyless: bool,
    brief: bool,
    allowance: Allowance,
}

/// The same once its head is handed on, and how long it may go on for nobody.
pub(super) struct Begun {
    link: Box<Link>,
    first: Poll<Option<Result<Piece, Fault>>>,
    allowance: Allowance,
}

impl Exchange {
    /// What has come with the head, which is made fit for the client. Not async: the head would have room
    /// in every exchange.
    pub(super) fn whole(
        &self,
        answer: Answer,
        (policy, backend): (Policy, &config::Backend),
        store: &Store,
        is_handed: bool,
    ) -> Result<Come, Stopped> {
        let Answer { head: mut parts, cookie, mut link } = answer;
        let overruled = headers::accept(&mut parts, self.record().id()).map_err(|refusal| {
            self.record().note(|outcome| outcome.backend_status = Some(parts.status));
            Stopped::NoAnswer(refusal)
        })?;
        let endless = headers::is_endless(&parts.headers);
        let allowance = policy.allowance(backend, endless, overruled);
        let brief = endless && allowance.time < policy.longest(backend);
        let bodyless = link.is_read();
        let first = link.at_once();
        // Where others may join, or it is told already how it begins, it goes its way through a spool.
        let body = match &first {
            _ if self.known.is_some() || is_handed || !link.is_settled() => None,
            Poll::Ready(None) => Some(Bytes::new()),
            Poll::Ready(Some(Ok(Piece::Data(body)))) => Some(body.clone()),
            _ => None,
        };
        let Some(body) = body else {
            return Ok(Come::InPart(Answering {
                parts,
                cookie,
                link,
                first,
                bodyless,
                brief,
                allowance,
            }));
        };
        add_cookie(&mut parts, cookie);
        let kept = link.kept(&body);
        let body = store.whole(body, kept);
        let told = Box::new(Head { parts, body, bodyless, brief });
        Ok(Come::Whole(Whole { told, link }))
    }

    /// Hands on the head. One that was `handed` on already is handed on once: another one must be the
    /// same. Not async: the head would have room in every exchange.
    pub(super) fn hand_on(
        &self,
        answer: Answering,
        spool: &Spool,
        handed: &mut Option<Box<response::Parts>>,
    ) -> Result<Begun, Stopped> {
        let Answering { mut parts, cookie, link, first, bodyless, brief, allowance } = answer;
        match handed {
            None => {
                // Small bodies come with their head, and then nothing is to be kept of that.
                if !matches!(first, Poll::Ready(None | Some(Ok(_)))) {
                    *handed = Some(Box::new(parts.clone()));
                }
                add_cookie(&mut parts, cookie);
                // What has come whole is over in a moment: the clock is read then.
                let is_whole = first.is_ready() && link.is_read();
                let answered = (!is_whole).then(Instant::now);
                self.answer(parts, spool, bodyless, brief, answered);
            }
            Some(before) => {
                let status = Some(parts.status);
                self.record().note(|outcome| outcome.backend_status = status);
                if !headers::is_same_answer(before, &parts) {
                    return Err(Stopped::BrokenOff);
                }
            }
        }
        Ok(Begun { link, first, allowance })
    }

    /// Passes the body on as it comes; gives the connection back. The request can go `again` as long as nothing
    /// of a body has come.
    pub(super) async fn pass_on(
        &self,
        begun: Begun,
        max_bytes: u64,
        spool: &Spool,
        again: &mut Option<Box<Outbound>>,
    ) -> Result<(End, Box<Link>), Stopped> {
        let Begun { mut link, first, allowance } = begun;
        let end = tokio::select! {
            biased;
            end = self.fill(spool, first, &mut link, max_bytes, again) => end?,
            // What is dropped here is the exchange itself: it is cut.
            reason = self.outlived(allowance) => return Err(Stopped::Cut(reason)),
        };
        Ok((end, link))
    }

    /// Reads the body at the backend's pace to its last byte.
    fn fill(
        &self,
        spool: &Spool,
        first: Poll<Option<Result<Piece, Fault>>>,
        link: &mut Link,
        max_orphan_bytes: u64,
        again: &mut Option<Box<Outbound>>,
    ) -> impl Future<Output = Result<End, Stopped>> {
        let mut discarded = 0;
        let mut first = Some(first);
        async move {
            let end = loop {
                let come = first.take().unwrap_or(Poll::Pending);
                let part = match come {
                    Poll::Ready(next) => read(next)?,
                    Poll::Pending if link.is_read() => ControlFlow::Break(End::Whole(None)),
                    Poll::Pending => next(spool, link).await?,
                };
                let part = match part {
                    ControlFlow::Continue(part) => part,
                    ControlFlow::Break(end) => break end,
                };
                self.tells();
                *again = None;
                let unread = match part {
                    // The spool of an answer is never retained as a whole, so it waits for room and does
                    // not fail.
                    Part::Chunk(chunk) => {
                        let kept = link.kept(&chunk);
                        spool.write_kept(chunk, kept).await.unwrap_or(0)
                    }
                    Part::Piped(pipe) => spool.pass(pipe),
                };
                if unread == 0 {
                    continue;
                }
                discarded += unread;
                self.record().note(|outcome| outcome.discarded += unread);
                if discarded > max_orphan_bytes {
                    return Err(Stopped::Cut("orphan.max_bytes reached"));
                }
            };
            link.settle().await;
            Ok(end)
        }
    }
}

/// Of another server's answer, should it come to one, all else must be the same. And what a cache has for all
/// must not lead all of them to one server.
fn add_cookie(parts: &mut response::Parts, cookie: Option<Box<HeaderValue>>) {
    if let Some(cookie) = cookie.filter(|_| !headers::is_public(&parts.headers)) {
        parts.headers.append(SET_COOKIE, *cookie);
    }
}

/// A part of a body.
enum Part {
    Chunk(Bytes),
    /// It has not come to us, and need not.
    Piped(Pipe),
}

/// Awaits what is next of a body.
async fn next(spool: &Spool, link: &mut Link) -> Result<ControlFlow<End, Part>, Stopped> {
    if link.is_long() && spool.takes_pipe().await {
        match link.pour(|| spool.pipe()).await {
            Ok(Some(pipe)) => return Ok(ControlFlow::Continue(Part::Piped(pipe))),
            Ok(None) => {}
            Err(fault) => return read(Some(Err(fault))),
        }
    }
    if spool.is_short() {
        link.read_little();
    }
    read(link.piece().await)
}

/// The next chunk of a body, or the end of all.
fn read(next: Option<Result<Piece, Fault>>) -> Result<ControlFlow<End, Part>, Stopped> {
    match next {
        None => Ok(ControlFlow::Break(End::Whole(None))),
        Some(Ok(Piece::Data(chunk))) => Ok(ControlFlow::Continue(Part::Chunk(chunk))),
        Some(Ok(Piece::Trailers(trailers))) => {
            Ok(ControlFlow::Break(End::Whole(headers::accept_trailers(trailers))))
        }
        Some(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "answer broken off");
            Err(Stopped::BrokenOff)
        }
    }
}
