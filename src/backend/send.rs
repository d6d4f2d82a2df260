//! Sending a request: over a kept connection where that is safe, else over a new one.

use http::{HeaderValue, Request, Response, header::CONTENT_LENGTH, request};
use hyper::body::Incoming;

use super::{Backend, dial::NoConnection, link::Link};
use crate::{
    refusal::Refusal,
    spool::{Received, SendBody},
};

/// A request as the backend is to get it, whole.
#[derive(Debug)]
pub(crate) struct Outbound {
    head: request::Parts,
    body: Received,
}

/// The head of the backend's answer, and the connection on which the rest will come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    pub link: Box<Link>,
}

impl Outbound {
    pub(crate) fn new(mut head: request::Parts, body: Received) -> Self {
        if let Some(len) = body.len() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        // What the connection left there is not for the backend's connection.
        head.extensions.clear();
        Self { head, body }
    }

    fn into_request(self) -> Request<SendBody> {
        let body = self.body.body();
        Request::from_parts(self.head, body)
    }

    fn to_request(&self) -> Request<SendBody> {
        Request::from_parts(self.head.clone(), self.body.body())
    }
}

impl Backend {
    /// Sends the request and awaits the head of the answer. The caller holds a slot.
    ///
    /// A kept connection may be closed by the backend at any moment, and then nobody can tell
    /// whether it saw the request. So only an idempotent request (RFC 9110, section 9.2.2) is sent
    /// over one, and once more over a new connection when that fails; all others go over a new one.
    pub(crate) async fn send(&self, request: Outbound) -> Result<Answer, Refusal> {
        if request.head.method.is_idempotent()
            && let Some(mut link) = self.pool.take(self.slots.in_use())
        {
            match link.send(request.to_request()).await {
                Ok(response) => return Ok(Answer { response, link }),
                Err(error) => {
                    let error = error.into_error();
                    tracing::debug!(backend = self.config.name, %error, "kept connection was stale");
                }
            }
        }
        self.pool.make_room(self.slots.in_use());
        // Boxed: dialling is rare, and its future is many times the size of all others.
        let mut link = Box::pin(self.dial()).await?;
        match link.send(request.into_request()).await {
            Ok(response) => Ok(Answer { response, link }),
            Err(error) => Err(self.failed(&error.into_error())),
        }
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
