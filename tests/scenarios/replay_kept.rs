//! Of what is kept for retries: which answers, and for how long.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::replay::{ON, assert_problem, assert_replayed, counts, held, post};
use crate::harness::{Backend, Framing, Leave, Seawall, pattern, until};

#[test]
fn errors_of_the_application_are_results_too() {
    let runs = AtomicU64::new(0);
    let backend = Backend::start(move |talk| {
        let number = runs.fetch_add(1, SeqCst);
        talk.answer_with("500 Internal Server Error", "", format!("failure {number}"))
    });
    let seawall = Seawall::with(&backend, ON);
    assert_eq!(post(&seawall, "/", "k", "one").answer().status(), 500);
    assert_replayed(&post(&seawall, "/", "k", "one").answer(), 500, "failure 0");
}

#[test]
fn what_failed_is_not_kept() {
    let backend = Backend::start(|talk| {
        match &*talk.target() {
            "/no-answer" => {}
            _ => talk.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?,
        }
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::with(&backend, ON);
    for target in ["/no-answer", "/half"] {
        for runs in 1..=3 {
            // At once: whoever sees that it failed may send it again.
            let _ = post(&seawall, target, &target[1..], "one").outcome();
            let ran = backend.targets().iter().filter(|other| *other == target).count();
            assert_eq!(ran, runs, "{target}");
        }
    }
}

#[test]
fn what_was_refused_or_abandoned_is_not_kept() {
    let backend = held();
    let seawall = Seawall::with(
        &backend,
        "max_concurrency = 1\nqueue = { max = 1 }\n[[route]]\nreplay = true",
    );
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("view", 1);
    let queued = post(&seawall, "/queued", "queued", "one");
    seawall.settle();
    assert_eq!(post(&seawall, "/refused", "refused", "one").answer().status(), 503);
    seawall.leave(queued, Leave::Fin);
    assert_eq!(seawall.line_of("/queued")["ended"], "abandoned");
    backend.release("view");
    running.answer();
    for key in ["queued", "refused"] {
        let answer = post(&seawall, &format!("/{key}"), key, "one").answer();
        assert_eq!((answer.status(), answer.head.field("idempotency-replayed")), (200, None));
    }
}

#[test]
fn an_orphan_that_was_cut_is_not_kept() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/cut" if talk.turn == 0 && talk.request().connection == 0 => talk.wait_gone(),
        _ => talk.answer("done"),
    });
    let settings = format!("orphan = {{ max_duration = \"50ms\" }}\n{ON}");
    let seawall = Seawall::with(&backend, &settings);
    let client = post(&seawall, "/cut", "k", "one");
    until("sent", || (backend.exchanges().len() == 1).then_some(()));
    seawall.leave(client, Leave::Fin);
    assert_eq!(seawall.line_of("/cut")["ended"], "cut");
    let again = post(&seawall, "/cut", "k", "one").answer();
    assert_eq!((again.text(), again.head.field("idempotency-replayed")), ("done".into(), None));
}

#[test]
fn an_answer_longer_than_the_bound_is_not_kept() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk(pattern(1_001))?;
        talk.hold("half")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nmax_body = 1000"));
    let mut first = post(&seawall, "/", "k", "one");
    first.head();
    first.chunk();
    // It runs, and its beginning is gone: neither attached nor run twice.
    assert_problem(&post(&seawall, "/", "k", "one").answer(), 409);
    backend.release("half");
    first.rest(Framing::Chunked).unwrap();
    let again = post(&seawall, "/", "k", "one").answer();
    assert_eq!((again.body.len(), again.head.field("idempotency-replayed")), (1_001, None));
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn the_oldest_is_forgotten_first_and_everything_in_time() {
    let backend = counts();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nentries = 2"));
    let send = |key: &str| post(&seawall, "/", key, "one").answer().text();
    for (key, order) in [("a", "order 0"), ("b", "order 1"), ("a", "order 0"), ("c", "order 2")] {
        assert_eq!(send(key), order);
    }
    assert_eq!(send("a"), "order 3");
    assert_eq!(send("c"), "order 2");

    let backend = counts();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nkeep = \"200ms\""));
    post(&seawall, "/", "k", "one").answer();
    until("it is forgotten", || {
        (post(&seawall, "/", "k", "one").answer().text() == "order 1").then_some(())
    });
}
