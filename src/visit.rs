//! The client's side of a request, from its head to the last byte of the answer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;
use tokio::time::Instant;

use crate::{
    connection::{Connection, Stream, WorkingSet},
    observe::record::{Outcome, Record},
    spool::Piped,
};

/// What a visit comes over.
#[derive(Debug, Clone)]
pub(crate) enum Carrier {
    /// The proxy is called without a connection.
    Nothing,
    /// A connection of HTTP/1, one visit at a time.
    Connection(Arc<Connection>),
    /// One of the streams of a connection of HTTP/2.
    Stream(Arc<Stream>),
    /// An operator asks, over no connection: what is known of him is in the place of one.
    Operator(Arc<Connection>),
}

/// One request's stay with us. Dropped before it was closed, the client has left.
#[derive(Debug)]
pub(crate) struct Visit {
    /// None once it is closed.
    record: Option<Arc<Record>>,
    carrier: Carrier,
}

impl Carrier {
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Nothing => None,
            Self::Connection(connection) | Self::Operator(connection) => Some(connection),
            Self::Stream(stream) => Some(stream.connection()),
        }
    }

    /// The connection, where it carries nothing but this.
    fn whole(&self) -> Option<&Connection> {
        match self {
            Self::Connection(connection) => Some(connection),
            Self::Nothing | Self::Stream(_) | Self::Operator(_) => None,
        }
    }
}

impl Visit {
    pub(crate) fn new(record: Arc<Record>, carrier: Carrier) -> Self {
        Self { record: Some(record), carrier }
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        match &self.record {
            Some(record) => record,
            None => unreachable!("whoever closes a visit has it no more"),
        }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.carrier.connection()
    }

    /// Of its connection, where that carries nothing but this.
    pub(crate) fn working_set(&self) -> Option<&WorkingSet> {
        self.carrier.whole().map(|connection| &connection.working_set)
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        self.record().note(change);
    }

    /// Has its request ended before it was whole?
    pub(crate) fn is_short(&self) -> bool {
        self.carrier.whole().is_some_and(Connection::is_short)
    }

    /// Is its client still there, by all that has come of it? Of a stream, its reset may have come with it.
    pub(crate) fn is_there(&self) -> bool {
        let is_there =
            |connection: &Connection| !connection.has_more() && !connection.is_half_closed();
        self.carrier.whole().is_some_and(is_there)
    }

    /// Can the answer go out from a pipe? Not where somebody has to see it on its way.
    pub(crate) fn takes_pipe(&self) -> bool {
        self.carrier.whole().is_some_and(Connection::is_plain) && !self.record().keeps_bodies()
    }

    /// Passes on a part of the answer that is in a pipe. False where there is no socket for it.
    pub(crate) fn pass(&self, piped: Box<Piped>) -> bool {
        let connection = self.carrier.whole().filter(|connection| connection.is_plain());
        connection.map(|connection| connection.pass(piped)).is_some()
    }

    /// From here on a FIN counts as leaving.
    pub(crate) fn fin_will_be_leaving(&self) {
        if let Some(connection) = self.carrier.whole() {
            connection.fin_will_be_leaving();
        }
    }

    /// The request is in, whole.
    pub(crate) fn received(&self) {
        if let Some(connection) = self.carrier.whole() {
            connection.received();
        }
    }

    /// An interim answer, to reach the client before the answer. Only while that is awaited.
    pub(crate) fn interim(&self, head: Response<()>) {
        match &self.carrier {
            Carrier::Nothing | Carrier::Operator(_) => {}
            Carrier::Connection(connection) => connection.interim(&head),
            Carrier::Stream(stream) => stream.interim(head),
        }
    }

    /// All of the answer is on its way to the connection; the kernel will have it soon.
    pub(crate) fn answered(mut self) {
        let Some(record) = self.record.take() else { return };
        match &self.carrier {
            Carrier::Nothing | Carrier::Operator(_) => record.visited_until(Instant::now()),
            Carrier::Connection(connection) => connection.answered(record),
            Carrier::Stream(stream) => stream.answered(record),
        }
    }

    /// The kernel has all of the answer.
    pub(crate) fn delivered(mut self) {
        if let Some(record) = self.record.take() {
            record.visited_until(Instant::now());
        }
    }

    /// The answer ends before its end. Ready when the client has all that came before.
    pub(crate) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.carrier {
            Carrier::Nothing | Carrier::Operator(_) => Poll::Ready(()),
            Carrier::Connection(connection) => connection.poll_broken(cx),
            Carrier::Stream(stream) => stream.poll_broken(cx),
        }
    }

    /// Pending while the client's socket takes nothing. Over HTTP/2 nothing is handed on before there is room.
    pub(crate) fn poll_flowing(&self) -> Poll<()> {
        self.carrier.whole().map_or(Poll::Ready(()), Connection::poll_flowing)
    }

    /// The client is let go on purpose; the exchange goes on.
    pub(crate) fn let_go(&self, reason: &'static str) {
        self.note(|outcome| {
            outcome.left.get_or_insert(outcome.stage);
            outcome.because(reason);
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            record.left(match &self.carrier {
                Carrier::Nothing => None,
                Carrier::Operator(_) => Some("inspect.replay reached"),
                Carrier::Connection(connection) => connection.why(),
                Carrier::Stream(stream) => stream.why(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observe::{books::Books, record::Facts},
        request_id::RequestId,
    };

    #[test]
    fn a_client_is_there_as_long_as_nothing_says_that_it_may_have_left() {
        let connection = Arc::new(Connection::any());
        let facts = Facts {
            id: RequestId::from_static("id"),
            client: None,
            line: None,
            began: Instant::now(),
        };
        let record = || Record::open(&Books::unwritten(), facts.clone());
        let visit = Visit::new(record(), Carrier::Connection(connection.clone()));
        assert!(!visit.is_there(), "nobody has looked");
        connection.has_read(false);
        assert!(visit.is_there());
        connection.has_read(true);
        assert!(!visit.is_there());
        connection.has_read(false);
        connection.half_close();
        assert!(!visit.is_there());
        assert!(!Visit::new(record(), Carrier::Nothing).is_there());
    }
}
