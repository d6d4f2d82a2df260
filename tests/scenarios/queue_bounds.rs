//! The queue: first come, first served, bounded in length and in wait.

use crate::harness::{Answer, Backend, Client, Seawall, pattern};

#[test]
fn the_first_to_come_is_the_first_served() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let targets: Vec<String> = (0..8).map(|number| format!("/{number}")).collect();
    let mut clients: Vec<Client> = Vec::new();
    for target in &targets {
        clients.push(ask(&seawall, target));
        seawall.settle();
    }
    for (client, target) in clients.iter_mut().zip(&targets) {
        backend.release(target);
        assert_eq!(&client.answer().text(), target);
    }
    assert_eq!(backend.targets(), targets);
    assert_eq!(backend.most_held_at_once(), 1);
}

#[test]
fn one_who_comes_while_others_wait_does_not_get_the_slot_that_was_just_freed() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut waiting = ask(&seawall, "/waiting");
    seawall.settle();
    backend.release("/running");
    // Asks again over a connection that is warm, the very moment its answer is there.
    running.answer();
    running.get("/again");
    for target in ["/waiting", "/again"] {
        backend.release(target);
    }
    assert_eq!(
        (waiting.answer().text(), running.answer().text()),
        ("/waiting".into(), "/again".into())
    );
    assert_eq!(backend.targets(), ["/running", "/waiting", "/again"]);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nqueue = { max = 2 }");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut queued = [ask(&seawall, "/one"), ask(&seawall, "/two")];
    seawall.settle();
    let refused = ask(&seawall, "/three").answer();
    assert_busy(&refused);
    let line = seawall.line_of("/three");
    // It never had a place in it.
    assert_eq!((&line["ended"], &line["queue_ms"]), (&"refused".into(), &0.0.into()), "{line}");
    // An upload is refused like a page.
    assert_busy(&seawall.client().post("/upload", &pattern(100_000)).answer());

    for target in ["/running", "/one", "/two"] {
        backend.release(target);
    }
    assert_eq!(running.answer().text(), "/running");
    for (client, target) in queued.iter_mut().zip(["/one", "/two"]) {
        assert_eq!(client.answer().text(), target);
    }
    assert_eq!(backend.targets(), ["/running", "/one", "/two"]);
    backend.assert_unharmed();
}

#[test]
fn no_queue_at_all_is_a_queue_too() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nqueue = { max = 0 }");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    assert_busy(&ask(&seawall, "/refused").answer());
    backend.release("/running");
    assert_eq!(running.answer().text(), "/running");
    seawall.line_of("/running");
    backend.release("/next");
    assert_eq!(ask(&seawall, "/next").answer().text(), "/next");
}

#[test]
fn who_waits_too_long_is_refused_and_never_sent() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nqueue = { timeout = \"300ms\" }");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let refused = ask(&seawall, "/waits").answer();
    assert_busy(&refused);
    let line = seawall.line_of("/waits");
    assert_eq!(
        (&line["ended"], line["backend_status"].as_u64()),
        (&"refused".into(), None),
        "{line}"
    );
    assert!(line["queue_ms"].as_f64().unwrap() >= 300.0, "{line}");
    // The bound is for the queue: the exchange that runs may take longer.
    backend.release("/running");
    assert_eq!(running.answer().text(), "/running");
    assert_eq!(backend.targets(), ["/running"]);
    backend.assert_unharmed();
}

#[test]
fn a_refused_client_may_ask_again_over_the_same_connection() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nqueue = { max = 0 }");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut client = ask(&seawall, "/again");
    let refused = client.answer();
    assert_busy(&refused);
    backend.release("/running");
    running.answer();
    seawall.line_of("/running");
    backend.release("/again");
    if !refused.head.says_close() {
        assert_eq!(client.get("/again").answer().text(), "/again");
    }
}

#[track_caller]
fn assert_busy(refused: &Answer) {
    assert_eq!(refused.status(), 503, "{refused:?}");
    let seconds: u64 = refused.head.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=600).contains(&seconds), "Retry-After: {seconds}");
    assert!(
        refused.head.field("proxy-status").unwrap().starts_with("seawall; error="),
        "{refused:?}"
    );
}

/// Holds every request at a gate of its own name.
fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
