//! The body of an answer on its way to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{ACCEPT, CONNECTION, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};

use crate::{
    exchange::{self, Watcher},
    headers,
    observe::record::{Ended, Source},
    refusal::Refusal,
    replay, spool,
    visit::Visit,
};

/// The body of every answer. While it lives, its exchange is watched.
#[derive(Debug)]
pub struct Reply {
    source: Origin,
    visit: Option<Visit>,
    /// The end that is no end; told once the client has what came before it.
    cut: Option<CutShort>,
}

#[derive(Debug)]
enum Origin {
    Exchange {
        body: spool::Body,
        /// Bytes to come, where the head says so.
        left: Option<u64>,
        watcher: Watcher,
    },
    Own(Option<Bytes>),
    /// A kept answer with something behind its body. Boxed: hardly any has.
    Trailed(Option<Bytes>, Option<Box<HeaderMap>>),
}

/// The backend, or a bound, ended the answer early. Whoever serves the reply must break the
/// connection off, so that the client sees it.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut short: {0}")]
pub struct CutShort(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Reply {
    pub(crate) fn of_exchange(
        head: exchange::Head,
        watcher: Watcher,
        visit: Visit,
    ) -> Response<Self> {
        let exchange::Head { mut parts, body, bodyless, brief } = head;
        if let Some(source) = watcher.source() {
            headers::collapsed(&mut parts, visit.record().id());
            if source == Source::Replay {
                headers::replayed(&mut parts.headers, visit.record().id());
            }
            visit.note(|outcome| outcome.backend_status = Some(parts.status));
        }
        if brief {
            visit.fin_will_be_leaving();
        }
        visit.record().answered_with(parts.status);
        take_down(&visit, &parts.headers);
        let length = || parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        let left = if bodyless { Some(0) } else { length() };
        let source = Origin::Exchange { body, left, watcher };
        Response::from_parts(parts, Self { source, visit: Some(visit), cut: None })
    }

    /// The kept answer of the request that this one repeats.
    pub(crate) fn kept(answer: replay::Answer, visit: Visit) -> Response<Self> {
        let replay::Answer { status, fields, body, trailers } = answer;
        visit.record().answered_with(status);
        visit.note(|outcome| {
            outcome.source = Some(Source::Replay);
            outcome.ended = Some(Ended::Delivered);
        });
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        headers::replayed(response.headers_mut(), visit.record().id());
        take_down(&visit, response.headers());
        let source = |body| match trailers {
            None => Origin::Own(Some(body)),
            Some(trailers) => Origin::Trailed(Some(body), Some(trailers)),
        };
        response.map(|body| Self { source: source(body), visit: Some(visit), cut: None })
    }

    pub(crate) fn own(
        response: Response<Bytes>,
        reason: &'static str,
        visit: Visit,
    ) -> Response<Self> {
        visit.record().answered_with(response.status());
        visit.note(|outcome| outcome.because(reason));
        take_down(&visit, response.headers());
        response.map(|body| Self { source: Origin::Own(Some(body)), visit: Some(visit), cut: None })
    }

    pub(crate) fn refusal(
        refusal: &Refusal,
        accept: Option<HeaderValue>,
        version: Version,
        visit: Visit,
    ) -> Response<Self> {
        visit.record().answered_with(refusal.status());
        visit.note(|outcome| {
            outcome.because(refusal.reason());
            outcome.refusal = Some(refusal.kind());
        });
        if *refusal == Refusal::StillWaiting {
            visit.let_go(refusal.reason());
        }
        let wishes = HeaderMap::from_iter(accept.map(|value| (ACCEPT, value)));
        let mut response = refusal.render(Some(&wishes));
        let id = visit.record().id().value();
        response.headers_mut().insert(crate::request_id::X_REQUEST_ID, id);
        if refusal.ends_connection() && version <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        take_down(&visit, response.headers());
        response.map(|body| Self { source: Origin::Own(Some(body)), visit: Some(visit), cut: None })
    }
}

/// Of the answer, for who looks later.
fn take_down(visit: &Visit, fields: &HeaderMap) {
    if let Some(mut capture) = visit.record().capture() {
        capture.answer(fields);
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        // hyper has one place for all replies of a connection.
        if let Some(working_set) = this.visit.as_ref().and_then(Visit::working_set) {
            working_set.reply.set(this);
        }
        if this.cut.is_some() {
            return this.poll_cut(cx);
        }
        let frame = match &mut this.source {
            Origin::Own(body) => body.take().map(|bytes| Ok(Frame::data(bytes))),
            Origin::Trailed(body, trailers) => {
                let body = body.take().filter(|body| !body.is_empty());
                let trailers = || trailers.take().map(|trailers| Frame::trailers(*trailers));
                body.map(Frame::data).or_else(trailers).map(Ok)
            }
            Origin::Exchange { body, .. } => {
                // The spool can put on disk what it has, and not what hyper has.
                if body.is_short()
                    && let Some(visit) = &this.visit
                {
                    ready!(visit.poll_flowing());
                }
                let visit = &this.visit;
                let pass = |piped| visit.as_ref().is_some_and(|visit| visit.pass(piped));
                ready!(body.poll_passed(cx, pass))
            }
        };
        match frame {
            None => Poll::Ready(None),
            Some(Ok(frame)) => {
                this.passed(frame.data_ref());
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.cut = Some(CutShort(error.into()));
                this.poll_cut(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Origin::Own(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Origin::Trailed(_, trailers) => trailers.is_none(),
            Origin::Exchange { body, left, .. } => *left == Some(0) || body.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Origin::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            // The Content-Length field says it, where it is known.
            Origin::Exchange { .. } | Origin::Trailed(..) => SizeHint::default(),
        }
    }
}

impl Reply {
    /// The client has left before all of it was on its way, though all of it may be read.
    pub(crate) fn left(mut self) {
        self.count_unread();
        self.visit = None;
    }

    /// What has come already, and is gone with this.
    fn count_unread(&self) {
        if let (Origin::Exchange { body, .. }, Some(visit)) = (&self.source, &self.visit) {
            let unread = body.unread();
            visit.note(|outcome| outcome.discarded += unread);
        }
    }

    /// The client is sent another status than that of the answer.
    pub(crate) fn goes_out_as(&self, status: StatusCode) {
        if let Some(visit) = &self.visit {
            visit.record().answered_with(status);
        }
    }

    fn passed(&mut self, data: Option<&Bytes>) {
        let len = data.map_or(0, Bytes::len) as u64;
        if let Origin::Exchange { left: Some(left), .. } = &mut self.source {
            *left = left.saturating_sub(len);
        }
        if let Some(visit) = &self.visit {
            visit.record().passed(len);
            if let Some(mut capture) = visit.record().capture()
                && let Some(data) = data
            {
                capture.answer_body(data);
            }
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        if let Some(visit) = &self.visit {
            ready!(visit.poll_broken(cx));
        }
        // The client has not left: it was left.
        if let Some(visit) = self.visit.take() {
            visit.delivered();
        }
        Poll::Ready(self.cut.take().map(Err))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // An answer of our own is handed over as it is; to HEAD, without its body.
        let whole = matches!(self.source, Origin::Own(_)) || self.is_end_stream();
        if !whole {
            self.count_unread();
        } else if let Some(visit) = self.visit.take() {
            visit.answered();
            if let Origin::Exchange { watcher, .. } = &mut self.source {
                watcher.served();
            }
        }
    }
}
