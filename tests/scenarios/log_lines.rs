//! The access log: one line for each exchange, in the design's words.

use std::io;

use serde_json::Value;

use crate::harness::{Backend, Client, Leave, Seawall, Talk};

#[test]
fn delivered_means_that_the_client_has_it_all() {
    let backend = held();
    let seawall = Seawall::before(&backend);
    let mut client = ask(&seawall, "/page?x=1");
    backend.wait_held("view", 1);
    backend.release("view");
    client.answer();
    let line = the_only_line(&seawall);
    assert_eq!(line["ended"], "delivered");
    assert_eq!(line["client"], client.address().to_string());
    assert_eq!((&line["method"], line["path"].as_str().unwrap()), (&"GET".into(), "/page?x=1"));
    assert_eq!((&line["status"], &line["backend_status"]), (&200.into(), &200.into()));
    assert_eq!((&line["left"], &line["reason"]), (&Value::Null, &Value::Null));
    assert_eq!((&line["delivered_bytes"], &line["discarded_bytes"]), (&6.into(), &0.into()));
    assert!(
        line["time"].as_str().unwrap().ends_with('Z')
            && line["time"].as_str().unwrap().contains('T'),
        "{line}"
    );
    let [queue, backend_ms, client_ms] =
        ["queue_ms", "backend_ms", "client_ms"].map(|name| line[name].as_f64().unwrap());
    assert!(queue >= 0.0 && backend_ms > 0.0 && client_ms >= backend_ms, "{line}");
}

#[test]
fn discarded_means_that_the_client_left_and_the_backend_finished_in_peace() {
    let backend = held();
    let seawall = Seawall::before(&backend);
    let client = ask(&seawall, "/page");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    backend.release("view");
    let line = the_only_line(&seawall);
    assert_eq!((&line["ended"], &line["left"]), (&"discarded".into(), &"waiting".into()), "{line}");
    assert_eq!((&line["status"], &line["backend_status"]), (&Value::Null, &200.into()), "{line}");
    assert_eq!(
        (&line["delivered_bytes"], &line["discarded_bytes"]),
        (&0.into(), &6.into()),
        "{line}"
    );
}

#[test]
fn abandoned_means_that_the_backend_was_never_contacted() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("view", 1);
    let queued = ask(&seawall, "/queued");
    let mut uploading = seawall.client();
    uploading.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    seawall.settle();
    queued.leave(Leave::Fin);
    uploading.leave(Leave::Fin);
    for (path, left) in [("/queued", "queued"), ("/upload", "receiving")] {
        let line = seawall.line_of(path);
        assert_eq!((&line["ended"], &line["left"]), (&"abandoned".into(), &left.into()), "{line}");
        assert_eq!(line["backend_status"], Value::Null, "{line}");
    }
    backend.release("view");
    running.answer();
}

#[test]
fn cut_means_that_a_bound_ended_it_and_names_the_bound() {
    let backend = Backend::start(hangs);
    let seawall = Seawall::with(&backend, "orphan = { max_duration = \"200ms\" }");
    let client = ask(&seawall, "/hangs");
    backend.wait_begun("/hangs");
    client.leave(Leave::Fin);
    let line = the_only_line(&seawall);
    assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"waiting".into()), "{line}");
    assert!(
        line["reason"].as_str().is_some_and(|reason| reason.contains("orphan.max_duration")),
        "{line}"
    );
    assert_eq!((&line["status"], &line["backend_status"]), (&Value::Null, &Value::Null), "{line}");
}

