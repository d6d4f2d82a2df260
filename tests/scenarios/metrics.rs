//! `/metrics`: what happened is counted, what runs is shown, and every metric is documented.

#![allow(clippy::float_cmp, reason = "they are whole numbers")]

use std::collections::BTreeMap;

use crate::harness::tunnel::Door;
use crate::harness::{Backend, Client, Leave, Seawall, until};

const ON: &str = "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";
const DOCUMENTED: &str = include_str!("../../docs/metrics.md");

#[test]
fn what_comes_of_exchanges_is_counted() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let orphan = ask(&seawall, "/orphan");
    backend.wait_held("/orphan", 1);
    let leaver = ask(&seawall, "/leaver");
    let mut patient = ask(&seawall, "/patient");
    let of = |name: &str, labels: &[(&str, &str)]| seawall.metrics().value(name, labels);
    until("two are queued", || (of("seawall_queued", &[]) == 2.0).then_some(()));
    assert_eq!(of("seawall_slots", &[]), 1.0);
    assert_eq!(of("seawall_slots_in_use", &[]), 1.0);
    assert_eq!(of("seawall_exchanges_running", &[("stage", "waiting")]), 1.0);
    assert_eq!(of("seawall_exchanges_running", &[("stage", "queued")]), 2.0);
    assert_eq!(of("seawall_connections", &[]), 3.0);

    seawall.leave(leaver, Leave::Fin);
    seawall.leave(orphan, Leave::Reset);
    until("it is an orphan", || (of("seawall_orphans_running", &[]) == 1.0).then_some(()));
    backend.release("/orphan");
    backend.release("/patient");
    assert_eq!(patient.answer().status(), 200);
    assert_eq!(seawall.client().send("GET / HTTP/1.1\r\nHost : a\r\n\r\n").answer().status(), 400);
    let metrics = until("all is over", || {
        let metrics = seawall.metrics();
        let running = metrics.value("seawall_exchanges_running", &[]);
        (running == 0.0).then_some(metrics)
    });
    let ours = ("backend", "default");
    for (name, labels, value) in [
        ("seawall_exchanges_total", &[ours, ("ended", "delivered")][..], 1.0),
        ("seawall_exchanges_total", &[ours, ("ended", "discarded")], 1.0),
        ("seawall_exchanges_total", &[ours, ("ended", "abandoned")], 1.0),
        ("seawall_exchanges_total", &[("backend", ""), ("ended", "refused")], 1.0),
        ("seawall_refusals_total", &[("backend", ""), ("kind", "malformed")], 1.0),
        ("seawall_responses_total", &[("status", "none")], 2.0),
        ("seawall_responses_total", &[("status", "2xx")], 1.0),
        ("seawall_responses_total", &[("status", "4xx")], 1.0),
        ("seawall_clients_left_total", &[ours, ("stage", "waiting")], 1.0),
        ("seawall_clients_left_total", &[ours, ("stage", "queued")], 1.0),
        ("seawall_orphans_total", &[ours], 1.0),
        ("seawall_delivered_bytes_total", &[ours], 8.0),
        ("seawall_discarded_bytes_total", &[ours], 7.0),
        ("seawall_visit_duration_seconds_count", &[ours], 3.0),
        ("seawall_backend_duration_seconds_bucket", &[ours, ("le", "+Inf")], 2.0),
        ("seawall_queue_duration_seconds_count", &[ours], 2.0),
        ("seawall_slots_in_use", &[ours], 0.0),
        ("seawall_backend_up", &[ours], 1.0),
        ("seawall_backend_condition", &[ours, ("condition", "up")], 1.0),
    ] {
        assert_eq!(metrics.value(name, labels), value, "{name} {labels:?}\n{}", metrics.text);
    }
    let orphaned = metrics.value("seawall_orphan_seconds_total", &[ours]);
    assert!(orphaned > 0.0, "{}", metrics.text);
    let open = metrics.value("process_open_fds", &[]);
    assert!(open > 3.0 && open < metrics.value("process_max_fds", &[]), "{}", metrics.text);
    assert!(metrics.value("process_resident_memory_bytes", &[]) > 1e6, "{}", metrics.text);
}

#[test]
fn an_open_tunnel_is_shown_and_then_counted() {
    let door = Door::new();
    let seawall = door.seawall("[admin]\nlisten = \"127.0.0.1:0\"\n");
    let (client, backend) = door.tunnel(&seawall, "/chat");
    let of = |name: &str| seawall.metrics().value(name, &[]);
    until("it is shown", || (of("seawall_tunnels_running") == 1.0).then_some(()));
    assert_eq!(of("seawall_tunnels_total"), 0.0);
    drop((client, backend));
    until("it is counted", || (of("seawall_tunnels_total") == 1.0).then_some(()));
    assert_eq!(of("seawall_tunnels_running"), 0.0);
}

#[test]
fn a_backend_that_is_away_is_not_up() {
    let seawall = Seawall::start(
        "listen = \"127.0.0.1:0\"\nbackend = \"unix:/nowhere\"\n[admin]\nlisten = \"127.0.0.1:0\"",
    );
    let of = |name: &str, labels: &[(&str, &str)]| seawall.metrics().value(name, labels);
    assert_eq!(of("seawall_backend_condition", &[("condition", "unknown")]), 1.0);
    assert_eq!(of("seawall_backend_up", &[]), 1.0);
    let _held = ask(&seawall, "/");
    until("it is held", || (of("seawall_held", &[]) == 1.0).then_some(()));
    until("it is away", || (of("seawall_backend_up", &[]) == 0.0).then_some(()));
    assert_eq!(of("seawall_backend_condition", &[("condition", "away")]), 1.0);
}

#[test]
fn every_metric_is_documented_and_what_is_documented_is_there() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    // So that there is a refusal with its label.
    seawall.settle();
    let metrics = seawall.metrics();
    let shown: BTreeMap<_, _> = metrics
        .families
        .iter()
        .map(|(name, family)| {
            let labels = family.labels.iter().cloned().collect::<Vec<_>>();
            (name.clone(), [family.kind.clone(), labels.join(", "), family.help.clone()])
        })
        .collect();
    let table = DOCUMENTED.split("| --- | --- | --- | --- |\n").nth(1).unwrap();
    let documented: BTreeMap<_, _> = table
        .lines()
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.replace('`', "")).collect();
            let cell = |number: usize| cells[number].trim().to_owned();
            (cell(1), [cell(2), cell(3), cell(4)])
        })
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn the_scraper_chooses_the_format() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let answer = |accept: &str| seawall.admin_page("/metrics", &format!("Accept: {accept}\r\n"));
    let open = answer(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    );
    let kind = open.head.field("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().contains("\n# TYPE seawall_joins counter\nseawall_joins_total{"));
    assert!(open.text().ends_with("\n# EOF\n"));
    for accept in [
        "*/*",
        "text/plain",
        "text/html, */*;q=0.1",
        "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.8",
    ] {
        let text = answer(accept);
        let kind = text.head.field("content-type").unwrap();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        assert!(text.text().contains("\n# TYPE seawall_joins_total counter\nseawall_joins_total{"));
    }
}

#[test]
fn metrics_are_behind_the_guard() {
    let backend = Backend::held();
    let seawall =
        Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"s3cret\"\n");
    assert_eq!(seawall.admin_page("/metrics", "").status(), 401);
    let shown = seawall.admin_page("/metrics", "Authorization: Bearer s3cret\r\n");
    assert_eq!(shown.status(), 200);
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    client
}
