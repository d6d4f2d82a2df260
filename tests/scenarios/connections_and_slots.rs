//! Promise 8: no connection to the backend without a whole request in hand, and never more of them
//! than slots.

use std::thread;

use crate::harness::{Backend, Seawall};

#[test]
fn nothing_is_dialled_for_clients_that_have_not_asked_yet() {
    let backend = Backend::start(|talk| talk.answer("hello"));
    let seawall = Seawall::before(&backend);
    let idle = [seawall.client(), seawall.client()];
    let mut half_head = seawall.client();
    half_head.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let mut half_body = seawall.client();
    half_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    seawall.settle();
    assert_eq!(backend.connections(), 0);
    drop((idle, half_head));
    assert_eq!(half_body.send("again").answer().text(), "hello");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn connections_never_outnumber_slots_however_many_ask() {
    for slots in [1, 3] {
        let backend = Backend::start(|talk| talk.answer("hello"));
        let seawall =
            Seawall::with(&backend, &format!("max_concurrency = {slots}\n[runtime]\nworkers = 2"));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let mut client = seawall.client();
                    for number in 0..10 {
                        let answer =
                            if number % 3 == 0 { client.post("/", b"x") } else { client.get("/") }
                                .answer();
                        assert_eq!(answer.text(), "hello");
                    }
                });
            }
        });
        assert!(backend.most_open_at_once() <= slots, "{} of {slots}", backend.most_open_at_once());
        backend.assert_unharmed();
    }
}

#[test]
fn all_slots_are_used_when_there_is_work_for_them() {
    let backend = Backend::start(|talk| {
        talk.hold("all")?;
        talk.answer("hello")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 4");
    let mut clients: Vec<_> = (0..6).map(|_| seawall.client()).collect();
    for client in &mut clients {
        client.get("/");
    }
    backend.wait_held("all", 4);
    seawall.settle();
    assert_eq!(backend.connections(), 4);
    backend.release("all");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "hello");
    }
}

#[test]
fn a_one_thread_server_that_keeps_connections_is_never_blocked_by_an_idle_one() {
    let backend = Backend::one_thread(|talk| talk.answer("in turn"));
    let seawall =
        Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"\n[runtime]\nworkers = 2");
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for number in 0..5 {
                    let mut client = seawall.client();
                    let answer =
                        if number == 3 { client.post("/", b"x") } else { client.get("/") }.answer();
                    assert_eq!(answer.text(), "in turn");
                }
            });
        }
    });
    assert_eq!(backend.most_open_at_once(), 1);
    backend.assert_unharmed();
}

#[test]
fn a_one_thread_http_1_0_server_serves_one_after_the_other() {
    let backend = Backend::one_thread(|talk| {
        talk.close();
        talk.write("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nin turn")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = seawall.client();
                for _ in 0..5 {
                    assert_eq!(client.get("/").answer().text(), "in turn");
                }
            });
        }
    });
    assert_eq!((backend.connections(), backend.most_open_at_once()), (30, 1));
    backend.assert_unharmed();
}

#[test]
fn a_kept_connection_is_closed_when_it_is_old() {
    let backend = Backend::start(|talk| talk.answer("hello"));
    let seawall = Seawall::with(&backend, "idle = \"100ms\"");
    let mut client = seawall.client();
    client.get("/").answer();
    backend.wait_left_alone();
    assert_eq!(client.get("/").answer().text(), "hello");
    assert_eq!((backend.connections(), backend.most_open_at_once()), (2, 1));
    backend.assert_unharmed();
}

#[test]
fn the_slot_is_free_when_the_backend_has_finished_not_when_its_head_has_come() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("begun")?;
        talk.hold(&talk.target())?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut first = seawall.client();
    first.get("/first").head();
    assert_eq!(first.chunk(), b"begun");
    let mut second = seawall.client();
    second.get("/second");
    seawall.settle();
    assert_eq!(backend.targets(), ["/first"]);
    backend.release("/first");
    backend.release("/second");
    assert_eq!(second.answer().text(), "begun");
    assert_eq!(backend.most_held_at_once(), 1);
}
