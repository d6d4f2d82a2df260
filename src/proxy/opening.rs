//! The beginning of a visit: what is noted of it, and the trace that it belongs to.

use std::sync::Arc;

use http::{HeaderValue, request};
use tokio::time::Instant;

use super::House;
use crate::{
    client::{self, Hop},
    connection::Connection,
    headers::{self, Scheme},
    observe::{
        record::{Facts, Record},
        trace,
    },
    request_id::RequestId,
    visit::{Carrier, Visit},
};

impl House {
    pub(super) fn open(&self, head: &request::Parts, carrier: Carrier) -> Visit {
        let facts = Facts {
            id: RequestId::of(&head.headers),
            client: carrier.connection().map(|connection| self.name_of(connection, head)),
            line: Some((head.method.clone(), self.redact.target(headers::target(head)).into())),
            began: Instant::now(),
        };
        let scheme = || carrier.connection().map_or(Scheme::Http, |one| one.fields.scheme);
        let is_kept = matches!(carrier, Carrier::Operator(_));
        let trail = self.books.tracer().and_then(|tracer| tracer.trail(head, scheme().name()));
        let record = Record::open_with(&self.books, facts, is_kept, trail);
        if let Some(mut capture) = record.capture() {
            capture.request(head, record.facts(), scheme() == Scheme::Https);
        }
        Visit::new(record, carrier)
    }

    /// For the log: the peer, or for whom it speaks.
    fn name_of(&self, connection: &Connection, head: &request::Parts) -> Arc<str> {
        let hop = Hop::of(&connection.fields);
        match client::address(&hop, &head.headers, &self.bounds.trusted_proxies) {
            Some(address) if Some(address) != hop.ip() => headers::text_of(address).into(),
            _ => connection.name.clone(),
        }
    }

    /// Has this backend told of it, where anything is traced.
    pub(super) fn continue_trace(
        &self,
        visit: &Visit,
        head: &mut request::Parts,
        backend: &HeaderValue,
    ) {
        if self.books.tracer().is_none() {
            return;
        }
        let trail = visit.record().trail();
        trace::pass_on(trail, &mut head.headers);
        if let Some(trail) = trail {
            trail.is_for(backend);
        }
    }
}
