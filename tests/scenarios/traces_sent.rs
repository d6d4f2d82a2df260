//! How spans come to their collector, and what a bad collector costs: no request anything.

use crate::harness::command::{binary, run_to_end};
use crate::harness::{Authority, Backend, Client, Collector, Seawall, Site, attributes, until};

#[test]
fn spans_come_with_who_sends_them_and_what_the_collector_wants_to_see() {
    let (backend, collector) = (quick(), Collector::start());
    let keys = "headers = [\"authorization=Bearer s3cret\"]\nservice_name = \"shop\"\n\
                resource = [\"deployment.environment.name=test\"]";
    let seawall = Seawall::with(&backend, &collector.table(keys));
    assert_eq!(ask(&seawall, "/").status(), 200);
    // Without an end of the process, too.
    collector.wait_spans(2);
    let posted = &collector.backend.exchanges()[0].head;
    assert_eq!((posted.method(), posted.target()), ("POST", "/v1/traces"));
    assert_eq!(posted.field("content-type"), Some("application/x-protobuf"));
    assert_eq!(posted.field("authorization"), Some("Bearer s3cret"));
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let about = attributes(&resource.attributes);
    assert_eq!(about["service.name"], "shop");
    assert_eq!(about["deployment.environment.name"], "test");
    assert!(!about["service.version"].is_empty() && !about["service.instance.id"].is_empty());
    collector.backend.assert_unharmed();
}

#[test]
fn a_collector_that_is_away_costs_no_request_and_gets_the_spans_when_it_comes() {
    let (backend, site) = (quick(), Site::new());
    let settings = format!("[trace]\notlp = \"{}\"\n", site.url());
    let seawall = Seawall::with(&backend, &settings);
    assert_eq!(ask(&seawall, "/one").status(), 200);
    seawall.wait_for_diagnostic("the collector takes no spans; requests go on");
    assert_eq!(ask(&seawall, "/two").status(), 200);
    let collector = Collector { backend: site.open(|talk| talk.answer("")) };
    seawall.wait_for_diagnostic("the collector takes spans again");
    assert_eq!(collector.all_of(seawall).len(), 4);
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    for (status, fields, times) in [
        ("503 Service Unavailable", "Retry-After: 0\r\n", 2),
        ("429 Too Many Requests", "", 2),
        ("400 Bad Request", "", 1),
        ("500 Internal Server Error", "Retry-After: 0\r\n", 1),
    ] {
        let backend = quick();
        let collector = Collector::with(move |talk| match talk.is_first("/v1/traces") {
            true => talk.answer_with(status, fields, "no"),
            false => talk.answer(""),
        });
        let seawall = Seawall::with(&backend, &collector.table(""));
        assert_eq!(ask(&seawall, "/").status(), 200);
        let asked = || collector.backend.exchanges().len();
        until("it is asked so often", || (asked() == times).then_some(()));
        let said = seawall.wait_for_diagnostic("the collector takes no spans; requests go on");
        assert!(said["error"].as_str().unwrap().contains(status), "{said}");
        assert_eq!(collector.all_of(seawall).len(), 2 * times);
        assert_eq!(asked(), times);
    }
}

#[test]
fn a_collector_that_is_busy_for_ever_loses_that_batch_and_gets_the_next() {
    let backend = quick();
    let collector = Collector::with(|talk| match talk.is_first("/v1/traces") {
        true => {
            let fields = format!("Retry-After: {}\r\n", u64::MAX);
            talk.answer_with("503 Service Unavailable", &fields, "no")
        }
        false => talk.answer(""),
    });
    let seawall = Seawall::with(&backend, &collector.table(""));
    assert_eq!(ask(&seawall, "/one").status(), 200);
    seawall.wait_for_diagnostic("spans of requests were dropped");
    assert_eq!(ask(&seawall, "/two").status(), 200);
    seawall.wait_for_diagnostic("the collector takes spans again");
    assert_eq!(collector.all_of(seawall).len(), 4);
}

#[test]
fn a_collector_that_hangs_holds_nobody_up_at_the_end() {
    let backend = quick();
    let collector = Collector::with(|talk| talk.hold("for ever"));
    let settings = format!("{}[drain]\ntimeout = \"100ms\"\n", collector.table(""));
    let mut seawall = Seawall::with(&backend, &settings);
    assert_eq!(ask(&seawall, "/").status(), 200);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_diagnostic("spans are left that the collector did not take in time");
    collector.backend.release("for ever");
}

