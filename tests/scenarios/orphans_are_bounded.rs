//! Promise 10: orphans are bounded in time, in bytes and per client; endless answers are let go
//! soon after their client leaves.

use std::io;

use crate::harness::{Backend, Client, Harm, Leave, Seawall, Talk, pattern};

#[test]
fn an_orphan_that_runs_for_too_long_is_cut_and_its_slot_is_free() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/hangs" => talk.wait_gone(),
        _ => talk.answer("served"),
    });
    let seawall =
        Seawall::with(&backend, "max_concurrency = 1\norphan = { max_duration = \"300ms\" }");
    let client = ask(&seawall, "/hangs");
    backend.wait_begun("/hangs");
    let mut next = ask(&seawall, "/next");
    client.leave(Leave::Fin);
    assert_eq!(next.answer().text(), "served");
    let line = seawall.line_of("/hangs");
    assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"waiting".into()), "{line}");
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("orphan.max_duration"), "{line}");
    assert!(line["backend_ms"].as_f64().unwrap() >= 300.0, "{line}");
    assert!(!backend.wait_harmed("/hangs").is_empty());
}

#[test]
fn an_exchange_whose_client_waits_may_run_longer() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/orphan" {
            return talk.wait_gone();
        }
        talk.hold("view")?;
        talk.answer("at last")
    });
    let seawall = Seawall::with(&backend, "orphan = { max_duration = \"200ms\" }");
    let mut patient = ask(&seawall, "/patient");
    backend.wait_held("view", 1);
    // That an orphan begun later has been cut tells that its bound has passed for the patient
    // client's exchange too.
    let orphan = ask(&seawall, "/orphan");
    backend.wait_begun("/orphan");
    orphan.leave(Leave::Reset);
    assert_eq!(seawall.line_of("/orphan")["ended"], "cut");
    backend.release("view");
    assert_eq!(patient.answer().text(), "at last");
}

#[test]
fn an_orphan_that_answers_without_end_is_cut_at_its_bound_of_bytes() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("begun")?;
        talk.hold("left")?;
        loop {
            talk.chunk(pattern(100_000))?;
        }
    });
    let seawall = Seawall::with(&backend, "orphan = { max_bytes = \"1MiB\" }");
    let mut client = ask(&seawall, "/floods");
    client.head();
    backend.wait_held("left", 1);
    seawall.leave(client, Leave::Reset);
    backend.release("left");
    let line = seawall.line_of("/floods");
    assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"answering".into()), "{line}");
    let discarded = line["discarded_bytes"].as_u64().unwrap();
    assert!((1 << 20..4 << 20).contains(&discarded), "{line}");
}

#[test]
fn a_client_that_stays_may_take_more_than_an_orphan() {
    let backend = Backend::start(|talk| talk.answer(pattern(3_000_000)));
    let seawall = Seawall::with(&backend, "orphan = { max_bytes = \"1MiB\" }");
    assert_eq!(seawall.client().get("/").answer().body.len(), 3_000_000);
}

#[test]
fn one_clients_orphans_are_bounded_and_anothers_requests_are_not() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "[client]\norphans = 3");
    for number in 0..3 {
        let client = ask(&seawall, "/orphan");
        backend.wait_held("view", number + 1);
        seawall.leave(client, Leave::BOTH[number % 2]);
    }
    let refused = ask(&seawall, "/refused").answer();
    assert_eq!(refused.status(), 429);
    let mut other = Client::from_address([127, 0, 0, 2].into(), seawall.address);
    other.get("/other");
    backend.wait_held("view", 4);
    backend.release("view");
    assert_eq!(other.answer().text(), "served");
    seawall.wait_for_lines(3, |line| line["path"] == "/orphan");
    assert_eq!(ask(&seawall, "/again").answer().text(), "served");
    backend.assert_unharmed();
}

#[test]
fn a_silent_event_stream_is_let_go_soon_after_its_client_closes() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("Content-Type: text/event-stream\r\n")?;
        talk.chunk("data: once\n\n")?;
        // Nothing more is ever written, so nothing but the FIN tells that the client has gone.
        talk.wait_gone()
    });
    let seawall = Seawall::with(&backend, "endless = \"300ms\"");
    let mut client = ask(&seawall, "/events");
    client.head();
    client.chunk();
    seawall.leave(client, Leave::Fin);
    let line = seawall.line_of("/events");
    assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"answering".into()), "{line}");
}

#[test]
fn an_event_stream_is_let_go_soon_after_its_client_leaves() {
    an_endless_answer_is_let_go("Content-Type: text/event-stream; charset=utf-8\r\n");
}

#[test]
fn a_camera_picture_stream_is_let_go_soon_after_its_client_leaves() {
    an_endless_answer_is_let_go("Content-Type: multipart/x-mixed-replace; boundary=frame\r\n");
}

fn an_endless_answer_is_let_go(fields: &'static str) {
    for leave in Leave::BOTH {
        let backend = Backend::start(move |talk| match &*talk.target() {
            "/endless" => endless(talk, fields),
            _ => talk.answer("served"),
        });
        let seawall = Seawall::with(&backend, "max_concurrency = 1\nendless = \"200ms\"");
        let mut client = ask(&seawall, "/endless");
        client.head();
        client.chunk();
        let mut next = ask(&seawall, "/next");
        client.leave(leave);
        assert_eq!(next.answer().text(), "served");
        let line = seawall.line_of("/endless");
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"cut".into(), &"answering".into()),
            "{leave:?}: {line}"
        );
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("endless"), "{line}");
        assert!(!backend.wait_harmed("/endless").contains(&Harm::Truncated));
    }
}

#[test]
fn an_event_stream_whose_client_stays_goes_on_past_that_bound() {
    let backend = Backend::start(|talk| endless(talk, "Content-Type: text/event-stream\r\n"));
    let seawall = Seawall::with(&backend, "endless = \"100ms\"");
    let mut patient = ask(&seawall, "/patient");
    patient.head();
    let mut impatient = ask(&seawall, "/impatient");
    impatient.head();
    impatient.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/impatient")["ended"], "cut");
    let mut got = Vec::new();
    while got.len() < 600 {
        got.extend(patient.chunk());
    }
    assert!(got.starts_with(&b"data: tick\n\n".repeat(50)));
}

/// An event every few milliseconds, until somebody breaks the pipe.
fn endless(talk: &mut Talk, fields: &str) -> io::Result<()> {
    talk.chunked_head(fields)?;
    loop {
        talk.chunk("data: tick\n\n")?;
        Talk::pause();
    }
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
