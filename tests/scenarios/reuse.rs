//! Connections to the backend are used again, and the race that goes with it never becomes a
//! client's error.

use std::io;
use std::thread;
use std::time::Duration;

use crate::harness::{Backend, Seawall, Talk};

#[test]
fn a_kept_connection_is_used_again() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for _ in 0..5 {
        seawall.client().get("/").answer();
    }
    assert_eq!((backend.connections(), backend.exchanges().len()), (1, 5));
    backend.assert_unharmed();
}

#[test]
fn a_kept_connection_serves_the_clients_of_every_worker() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall =
        Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"\n[runtime]\nworkers = 4");
    // By their ports they come to this worker or to that.
    let mut clients: Vec<_> = (0..24).map(|_| seawall.client()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.get("/").answer().text(), "served");
        }
    }
    assert_eq!((backend.connections(), backend.exchanges().len()), (1, 48));
    backend.assert_unharmed();
}

#[test]
fn those_who_waited_for_a_slot_use_the_connections_that_are_there() {
    let backend = Backend::start(|talk| {
        talk.hold("all")?;
        talk.answer("served")
    });
    let seawall =
        Seawall::with(&backend, "max_concurrency = 4\nidle = \"1h\"\n[runtime]\nworkers = 1");
    let mut clients: Vec<_> = (0..16).map(|_| seawall.client()).collect();
    for client in &mut clients {
        client.get("/");
    }
    backend.wait_held("all", 4);
    seawall.settle();
    // All four slots change hands in the same moment.
    backend.release("all");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "served");
    }
    assert_eq!((backend.connections(), backend.most_open_at_once()), (4, 4));
    backend.assert_unharmed();
}

#[test]
fn a_server_of_http_1_0_that_keeps_its_connection_is_asked_to_keep_it() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 6\r\n\r\nserved")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for _ in 0..3 {
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
    let exchanges = backend.exchanges();
    let asked: Vec<_> =
        exchanges.iter().map(|exchange| exchange.head.field("connection")).collect();
    assert_eq!(asked, [None, Some("keep-alive"), Some("keep-alive")]);
    assert_eq!(backend.connections(), 1);
    backend.assert_unharmed();
}

