//! Sending a request: over a kept connection where that is safe, else over a new one.

use http::{HeaderValue, Method, Request, Response, header::CONTENT_LENGTH, request};
use hyper::body::Incoming;

use super::{Backend, dial::NoConnection, link::Link};
use crate::{
    refusal::Refusal,
    spool::{Received, SendBody},
};

/// A request as the backend is to get it, whole.
#[derive(Debug)]
pub(crate) struct Outbound {
    head: Box<request::Parts>,
    body: Received,
}

/// The head of the backend's answer, and the connection on which the rest will come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    pub link: Box<Link>,
}

impl Outbound {
    pub(crate) fn new(mut head: Box<request::Parts>, body: Received) -> Self {
        if let Some(len) = body.len() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        // What the connection left there is not for the backend's connection.
        head.extensions.clear();
        Self { head, body }
    }

    /// Does it only read (RFC 9110, section 9.2.1)?
    pub(crate) fn is_safe(&self) -> bool {
        self.head.method.is_safe()
    }

    /// A GET or HEAD and nothing besides, so that its head says all of it.
    pub(crate) fn only_asks(&self) -> bool {
        let reads = self.head.method == Method::GET || self.head.method == Method::HEAD;
        reads && matches!(self.body, Received::Nothing)
    }

    pub(crate) fn head(&self) -> &request::Parts {
        &self.head
    }

    fn into_request(self) -> Request<SendBody> {
        Request::from_parts(*self.head, self.body.body())
    }

    fn to_request(&self) -> Request<SendBody> {
        Request::from_parts((*self.head).clone(), self.body.body())
    }
}

impl Backend {
    /// Sends the request and awaits the head of the answer. The caller holds a slot.
    ///
    /// A kept connection may be closed by the backend at any moment, and then nobody can tell
    /// whether it saw the request. So only an idempotent request (RFC 9110, section 9.2.2) is sent
    /// over one, and once more over a new connection when that fails; all others go over a new one.
    ///
    /// `orphaned` resolves when nobody waits for the answer any more.
    pub(crate) async fn send<F: Future<Output = ()>>(
        &self,
        request: Outbound,
        orphaned: impl Fn() -> F,
    ) -> Result<Answer, Refusal> {
        if request.head.method.is_idempotent()
            && let Some(link) = self.pool.take(self.slots.in_use())
        {
            match link.send(request.to_request(), orphaned()).await {
                Ok(answer) => return Ok(answer),
                // It is alive, or was: this is the backend's answer to the request.
                Err((error, true)) => return Err(self.failed(&error)),
                Err((error, false)) => {
                    tracing::debug!(backend = self.config.name, %error, "kept connection was stale");
                }
            }
        }
        self.pool.make_room(self.slots.in_use());
        // Boxed: dialling is rare, and its future is many times the size of all others.
        let link = Box::pin(self.dial()).await?;
        // Nothing is kept of it here: the fields of its head hold the client's read buffer.
        let sent = link.send(request.into_request(), orphaned()).await;
        sent.map_err(|(error, _)| self.failed(&error))
    }

    async fn dial(&self) -> Result<Box<Link>, Refusal> {
        let stream = self.dialler.dial().await.map_err(|error| {
            tracing::warn!(backend = self.config.name, url = %self.config.url, %error, "cannot connect");
            match error {
                NoConnection::Name(_) => Refusal::NameUnknown,
                NoConnection::Refused => Refusal::ConnectionRefused,
                NoConnection::TimedOut => Refusal::ConnectionTimedOut,
                NoConnection::Unreachable(_) => Refusal::Unreachable,
            }
        })?;
        Link::over(stream).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &hyper::Error) -> Refusal {
        tracing::warn!(
            backend = self.config.name,
            url = %self.config.url,
            error = error as &dyn std::error::Error,
            "no valid answer"
        );
        if error.is_parse() { Refusal::AnswerMalformed } else { Refusal::ClosedEarly }
    }
}