#[test]
fn what_finds_no_room_is_dropped_and_told() {
    let (backend, collector) = (quick(), Collector::start());
    let mut seawall = Seawall::with(&backend, &collector.table("memory = \"1KiB\""));
    // There is room for one or none, by the length of its path.
    for path in ["/", &format!("/{}", "a".repeat(2000))] {
        assert_eq!(ask(&seawall, path).status(), 200);
    }
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    let said = seawall.wait_for_diagnostic("spans of requests were dropped");
    assert_eq!((&said["requests"], &said["total"]), (&1.into(), &1.into()));
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn a_collector_behind_tls_is_known_by_its_certificate() {
    let (backend, collector, authority) = (quick(), Collector::start(), Authority::new());
    let pair = authority.sign("collector", &["localhost"]);
    let gate = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {pair}\n",
        collector.backend.url()
    ));
    let port = gate.address.port();
    let toml = format!(
        "listen = \"127.0.0.1:0\"\nbackend = \"{}\"\n[trace]\notlp = \"https://localhost:{port}\"\n",
        backend.url()
    );
    let trusting = |file| Seawall::start_as(binary().env("SSL_CERT_FILE", file), &toml);
    let other = Authority::new();
    let wary = trusting(other.file());
    ask(&wary, "/wary");
    let said = wary.wait_for_diagnostic("the collector takes no spans; requests go on");
    assert!(said["error"].as_str().unwrap().contains("certificate"), "{said}");
    drop(wary);
    let seawall = trusting(authority.file());
    ask(&seawall, "/");
    assert_eq!(collector.all_of(seawall).len(), 2);
}

#[test]
fn the_standard_variables_count_where_the_file_asks_for_them() {
    let (backend, collector) = (quick(), Collector::start());
    let start = |trace: &str| {
        let mut command = binary();
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.backend.url())
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
            .env("OTEL_SERVICE_NAME", "theirs");
        let toml = format!("listen = \"127.0.0.1:0\"\nbackend = \"{}\"\n{trace}", backend.url());
        let seawall = Seawall::start_as(&mut command, &toml);
        assert_eq!(ask(&seawall, "/").status(), 200);
        collector.all_of(seawall).len()
    };
    assert_eq!(start(""), 0);
    assert_eq!(start("[trace]\notlp = \"env\"\n"), 2);
    assert_eq!(collector.backend.exchanges()[0].head.field("x-key"), Some("a b"));
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    assert_eq!(attributes(&resource.attributes)["service.name"], "theirs");
}

#[test]
fn a_mistaken_collector_is_found_by_check_which_shows_no_key() {
    let check = |trace: &str| {
        let toml = format!("backend = \"http://127.0.0.1:9\"\n[trace]\n{trace}\n");
        run_to_end(Some(&toml), |command| command.arg("check"))
    };
    for (key, what) in [
        ("otlp = \"localhost:4318\"", "is no URL"),
        ("otlp = \"grpc://localhost:4317\"", "is no URL of http or https"),
        ("otlp = \"http://me:s3cret@localhost\"", "belongs into trace.headers"),
        ("otlp = \"http://me:s3cret @localhost\"", "is no URL"),
        ("otlp = \"http://localhost?key=s3cret\"", "has a query"),
        ("headers = \"authorization=s3cret\"", "write [\"name=value\"]"),
        ("headers = [\"s3cret\"]", "no header; write \"name=value\""),
        ("sample = 1.5", "write 0.0 to 1.0"),
        ("resource = [\"x\"]", "is no attribute"),
    ] {
        let said = check(key);
        assert_eq!(said.code, Some(2), "{key}");
        assert!(said.err.contains("proxy.toml:3: trace.") && said.err.contains(what), "{said:?}");
        assert!(!said.err.contains("s3cret"), "{said:?}");
    }
    let said = check("otlp = \"http://localhost:4318\"\nheaders = [\"authorization=s3cret\"]");
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("trace.headers = [\"authorization=***\"]"), "{}", said.out);
    assert!(!said.out.contains("s3cret"), "{}", said.out);
}

fn quick() -> Backend {
    Backend::start(|talk| talk.answer("ok"))
}

fn ask(seawall: &Seawall, path: &str) -> crate::harness::Answer {
    Client::connect(seawall.address).get(path).answer()
}
