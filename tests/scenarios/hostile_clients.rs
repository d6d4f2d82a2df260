//! Clients that mean ill: who pipelines without end and leaves, and hundreds who do everything slowly.
//! Each meets its bound, the backend meets none of them, and honest clients are served meanwhile.

use std::thread;
use std::time::Duration;

use crate::harness::{Backend, Client, Leave, Seawall, pattern, until};

fn pipelined(client: &mut Client, count: usize) -> Vec<String> {
    let targets: Vec<_> = (0..count).map(|number| format!("/{number}")).collect();
    let mut requests = String::new();
    for target in &targets {
        requests.extend(["GET ", target, " HTTP/1.1\r\nHost: a\r\n\r\n"]);
    }
    client.send(requests);
    targets
}

#[test]
fn whoever_pipelines_hundreds_and_leaves_has_begun_one_or_two() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            let target = talk.target();
            talk.answer(target)
        });
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        pipelined(&mut client, 500);
        backend.wait_held("view", 1);
        client.leave(leave);
        backend.release("view");
        // The connection is gone when the line of its last request is written.
        seawall.line_of("/0");
        until("the client's connection is closed", || (seawall.clients() == 0).then_some(()));
        backend.assert_unharmed();
        let targets = backend.targets();
        // A FIN may be that of a client which listens on: its answer tells, and by then the next one
        // may be on its way.
        let most = if leave == Leave::Reset { 1 } else { 2 };
        assert!(targets.len() <= most, "{leave:?}: {targets:?}");
        assert_eq!(targets[0], "/0");
    }
}

#[test]
fn whoever_pipelines_hundreds_and_listens_on_has_each_answer_once() {
    let backend = Backend::start(|talk| {
        let target = talk.target();
        talk.answer(target)
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    let targets = pipelined(&mut client, 500);
    client.half_close();
    for target in &targets {
        assert_eq!(client.answer().text(), *target);
    }
    assert_eq!(backend.targets(), targets);
    assert_eq!(backend.most_open_at_once(), 1);
    backend.assert_unharmed();
}

#[test]
fn pipelined_requests_behind_one_that_is_refused_are_none() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/first").send("GET /odd HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    pipelined(&mut client, 100);
    assert_eq!(client.answer().status(), 200);
    let refused = client.answer();
    assert_eq!((refused.status(), refused.head.says_close()), (400, true));
    assert_eq!(client.wait_closed(), b"");
    assert_eq!(backend.targets(), ["/first"]);
}

/// Five hundred at once, of four kinds.
#[test]
fn hundreds_of_slow_clients_keep_nobody_else_waiting() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/large" => talk.answer(pattern(8_000_000)),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(
        &backend,
        "max_concurrency = 2\n[client]\nhead_timeout = \"4s\"\nidle = \"4s\"\nbody_stall = \"3s\"\n\
         body_pace = \"1KiB\"\nwrite_stall = \"3s\"\n[spool]\ntotal_memory = \"8MiB\"",
    );
    let mut slow = Vec::new();
    for number in 0..500 {
        let (kind, mut client) = match number % 20 {
            0 => (Slow::Reader, Client::with_small_window(seawall.address)),
            1..=5 => (Slow::Silent, seawall.client()),
            6..=12 => (Slow::Head, seawall.client()),
            _ => (Slow::Body, seawall.client()),
        };
        match kind {
            Slow::Reader => client.get("/large"),
            Slow::Silent => &mut client,
            Slow::Head => client.send("GET /head HTTP/1.1\r\nHost: a\r\nX-a: b\r\n"),
            Slow::Body => {
                client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
            }
        };
        slow.push((kind, client));
    }
    until("the crowd is there", || (seawall.clients() > 250).then_some(()));
    // While all of them are there, and again and again until none is.
    assert_eq!(seawall.client().get("/honest").answer().text(), "served");
    until("no slow client is left", || {
        for (kind, client) in &mut slow {
            match kind {
                Slow::Head => client.try_send("X-a: b\r\n"),
                Slow::Body => client.try_send("x"),
                _ => client,
            };
        }
        assert_eq!(seawall.client().get("/honest").answer().text(), "served");
        thread::sleep(Duration::from_millis(50));
        (seawall.clients() == 0).then_some(())
    });
    for (count, reasons) in [
        (175, &["Request head timed out"][..]),
        // On a busy machine the next byte may be later than one that is slow on purpose.
        (175, &["Request body too slow", "Request body stalled"]),
        (25, &["client took no byte for client.write_stall"]),
    ] {
        seawall.wait_for_lines(count, |line| reasons.iter().any(|one| line["reason"] == *one));
    }
    assert!(backend.targets().iter().all(|target| ["/large", "/honest"].contains(&&**target)));
    assert_eq!(backend.most_open_at_once(), 2);
    backend.assert_unharmed();
}

#[derive(Clone, Copy)]
enum Slow {
    /// Slowloris: a head that never ends.
    Head,
    /// A body that never ends.
    Body,
    /// An answer that is not read.
    Reader,
    /// Not a word.
    Silent,
}
