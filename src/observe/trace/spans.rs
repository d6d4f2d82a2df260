//! The spans of a request that is over, by the semantic conventions of OpenTelemetry for HTTP.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use http::{Method, Version, uri::Authority};
use opentelemetry_proto::tonic::trace::v1::{
    Span, SpanFlags, Status,
    span::{Event, Link, SpanKind},
    status::StatusCode,
};
use tokio::time::Instant;

use super::{
    attributes::Attributes,
    context::{Context, SpanId},
    queue::Finished,
    trail::{Asked, Notes, What},
};
use crate::observe::record::{Ended, Outcome, Source, Stage};

/// From the one clock to the other. Made anew for each batch, since a clock may be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    now: Instant,
    time: SystemTime,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { now: Instant::now(), time: SystemTime::now() }
    }

    /// Nanoseconds since 1970.
    fn nanos(self, at: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(at);
        let ahead = at.saturating_duration_since(self.now);
        let time = self.time.checked_sub(ago).and_then(|time| time.checked_add(ahead));
        let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The span of the visit, and that of its exchange if it had one that was sent.
pub(super) fn of(finished: &Finished, clock: Clock, to: &mut Vec<Span>) {
    let Some(asked) = finished.trail.asked() else { return };
    let notes = finished.trail.take();
    if let Some(sent) = notes.sent {
        to.push(of_exchange(finished, &notes, sent, clock));
    }
    to.push(of_visit(finished, asked, &notes, clock));
}

fn of_visit(finished: &Finished, asked: &Asked, notes: &Notes, clock: Clock) -> Span {
    let Finished { trail, facts, outcome, .. } = finished;
    let over = facts.began + outcome.visit();
    let mut about = Attributes::default();
    let name = method(facts.method(), &mut about);
    let (path, query) = target(facts.path());
    about.text("url.scheme", Some(asked.scheme));
    about.text("url.path", path);
    about.text("url.query", query.as_deref());
    server(asked.host.as_deref(), asked.scheme, &mut about);
    about.text("client.address", facts.client.as_deref().map(address).as_deref());
    about.text("network.protocol.version", version(asked.version));
    about.text("user_agent.original", asked.agent.as_deref());
    about.number("http.response.status_code", outcome.status.map(|status| status.as_u16()));
    about.text("seawall.request_id", Some(facts.id.as_str()));
    about.text("seawall.backend", Some(&*finished.backend));
    about.text("seawall.ended", Some(outcome.ended().word()));
    about.text("seawall.stage_left", outcome.left.map(Stage::word));
    about.text("seawall.reason", outcome.reason);
    about.text("seawall.shared", outcome.source.map(Source::word));
    about.millis("seawall.queue_ms", outcome.queue());
    about.millis("seawall.held_ms", outcome.held);
    about.number("seawall.delivered_bytes", Some(outcome.delivered));
    let error = error_of_visit(outcome);
    about.text("error.type", error.as_deref());
    let mut events = events(notes, outcome, false, clock);
    if let Some(stage) = outcome.left {
        let mut about = Attributes::default();
        about.text("seawall.stage", Some(stage.word()));
        events.push(event("client left", clock.nanos(over), about));
    }
    let link = |watched: &Context| Link {
        trace_id: watched.trace.0.to_vec(),
        span_id: watched.span.0.to_vec(),
        flags: u32::from(watched.flags) | SpanFlags::ContextHasIsRemoteMask as u32,
        attributes: {
            let mut about = Attributes::default();
            about.text("seawall.shared", outcome.source.map(Source::word));
            about.all
        },
        ..Link::default()
    };
    Span {
        parent_span_id: trail.parent().map_or(Vec::new(), |parent| parent.0.to_vec()),
        flags: flags(finished, trail.parent().is_some()),
        kind: SpanKind::Server.into(),
        end_time_unix_nano: clock.nanos(over),
        attributes: about.all,
        events,
        dropped_events_count: notes.events_dropped,
        links: notes.watched.iter().map(link).collect(),
        status: error.map(|_| failed(outcome.reason)),
        ..span(finished, trail.visit(), name, facts.began, clock)
    }
}

fn of_exchange(finished: &Finished, notes: &Notes, sent: Instant, clock: Clock) -> Span {
    let Finished { trail, facts, outcome, .. } = finished;
    let mut about = Attributes::default();
    let name = method(facts.method(), &mut about);
    let host = notes.backend.as_ref().and_then(|host| host.to_str().ok());
    server(host, "http", &mut about);
    let (path, query) = target(facts.path());
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let (host, path) = (host.unwrap_or_default(), path.unwrap_or("/"));
    about.text("url.full", Some(&format!("http://{host}{path}{query}")));
    about.text("network.protocol.version", Some("1.1"));
    let status = outcome.backend_status;
    about.number("http.response.status_code", status.map(|status| status.as_u16()));
    about.number("http.request.resend_count", (notes.sends > 1).then(|| notes.sends - 1));
    about.text("seawall.backend", Some(&*finished.backend));
    about.text("seawall.ended", Some(outcome.ended().word()));
    about.text("seawall.reason", outcome.reason);
    about.millis("seawall.orphaned_ms", outcome.orphaned_for().unwrap_or_default());
    about.number("seawall.discarded_bytes", Some(outcome.discarded));
    let error = error_of_exchange(outcome);
    about.text("error.type", error.as_deref());
    Span {
        parent_span_id: trail.visit().0.to_vec(),
        flags: flags(finished, false),
        kind: SpanKind::Client.into(),
        end_time_unix_nano: clock.nanos(outcome.over.unwrap_or(finished.at)),
        attributes: about.all,
        events: events(notes, outcome, true, clock),
        status: error.map(|_| failed(outcome.reason)),
        ..span(finished, trail.context().span, name, sent, clock)
    }
}

fn span(finished: &Finished, id: SpanId, name: &str, began: Instant, clock: Clock) -> Span {
    Span {
        trace_id: finished.trail.context().trace.0.to_vec(),
        span_id: id.0.to_vec(),
        trace_state: finished.trail.state().to_owned(),
        name: name.to_owned(),
        start_time_unix_nano: clock.nanos(began),
        ..Span::default()
    }
}

fn flags(finished: &Finished, is_parent_remote: bool) -> u32 {
    let remote = if is_parent_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(finished.trail.context().flags) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn events(notes: &Notes, outcome: &Outcome, of_exchange: bool, clock: Clock) -> Vec<Event> {
    let own = notes.events.iter().filter(|event| {
        // Whoever has the last byte may have gone before the exchange itself is at its end.
        let is_late =
            event.what == What::Orphaned && outcome.over.is_some_and(|over| event.at >= over);
        event.what.is_of_exchange() == of_exchange && !is_late
    });
    own.map(|own| event(own.what.word(), clock.nanos(own.at), Attributes::default())).collect()
}

fn event(name: &str, time_unix_nano: u64, about: Attributes) -> Event {
    Event { time_unix_nano, name: name.to_owned(), attributes: about.all, ..Event::default() }
}

fn failed(reason: Option<&str>) -> Status {
    Status { code: StatusCode::Error.into(), message: reason.unwrap_or_default().to_owned() }
}

/// A server's span has failed where it is the server's fault; that a client leaves is none.
fn error_of_visit(outcome: &Outcome) -> Option<String> {
    if outcome.left.is_some() {
        return None;
    }
    match outcome.status.filter(http::StatusCode::is_server_error) {
        Some(status) => Some(outcome.refusal.unwrap_or(status.as_str()).to_owned()),
        None => broken(outcome.ended()),
    }
}

/// A client's span has failed also where the answer says so, whosever fault that is.
fn error_of_exchange(outcome: &Outcome) -> Option<String> {
    let says = |status: &http::StatusCode| status.is_client_error() || status.is_server_error();
    match outcome.backend_status.filter(says) {
        Some(status) => Some(status.as_str().to_owned()),
        None => broken(outcome.ended?).map(|word| outcome.refusal.map_or(word, str::to_owned)),
    }
}

fn broken(ended: Ended) -> Option<String> {
    matches!(ended, Ended::Cut | Ended::Failed).then(|| ended.word().to_owned())
}

/// Names a span, too. Methods that anybody may invent are no names: they are too many.
fn method<'a>(method: Option<&'a str>, about: &mut Attributes) -> &'a str {
    let is_known = |name: &&str| KNOWN.iter().any(|known| known == *name);
    if let Some(known) = method.filter(is_known) {
        about.text("http.request.method", Some(known));
        return known;
    }
    about.text("http.request.method", Some("_OTHER"));
    about.text("http.request.method_original", method);
    "HTTP"
}

