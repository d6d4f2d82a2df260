//! Traces: the client's is continued, the backend continues ours, and what is recorded is what happened.

use crate::harness::{Backend, Client, Collector, Leave, Seawall, Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn the_trace_of_a_client_is_continued_to_the_backend() {
    let (backend, collector) = (held(), Collector::start());
    backend.release("/a");
    let seawall = Seawall::with(&backend, &collector.table(""));
    let mut client = seawall.client();
    client.get_with(
        "/a?q=1&sig=secret",
        &format!("{}Tracestate: foo=1\r\nUser-Agent: tester\r\n", parent("01")),
    );
    assert_eq!(client.answer().status(), 200);
    let head = &backend.exchanges()[0].head;
    let told: Vec<&str> = head.field("traceparent").unwrap().split('-').collect();
    assert_eq!((told[0], told[1], told[3]), ("00", TRACE, "01"));
    assert_ne!(told[2], PARENT);
    assert_eq!(head.field("tracestate"), Some("foo=1"));

    let all = collector.all_of(seawall);
    let (visit, exchange) = (Span::of_visit(&all, "/a"), Span::of_exchange(&all, "sig=REDACTED"));
    assert_eq!(all.len(), 2);
    assert_eq!((visit.trace.as_str(), visit.parent.as_str()), (TRACE, PARENT));
    assert_eq!((&exchange.trace, &exchange.parent), (&visit.trace, &visit.id));
    assert_eq!(exchange.id, told[2]);
    assert_eq!((visit.state.as_str(), exchange.state.as_str()), ("foo=1", "foo=1"));
    assert!(visit.begins <= exchange.begins && exchange.begins <= exchange.ends, "{all:#?}");
    assert!(exchange.begins <= visit.ends && !visit.failed && !exchange.failed, "{all:#?}");
    for (attribute, value) in [
        ("http.request.method", "GET"),
        ("url.query", "q=1&sig=REDACTED"),
        ("url.scheme", "http"),
        ("server.address", "app.test"),
        ("server.port", "80"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("user_agent.original", "tester"),
        ("seawall.ended", "delivered"),
        ("seawall.backend", "default"),
        ("error.type", ""),
    ] {
        assert_eq!(visit.says(attribute), value, "{attribute}");
    }
    let port = backend.port();
    let url = format!("http://127.0.0.1:{port}/a?q=1&sig=REDACTED");
    for (attribute, value) in [
        ("http.request.method", "GET"),
        ("url.full", url.as_str()),
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
        ("http.response.status_code", "200"),
        ("http.request.resend_count", ""),
    ] {
        assert_eq!(exchange.says(attribute), value, "{attribute}");
    }
    assert_eq!((visit.name.as_str(), exchange.name.as_str()), ("GET", "GET"));
}

#[test]
fn without_a_parent_or_with_a_malformed_one_a_trace_begins() {
    let (backend, collector) = (held(), Collector::start());
    backend.release("/");
    let seawall = Seawall::with(&backend, &collector.table(""));
    let twice = parent("01").repeat(2);
    let upper = parent("01").replace(PARENT, &PARENT.to_uppercase());
    let cases = ["", "Traceparent: 1\r\n", &parent("1"), &upper, &twice];
    for fields in cases {
        let mut client = seawall.client();
        client.get_with("/", &format!("{fields}Tracestate: foo=1\r\n"));
        client.answer();
    }
    let mut traces = Vec::new();
    for exchange in backend.exchanges() {
        let told = exchange.head.field("traceparent").unwrap().to_owned();
        assert!(told.ends_with("-01") && !told.contains(TRACE), "{told}");
        assert_eq!(exchange.head.field("tracestate"), None);
        traces.push(told);
    }
    traces.dedup();
    assert_eq!(traces.len(), cases.len());
    let all = collector.all_of(seawall);
    let roots = all.iter().filter(|span| span.parent.is_empty()).count();
    assert_eq!((all.len(), roots), (2 * cases.len(), cases.len()));
}

#[test]
fn what_its_parent_does_not_record_passes_and_makes_no_spans() {
    let (backend, collector) = (held(), Collector::start());
    backend.release("/");
    let seawall = Seawall::with(&backend, &collector.table(""));
    let fields = ["Tracestate: foo=1\r\n", "Tracestate: Foo=1\r\n"];
    for state in fields {
        let mut client = seawall.client();
        client.get_with("/", &format!("{}{state}", parent("00")));
        client.answer();
    }
    let told = backend.exchanges().into_iter().map(|exchange| {
        let field = |name: &str| exchange.head.field(name).map(ToOwned::to_owned);
        (field("traceparent").unwrap(), field("tracestate"))
    });
    let untouched = format!("00-{TRACE}-{PARENT}-00");
    let expected = [(untouched.clone(), Some("foo=1".into())), (untouched, None)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(collector.all_of(seawall).len(), 0);
    assert_eq!(collector.requests().len(), 0);
}

#[test]
fn what_is_not_sampled_here_is_not_recorded_behind_either() {
    let (backend, collector) = (held(), Collector::start());
    backend.release("/");
    let seawall = Seawall::with(&backend, &collector.table("sample = 0.0"));
    for fields in ["Tracestate: foo=1\r\n", &parent("01")] {
        let mut client = seawall.client();
        client.get_with("/", fields);
        client.answer();
    }
    let exchanges = backend.exchanges();
    let told = exchanges[0].head.field("traceparent").unwrap();
    assert!(told.ends_with("-00") && !told.contains(TRACE), "{told}");
    assert_eq!(exchanges[0].head.field("tracestate"), None);
    // A parent decides for its own.
    let all = collector.all_of(seawall);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|span| span.trace == TRACE));
}

#[test]
fn untraced_everything_passes_as_it_came() {
    let backend = held();
    backend.release("/");
    let seawall = Seawall::before(&backend);
    for fields in ["Traceparent: odd\r\nTracestate: Odd\r\n", ""] {
        let mut client = seawall.client();
        client.get_with("/", fields);
        client.answer();
    }
    let exchanges = backend.exchanges();
    assert_eq!(exchanges[0].head.field("traceparent"), Some("odd"));
    assert_eq!(exchanges[0].head.field("tracestate"), Some("Odd"));
    assert_eq!(exchanges[1].head.field("traceparent"), None);
}

#[test]
fn the_span_of_an_orphan_ends_with_the_backend() {
    let (backend, collector) = (held(), Collector::start());
    let seawall = Seawall::with(&backend, &collector.table(""));
    let client = ask(&seawall, "/slow");
    backend.wait_held("/slow", 1);
    seawall.leave(client, Leave::Reset);
    // Whoever notices has closed first, and says so then.
    seawall.settle();
    let left = now();
    backend.release("/slow");
    assert_eq!(seawall.line_of("/slow")["ended"], "discarded");
    let all = collector.all_of(seawall);
    let (visit, exchange) = (Span::of_visit(&all, "/slow"), Span::of_exchange(&all, "/slow"));
    assert!(visit.ends <= left && left <= exchange.ends, "{left} in {all:#?}");
    assert!(!visit.failed && !exchange.failed, "{all:#?}");
    assert_eq!(visit.happened(), ["client left"]);
    assert_eq!(visit.says("seawall.stage_left"), "waiting");
    assert_eq!(exchange.happened(), ["orphaned"]);
    let orphaned = exchange.events[0].1;
    assert!(exchange.begins < orphaned && orphaned <= left, "{left} in {all:#?}");
    assert_eq!(exchange.says("seawall.ended"), "discarded");
    assert!(exchange.says("seawall.orphaned_ms").parse::<f64>().unwrap() > 0.0);
}

#[test]
fn who_leaves_the_queue_has_no_exchange() {
    let (backend, collector) = (held(), Collector::start());
    let settings = format!("max_concurrency = 1\n{}", collector.table(""));
    let seawall = Seawall::with(&backend, &settings);
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let queued = ask(&seawall, "/queued");
    seawall.settle();
    seawall.leave(queued, Leave::Fin);
    assert_eq!(seawall.line_of("/queued")["ended"], "abandoned");
    backend.release("/running");
    running.answer();
    let all = collector.all_of(seawall);
    assert_eq!(all.len(), 3);
    let visit = Span::of_visit(&all, "/queued");
    assert_eq!(visit.happened(), ["queued", "client left"]);
    assert_eq!(visit.says("seawall.ended"), "abandoned");
    assert!(visit.says("seawall.queue_ms").parse::<f64>().unwrap() > 0.0);
}

#[test]
fn who_joins_is_linked_to_the_exchange_that_answers_him() {
    let (backend, collector) = (held(), Collector::start());
    let settings = format!("[[route]]\njoin = true\n{}", collector.table(""));
    let seawall = Seawall::with(&backend, &settings);
    let mut first = ask(&seawall, "/page");
    backend.wait_held("/page", 1);
    let mut joins = seawall.client();
    joins.get_with("/page", &parent("01"));
    seawall.settle();
    backend.release("/page");
    assert_eq!((first.answer().status(), joins.answer().status()), (200, 200));
    let all = collector.all_of(seawall);
    assert_eq!(all.len(), 3);
    let exchange = Span::of_exchange(&all, "/page");
    assert_eq!(exchange.happened(), ["joined"]);
    let joined = all.iter().find(|span| span.trace == TRACE).expect("the joiner's");
    assert_eq!(joined.parent, PARENT);
    assert_eq!(joined.links, [(exchange.trace.clone(), exchange.id.clone())]);
    assert_eq!(joined.says("seawall.shared"), "join");
    assert_ne!(exchange.trace, TRACE);
}

#[test]
fn a_request_that_is_sent_again_is_one_span_that_says_so() {
    let collector = Collector::start();
    let backend = Backend::start(|talk| {
        if talk.target() == "/first" {
            talk.answer("one")?;
            return talk.turn_stale();
        }
        talk.answer_with("404 Not Found", "", "two")
    });
    let seawall = Seawall::with(&backend, &format!("idle = \"10s\"\n{}", collector.table("")));
    for (path, status) in [("/first", 200), ("/second", 404)] {
        let mut client = seawall.client();
        assert_eq!(client.get(path).answer().status(), status);
    }
    let all = collector.all_of(seawall);
    let (visit, exchange) = (Span::of_visit(&all, "/second"), Span::of_exchange(&all, "/second"));
    assert_eq!(exchange.says("http.request.resend_count"), "1");
    assert_eq!(exchange.happened(), ["sent again"]);
    // For whom it failed is a matter of the side.
    assert_eq!((exchange.failed, exchange.says("error.type")), (true, "404"));
    assert_eq!((visit.failed, visit.says("error.type")), (false, ""));
}

#[test]
fn what_the_backend_breaks_has_failed_and_says_why() {
    let collector = Collector::start();
    let backend = Backend::start(|talk| {
        talk.write("nonsense\r\n\r\n")?;
        talk.close();
        Ok(())
    });
    let seawall = Seawall::with(&backend, &collector.table(""));
    let mut client = seawall.client();
    client.send("BREW /pot HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
    let all = collector.all_of(seawall);
    let (visit, exchange) = (Span::of_visit(&all, "/pot"), Span::of_exchange(&all, "/pot"));
    for span in [visit, exchange] {
        assert!(span.failed, "{span:#?}");
        assert_eq!(span.name, "HTTP");
        assert_eq!(span.says("http.request.method"), "_OTHER");
        assert_eq!(span.says("http.request.method_original"), "BREW");
        assert_eq!(span.says("error.type"), "answer_malformed");
        assert_eq!(span.says("seawall.ended"), "failed");
    }
    assert_eq!(visit.says("http.response.status_code"), "502");
    assert_eq!((visit.says("server.address"), visit.says("server.port")), ("::1", "81"));
    assert_eq!(exchange.says("http.response.status_code"), "");
}

fn held() -> Backend {
    Backend::start(|talk| {
        let target = talk.target();
        let gate = target.split('?').next().unwrap_or_default();
        talk.hold(gate)?;
        talk.answer(target)
    })
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    client
}

fn parent(flags: &str) -> String {
    format!("Traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

/// As the spans count.
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
