//! A collector of OpenTelemetry: a backend that takes spans and reads them.

use std::collections::HashMap;
use std::io;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, span::SpanKind, status::StatusCode};
use prost::Message as _;

use super::{Backend, Seawall, Talk, until};

pub(crate) struct Collector {
    pub(crate) backend: Backend,
}

/// A span as a scene looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    pub(crate) failed: bool,
    pub(crate) attributes: HashMap<String, String>,
    /// Names and times.
    pub(crate) events: Vec<(String, u64)>,
    /// Traces and spans.
    pub(crate) links: Vec<(String, String)>,
    is_of_visit: bool,
}

impl Collector {
    /// One that takes whatever comes.
    pub(crate) fn start() -> Self {
        Self::with(|talk| talk.answer(""))
    }

    pub(crate) fn with(
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { backend: Backend::start(script) }
    }

    /// The table that has spans sent here, with further keys of it.
    pub(crate) fn table(&self, keys: &str) -> String {
        format!("[trace]\notlp = \"{}\"\n{keys}\n", self.backend.url())
    }

    /// What it was sent so far.
    pub(crate) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let read = |body: Vec<u8>| ExportTraceServiceRequest::decode(&body[..]).unwrap();
        self.backend.exchanges().into_iter().map(|exchange| read(exchange.body)).collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(|span| Span::of(&span)).collect()
    }

    /// All spans of a seawall, which ends.
    #[track_caller]
    pub(crate) fn all_of(&self, mut seawall: Seawall) -> Vec<Span> {
        seawall.signal("TERM");
        assert_eq!(seawall.wait_exit(), Some(0));
        self.spans()
    }

    /// Waits for so many spans.
    #[track_caller]
    pub(crate) fn wait_spans(&self, count: usize) -> Vec<Span> {
        until("the spans have come", || Some(self.spans()).filter(|all| all.len() >= count))
    }
}

impl Span {
    fn of(span: &otlp::Span) -> Self {
        let events = span.events.iter().map(|event| (event.name.clone(), event.time_unix_nano));
        let links = span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id)));
        let status = span.status.as_ref().map(otlp::Status::code);
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            name: span.name.clone(),
            begins: span.start_time_unix_nano,
            ends: span.end_time_unix_nano,
            failed: status == Some(StatusCode::Error),
            attributes: attributes(&span.attributes),
            events: events.collect(),
            links: links.collect(),
            is_of_visit: match span.kind() {
                SpanKind::Server => true,
                SpanKind::Client => false,
                other => panic!("a span of the kind {other:?}"),
            },
        }
    }

    #[track_caller]
    pub(crate) fn of_visit<'a>(all: &'a [Self], path: &str) -> &'a Self {
        let fits = |span: &&Self| span.is_of_visit && span.says("url.path") == path;
        only(all.iter().filter(fits), all)
    }

    #[track_caller]
    pub(crate) fn of_exchange<'a>(all: &'a [Self], path: &str) -> &'a Self {
        let fits = |span: &&Self| !span.is_of_visit && span.says("url.full").ends_with(path);
        only(all.iter().filter(fits), all)
    }

    /// The value of an attribute; empty where it has none.
    pub(crate) fn says(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    pub(crate) fn happened(&self) -> Vec<&str> {
        self.events.iter().map(|(name, _)| name.as_str()).collect()
    }
}

pub(crate) fn attributes(all: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |one: &KeyValue| one.value.as_ref().and_then(|any| any.value.as_ref()).map(text);
    all.iter().map(|one| (one.key.clone(), value(one).unwrap_or_default())).collect()
}

#[track_caller]
fn only<'a>(mut found: impl Iterator<Item = &'a Span>, all: &[Span]) -> &'a Span {
    let first = found.next().unwrap_or_else(|| panic!("no such span in {all:#?}"));
    assert!(found.next().is_none(), "several such spans in {all:#?}");
    first
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