fn target(target: Option<&str>) -> (Option<&str>, Option<String>) {
    match target.map(|target| target.split_once('?').unwrap_or((target, ""))) {
        None => (None, None),
        Some((path, "")) => (Some(path), None),
        Some((path, query)) => (Some(path), Some(signed_out(query))),
    }
}

/// Signatures in queries are as good as passwords: the conventions name those of the large clouds.
fn signed_out(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SIGNATURES.contains(&name) => format!("{name}=REDACTED"),
        _ => pair.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}

fn server(host: Option<&str>, scheme: &str, about: &mut Attributes) {
    let Some(host) = host.and_then(|host| host.parse::<Authority>().ok()) else { return };
    let usual = if scheme == "https" { 443 } else { 80 };
    about.text("server.address", Some(host.host().trim_matches(['[', ']'])));
    about.number("server.port", Some(host.port_u16().unwrap_or(usual)));
}

/// Without a port.
fn address(client: &str) -> String {
    let with_port = client.parse::<SocketAddr>().map(|address| address.ip());
    let address = with_port.or_else(|_| client.parse::<IpAddr>());
    address.map_or_else(|_| client.to_owned(), |address| address.to_canonical().to_string())
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

const KNOWN: [Method; 9] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];
const SIGNATURES: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn secrets_of_signed_links_are_not_shown() {
        let (path, query) = target(Some("/a?x=1&sig=abc&Signature=&b"));
        assert_eq!(path, Some("/a"));
        assert_eq!(query.as_deref(), Some("x=1&sig=REDACTED&Signature=REDACTED&b"));
        assert_eq!(target(Some("*")), (Some("*"), None));
        assert_eq!(target(None), (None, None));
    }

    #[test]
    fn a_client_is_an_address_without_its_port() {
        assert_eq!(address("127.0.0.1:80"), "127.0.0.1");
        assert_eq!(address("[::ffff:10.0.0.1]:80"), "10.0.0.1");
        assert_eq!(address("::1"), "::1");
        assert_eq!(address("unix"), "unix");
    }

    #[test]
    fn the_clocks_agree() {
        let clock = Clock::now();
        let before = clock.nanos(clock.now - Duration::from_millis(5));
        assert_eq!(clock.nanos(clock.now) - before, 5_000_000);
        assert_eq!(clock.nanos(clock.now + Duration::from_millis(5)) - before, 10_000_000);
    }
}