#[test]
fn an_orphans_connection_is_used_again_too() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "idle = \"1h\"");
    let mut client = seawall.client();
    client.get("/orphan");
    backend.wait_held("view", 1);
    client.leave(crate::harness::Leave::Fin);
    backend.release("view");
    seawall.line_of("/orphan");
    assert_eq!(seawall.client().get("/").answer().text(), "served");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_that_closes_is_closed_at_the_last_byte() {
    // Has said that it will close, and waits for the other side to do so first, as lingering
    // servers do.
    let backend = Backend::one_thread(|talk| {
        talk.answer_with("200 OK", "Connection: close\r\n", "served")?;
        talk.linger()
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for _ in 0..3 {
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
    backend.assert_unharmed();
    assert_eq!((backend.connections(), backend.most_open_at_once()), (3, 1));
}

#[test]
fn an_http_1_0_answer_without_keep_alive_ends_its_connection() {
    let backend = Backend::one_thread(|talk| {
        talk.write("HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nserved")?;
        talk.linger()
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for _ in 0..3 {
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
    backend.assert_unharmed();
    assert_eq!(backend.connections(), 3);
}

#[test]
fn a_get_that_meets_a_stale_connection_goes_once_more() {
    let backend = Backend::start(stale_after_the_first);
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    assert_eq!(seawall.client().get("/warm").answer().text(), "served");
    assert_eq!(seawall.client().get("/second").answer().text(), "served");
    assert_eq!(backend.targets(), ["/warm", "/second"]);
    assert_eq!((backend.connections(), backend.most_open_at_once()), (2, 1));
}

#[test]
fn a_get_that_crossed_the_end_of_its_connection_was_not_seen_and_may_be_cut_once_yet() {
    let backend = Backend::start(|talk| match (&*talk.target(), talk.is_first(&talk.target())) {
        ("/warm", _) => {
            talk.answer("served")?;
            talk.turn_away()
        }
        (_, true) => {
            talk.close();
            Ok(())
        }
        (_, false) => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for target in ["/warm", "/second"] {
        assert_eq!(seawall.client().get(target).answer().text(), "served");
    }
    assert_eq!(backend.targets(), ["/warm", "/second", "/second"]);
    assert_eq!((backend.connections(), backend.most_open_at_once()), (3, 1));
}

#[test]
fn an_upload_that_met_the_end_of_its_connection_may_have_been_seen() {
    // Some read the head, shut their side, and leave the body unread: that looks the same.
    let backend = Backend::start(|talk| {
        if talk.target() == "/warm" {
            talk.answer("served")?;
            return talk.turn_away();
        }
        talk.close();
        Ok(())
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    seawall.client().get("/warm").answer();
    let mut client = seawall.client();
    client.send("PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.answer().status(), 502);
    // Once more, and no third time.
    assert_eq!(backend.targets(), ["/warm", "/file"]);
}

#[test]
fn a_get_that_was_read_before_the_connection_ended_goes_once_more() {
    let backend = Backend::start(|talk| {
        if talk.turn == 1 {
            talk.close();
            return Ok(());
        }
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for target in ["/warm", "/second"] {
        assert_eq!(seawall.client().get(target).answer().text(), "served");
    }
    let connections: Vec<_> =
        backend.exchanges().iter().map(|exchange| exchange.connection).collect();
    assert_eq!(
        (backend.targets(), connections),
        (["/warm", "/second", "/second"].map(String::from).into(), vec![0, 0, 1])
    );
}

#[test]
fn a_get_goes_once_more_and_not_for_ever() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/warm" {
            return talk.answer("served");
        }
        talk.close();
        Ok(())
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    seawall.client().get("/warm").answer();
    assert_eq!(seawall.client().get("/second").answer().status(), 502);
    assert_eq!(backend.targets(), ["/warm", "/second", "/second"]);
}

#[test]
fn a_post_never_pays_for_a_stale_connection() {
    let backend = Backend::start(stale_after_the_first);
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for round in 0..3 {
        assert_eq!(seawall.client().get(&format!("/warm/{round}")).answer().text(), "served");
        let target = format!("/order/{round}");
        assert_eq!(
            seawall.client().post(&target, b"one of each").answer().text(),
            "served",
            "{target}"
        );
        assert_eq!(backend.targets().iter().filter(|seen| **seen == target).count(), 1);
    }
    assert_eq!(backend.most_open_at_once(), 1);
}

#[test]
fn a_post_that_may_have_been_seen_is_not_sent_again() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/order" => {
            talk.close();
            Ok(())
        }
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    seawall.client().get("/warm").answer();
    assert_eq!(seawall.client().post("/order", b"one of each").answer().status(), 502);
    assert_eq!(backend.targets(), ["/warm", "/order"]);
    assert_eq!(seawall.client().get("/after").answer().text(), "served");
}

#[test]
fn an_upload_that_goes_once_more_is_whole_again() {
    let backend = Backend::start(|talk| {
        if talk.turn == 1 {
            talk.close();
            return Ok(());
        }
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    seawall.client().get("/warm").answer();
    let body = crate::harness::pattern(2_000_000);
    let mut client = seawall.client();
    client.send("PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n").send(&body);
    assert_eq!(client.answer().body, body);
}

#[test]
fn nobody_notices_a_backend_that_closes_kept_connections_at_the_worst_moment() {
    // As short as the kernel's clock allows: about the time which the clients take from one request
    // to the next.
    let backend = Backend::start(|talk| {
        talk.keep_for(Duration::from_millis(4))?;
        talk.answer("served")
    });
    let seawall =
        Seawall::with(&backend, "max_concurrency = 2\nidle = \"1h\"\n[runtime]\nworkers = 2");
    thread::scope(|scope| {
        for visitor in 0..4_u64 {
            let (seawall, backend) = (&seawall, &backend);
            scope.spawn(move || {
                let mut client = seawall.client();
                for round in 0..60_u64 {
                    let target = format!("/{visitor}/{round}");
                    let answer = if round % 2 == 0 {
                        client.get(&target)
                    } else {
                        client.post(&target, b"x")
                    }
                    .answer();
                    assert_eq!(answer.status(), 200, "{target}");
                    let seen = backend.targets().iter().filter(|seen| **seen == target).count();
                    assert!(seen == 1 || round % 2 == 0, "{target} was sent {seen} times");
                    thread::sleep(Duration::from_micros(700 * ((visitor * 7 + round * 5) % 13)));
                }
            });
        }
    });
    assert!(
        backend.most_open_at_once() <= 2,
        "{} connections at once",
        backend.most_open_at_once()
    );
}

fn stale_after_the_first(talk: &mut Talk) -> io::Result<()> {
    talk.answer("served")?;
    talk.turn_stale()
}