#[test]
fn failed_means_that_the_backend_is_to_blame() {
    let backend = Backend::start(|talk| {
        talk.close();
        Ok(())
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.post("/", b"").answer();
    let line = the_only_line(&seawall);
    assert_eq!(line["ended"], "failed", "{line}");
    assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
    assert_eq!(
        (&line["status"], &line["backend_status"], &line["left"]),
        (&502.into(), &Value::Null, &Value::Null)
    );
}

#[test]
fn refused_means_that_we_answered() {
    let backend = held();
    let seawall = Seawall::with(&backend, "[[route]]\npath = \"/\"\nmax_body = \"1KiB\"");
    let mut client = seawall.client();
    client.send("POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n").answer();
    let line = the_only_line(&seawall);
    assert_eq!((&line["ended"], &line["status"]), (&"refused".into(), &413.into()), "{line}");
    assert_eq!((&line["backend_status"], &line["left"]), (&Value::Null, &Value::Null), "{line}");
    assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
}

#[test]
fn the_time_in_the_queue_and_at_the_backend_is_told_apart() {
    let backend = held();
    let seawall =
        Seawall::with(&backend, "max_concurrency = 1\n[client]\nhead_timeout = \"300ms\"");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("view", 1);
    let mut queued = ask(&seawall, "/queued");
    seawall.settle();
    // A third one's bound tells that so much time has passed.
    assert_eq!(seawall.client().send("GET / HTTP/1.1\r\n").answer().status(), 408);
    backend.release("view");
    running.answer();
    queued.answer();
    let (running, queued) = (seawall.line_of("/running"), seawall.line_of("/queued"));
    let [queue, at_the_backend] =
        ["queue_ms", "backend_ms"].map(|name| running[name].as_f64().unwrap());
    assert!(queue < 300.0 && at_the_backend >= 300.0, "{running}");
    let [queue, at_the_backend] =
        ["queue_ms", "backend_ms"].map(|name| queued[name].as_f64().unwrap());
    assert!(queue >= 300.0 && at_the_backend < queue, "{queued}");
}

#[test]
fn hostile_names_stay_within_their_line() {
    let backend = held();
    backend.release("view");
    let seawall = Seawall::before(&backend);
    ask(&seawall, "/\"quote\\\"}{%0a%0d").answer();
    // The harness reads a line as JSON or not at all.
    let line = the_only_line(&seawall);
    assert_eq!(line["path"], "/\"quote\\\"}{%0a%0d");
}

#[test]
fn every_exchange_has_one_line_and_no_more() {
    let backend = held();
    backend.release("view");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for number in 0..50 {
        client.get(&format!("/{number}")).answer();
    }
    let lines = seawall.wait_for_lines(50, |line| line["ended"] == "delivered");
    let mut paths: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!((paths.len(), seawall.log().len()), (50, 50));
}

#[test]
fn no_access_log_is_written_where_none_is_wanted() {
    let backend = held();
    backend.release("view");
    let mut seawall = Seawall::with(&backend, "[log]\naccess = false");
    ask(&seawall, "/").answer();
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert!(seawall.log().is_empty());
}

#[test]
fn a_module_can_be_made_to_say_more_and_the_others_less() {
    let backend = held();
    backend.release("view");
    let says = |level: &str| {
        let mut seawall = Seawall::with(&backend, &format!("[log]\nlevel = \"{level}\""));
        // Known to `front` alone, at `debug`.
        let mut broken = seawall.client();
        broken.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense").wait_closed();
        seawall.signal("TERM");
        assert_eq!(seawall.wait_exit(), Some(0));
        let lines = seawall.diagnostics();
        let of = |module: &str| {
            let of = |line: &&Value| line["target"].as_str().is_some_and(|it| it.contains(module));
            lines.iter().filter(of).count()
        };
        (of("seawall::front"), of("seawall::server"))
    };
    let (front, server) = says("info");
    assert!(front == 0 && server > 0);
    let (front, server) = says("info, seawall::front=debug");
    assert!(front > 0 && server > 0);
    // It says where it listens, which the harness waits for.
    let (front, server) = says("off,seawall::server=info");
    assert!(front == 0 && server > 0);
}

fn the_only_line(seawall: &Seawall) -> Value {
    let line = seawall
        .wait_for_log(|line| line["path"].as_str().is_some_and(|path| path.starts_with('/')));
    for name in ["time", "id", "client", "method", "path", "ended"] {
        assert!(line[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {line}");
    }
    for name in [
        "status",
        "backend_status",
        "left",
        "reason",
        "queue_ms",
        "backend_ms",
        "client_ms",
        "delivered_bytes",
        "discarded_bytes",
    ] {
        assert!(line.get(name).is_some(), "{name} in {line}");
    }
    line
}

fn held() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    })
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

/// Works on until somebody takes its connection away.
fn hangs(talk: &mut Talk) -> io::Result<()> {
    talk.wait_gone()
}
