//! The client's side of a request, from its head to the last byte of the answer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;
use parking_lot::Mutex;

use crate::{
    connection::Connection,
    observe::record::{Outcome, Record},
};

/// One request's stay with us. Dropped before it was closed, the client has left.
#[derive(Debug)]
pub(crate) struct Visit {
    record: Arc<Record>,
    /// None where the proxy is called without a connection.
    connection: Option<Arc<Connection>>,
    /// Where its interim answers go; None for HTTP/1, where they go to the connection.
    interims: Option<Interims>,
    closed: bool,
}

/// Interim answers (RFC 9110, section 15.2) of one request, on their way to a client of HTTP/2.
///
/// Whoever serves a stream puts one into the extensions of its request, and takes what is in it after
/// each poll of the visit, before the answer: nothing but such a poll adds to it, so nobody needs to be
/// woken for it. There are never more than a few.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interims(Arc<Mutex<Vec<Response<()>>>>);

impl Interims {
    #[expect(dead_code, reason = "HTTP/1 has its own way")]
    pub(crate) fn take(&self) -> Vec<Response<()>> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Visit {
    pub(crate) fn new(
        record: Arc<Record>,
        connection: Option<Arc<Connection>>,
        interims: Option<Interims>,
    ) -> Self {
        Self { record, connection, interims, closed: false }
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        self.record.note(change);
    }

    pub(crate) fn is_half_closed(&self) -> bool {
        self.connection().is_some_and(Connection::is_half_closed)
    }

    /// From here on a FIN counts as leaving.
    pub(crate) fn fin_is_leaving(&self) {
        if let Some(connection) = self.connection() {
            connection.fin_is_leaving();
        }
    }

    /// The request is in, whole.
    pub(crate) async fn received(&self) {
        let Some(connection) = self.connection() else { return };
        connection.received();
        if connection.is_half_closed() {
            // The FIN came with the end of the body: have the IO look at it again.
            tokio::task::yield_now().await;
        }
    }

    /// An interim answer, to reach the client before the answer. Only while that is awaited.
    pub(crate) fn interim(&self, head: Response<()>) {
        match (&self.interims, self.connection()) {
            (Some(interims), _) => interims.0.lock().push(head),
            (None, Some(connection)) => connection.interim(&head),
            (None, None) => {}
        }
    }

    /// All of the answer is on its way to the connection; the kernel will have it soon.
    pub(crate) fn answered(mut self) {
        self.closed = true;
        match &self.connection {
            Some(connection) => connection.answered(self.record.clone()),
            None => self.record.delivered(),
        }
    }

    /// The kernel has all of the answer.
    pub(crate) fn delivered(mut self) {
        self.closed = true;
        self.record.delivered();
    }

    /// The answer ends before its end. Ready when the client has all that came before.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.connection() {
            Some(connection) => connection.poll_broken(cx),
            None => Poll::Ready(()),
        }
    }

    /// The client is let go on purpose; the exchange goes on.
    pub(crate) fn let_go(&self, reason: &'static str) {
        self.record.note(|outcome| {
            outcome.left.get_or_insert(outcome.stage);
            outcome.because(reason);
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.closed {
            self.record.left(self.connection().and_then(Connection::why));
        }
    }
}
