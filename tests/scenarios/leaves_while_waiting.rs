//! Promise 1: a client leaves while it waits for the head, and the backend finishes unharmed.

use std::io;

use crate::harness::{Backend, Client, Leave, Seawall, Talk, pattern, until};

#[test]
fn a_backend_that_tells_the_length_finishes_unharmed() {
    the_backend_finishes_unharmed(|talk| talk.answer(pattern(300_000)));
}

#[test]
fn a_backend_that_sends_chunks_finishes_unharmed() {
    the_backend_finishes_unharmed(|talk| {
        talk.chunked_head("")?;
        pattern(300_000).chunks(10_000).try_for_each(|piece| talk.chunk(piece))?;
        talk.last_chunk()
    });
}

#[test]
fn a_backend_that_ends_by_closing_finishes_unharmed() {
    the_backend_finishes_unharmed(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        talk.close();
        talk.write(pattern(300_000))
    });
}

#[test]
fn an_http_1_0_backend_finishes_unharmed() {
    the_backend_finishes_unharmed(|talk| {
        talk.write("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n")?;
        talk.close();
        talk.write(pattern(300_000))
    });
}

fn the_backend_finishes_unharmed(answer: fn(&mut Talk) -> io::Result<()>) {
    for leave in Leave::BOTH {
        let backend = Backend::start(move |talk| {
            talk.hold("view")?;
            answer(talk)
        });
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.get("/sleeps");
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        backend.release("view");

        let line = seawall.line_of("/sleeps");
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"discarded".into(), &"waiting".into()),
            "{leave:?}: {line}"
        );
        assert_eq!(
            (line["status"].as_u64(), line["backend_status"].as_u64()),
            (None, Some(200)),
            "{line}"
        );
        assert_eq!(
            (line["delivered_bytes"].as_u64(), line["discarded_bytes"].as_u64()),
            (Some(0), Some(300_000))
        );
        backend.assert_unharmed();
        assert_eq!(backend.targets(), ["/sleeps"]);
    }
}

#[test]
fn an_upload_in_the_backends_hands_is_finished_too() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            talk.answer("stored")
        });
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.post("/store", &pattern(100_000));
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        backend.release("view");
        assert_eq!(seawall.line_of("/store")["ended"], "discarded");
        backend.assert_unharmed();
        assert_eq!(backend.wait_answered("/store").body, pattern(100_000));
    }
}

#[test]
fn the_slot_of_a_client_that_left_stays_taken_until_the_backend_has_finished() {
    let backend = Backend::start(|talk| {
        talk.hold(&talk.target())?;
        talk.answer("done")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut impatient = seawall.client();
    impatient.get("/first");
    backend.wait_held("/first", 1);
    seawall.leave(impatient, Leave::Reset);
    let mut patient = seawall.client();
    patient.get("/second");
    seawall.settle();
    assert_eq!(backend.targets(), ["/first"]);

    backend.release("/first");
    backend.release("/second");
    assert_eq!(patient.answer().text(), "done");
    assert_eq!((backend.most_held_at_once(), backend.most_open_at_once()), (1, 1));
    backend.assert_unharmed();
}

#[test]
fn a_request_dropped_and_sent_again_is_answered() {
    let backend = Backend::start(|talk| {
        talk.hold(if talk.request().head.field("x-try") == Some("1") {
            "first"
        } else {
            "second"
        })?;
        talk.answer("at last")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get_with("/report", "X-Try: 1\r\n");
    backend.wait_held("first", 1);
    client.leave(Leave::Fin);
    let mut again = seawall.client();
    again.get_with("/report", "X-Try: 2\r\n");
    backend.wait_held("second", 1);
    backend.release("second");
    assert_eq!(again.answer().text(), "at last");
    backend.release("first");
    backend.assert_unharmed();
}

#[test]
fn a_client_whose_next_request_lies_pipelined_behind_the_first_harms_nobody_by_leaving() {
    for (leave, together) in
        Leave::BOTH.into_iter().flat_map(|leave| [(leave, true), (leave, false)])
    {
        let backend = Backend::start(|talk| {
            talk.hold(&talk.target())?;
            talk.answer("done")
        });
        let seawall = Seawall::with(&backend, "max_concurrency = 1");
        let mut client = seawall.client();
        let get = |target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        if together {
            client.send(get("/one") + &get("/two"));
            backend.wait_held("/one", 1);
        } else {
            client.send(get("/one"));
            backend.wait_held("/one", 1);
            client.send(get("/two"));
        }
        seawall.leave(client, leave);
        backend.release("/one");
        let line = seawall.line_of("/one");
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"discarded".into(), &"waiting".into()),
            "{line}"
        );
        // The slot is free again, and nobody has asked for the second.
        backend.release("/after");
        assert_eq!(seawall.client().get("/after").answer().text(), "done");
        backend.assert_unharmed();
        assert_eq!(backend.targets(), ["/one", "/after"]);
    }
}

#[test]
fn whoever_pipelines_far_ahead_and_leaves_harms_nobody() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.hold(&talk.target())?;
            talk.answer("done")
        });
        let seawall = Seawall::with(&backend, "max_concurrency = 1");
        let mut client = seawall.client();
        client.get("/one");
        backend.wait_held("/one", 1);
        for _ in 0..3 {
            client.get_with("/more", &format!("X: {}\r\n", "x".repeat(10_000)));
        }
        // Nobody sees a FIN behind so many bytes which are not read yet.
        client.leave(leave);
        seawall.settle();
        backend.release("/one");
        backend.release("/more");
        seawall.line_of("/one");
        backend.release("/after");
        assert_eq!(seawall.client().get("/after").answer().text(), "done");
        backend.assert_unharmed();
        assert_eq!(backend.most_held_at_once(), 1);
    }
}

#[test]
fn an_orphan_takes_little_memory_and_none_of_its_clients_head() {
    let backend = Backend::held();
    let bounds = "max_concurrency = 500\n[client]\nexchanges = 500\norphans = 500";
    let seawall = Seawall::with(&backend, bounds);
    let ask = |number| {
        let mut client = seawall.client();
        // Long, so that it shows who keeps it.
        client.get_with(
            "/held",
            &format!("X-Request-Id: {number}\r\nCookie: {}\r\n", "c".repeat(6000)),
        );
        client
    };
    seawall.leave(ask(0), Leave::Fin);
    let before = seawall.memory("VmRSS");
    let clients: Vec<Client> = (1..=400).map(ask).collect();
    backend.wait_held("/held", 401);
    drop(clients);
    // KiB. With their clients they take 24 each. What is freed goes back to the system after a second.
    until("memory is given back", || {
        let grown = seawall.memory("VmRSS").saturating_sub(before);
        (grown < 400 * 12).then_some(())
    });
    backend.release("/held");
    seawall.wait_for_lines(401, |line| line["path"] == "/held");
    backend.assert_unharmed();
}
