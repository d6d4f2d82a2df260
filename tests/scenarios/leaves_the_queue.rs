//! Promise 4: a client leaves while queued: it is dropped from the queue, and the backend never
//! hears of it.

use std::time::Duration;

use crate::harness::{Backend, Client, Leave, Seawall, Site};

#[test]
fn those_who_leave_the_queue_never_reach_the_backend() {
    for leave in Leave::BOTH {
        let backend = Backend::held();
        let seawall = Seawall::with(&backend, "max_concurrency = 1");
        let mut running = ask(&seawall, "/running");
        backend.wait_held("/running", 1);

        let quitters: Vec<Client> =
            (0..5).map(|number| ask(&seawall, &format!("/quits/{number}"))).collect();
        let mut sixth = ask(&seawall, "/sixth");
        seawall.settle();
        for client in quitters {
            client.leave(leave);
        }
        // They are dropped now, while the slot is still taken, and not when their turn comes.
        let lines = seawall.wait_for_lines(5, |line| line["ended"] == "abandoned");
        for line in lines {
            assert_eq!(
                (&line["left"], &line["backend_status"]),
                (&"queued".into(), &None::<u16>.into()),
                "{line}"
            );
            assert!(line["path"].as_str().unwrap().starts_with("/quits/"));
        }

        backend.release("/running");
        assert_eq!(running.answer().text(), "/running");
        backend.wait_held("/sixth", 1);
        backend.release("/sixth");
        assert_eq!(sixth.answer().text(), "/sixth");
        assert_eq!(backend.targets(), ["/running", "/sixth"], "{leave:?}");
        backend.assert_unharmed();
    }
}

#[test]
fn those_who_leave_the_queue_make_room_in_it() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nqueue = { max = 1 }");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let quitter = ask(&seawall, "/quits");
    seawall.settle();
    assert_eq!(seawall.client().get("/refused").answer().status(), 503);

    quitter.leave(Leave::Fin);
    seawall.line_of("/quits");
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    backend.release("/running");
    backend.release("/next");
    assert_eq!(
        (running.answer().text(), next.answer().text()),
        ("/running".into(), "/next".into())
    );
    assert_eq!(backend.targets(), ["/running", "/next"]);
}

#[test]
fn an_upload_whose_client_leaves_the_queue_is_not_sent() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut quitter = seawall.client();
    quitter.post("/order", b"one of each");
    seawall.settle();
    quitter.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/order")["ended"], "abandoned");
    backend.release("/running");
    running.answer();
    backend.release("/after");
    ask(&seawall, "/after").answer();
    assert_eq!(backend.targets(), ["/running", "/after"]);
}

#[test]
fn a_whole_queue_that_leaves_leaves_the_slot_free() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let quitters: Vec<Client> =
        (0..20).map(|number| ask(&seawall, &format!("/quits/{number}"))).collect();
    seawall.settle();
    for (client, leave) in quitters.into_iter().zip(Leave::BOTH.into_iter().cycle()) {
        client.leave(leave);
    }
    running.leave(Leave::Reset);
    seawall.wait_for_lines(20, |line| line["ended"] == "abandoned");
    backend.release("/running");
    assert_eq!(seawall.line_of("/running")["ended"], "discarded");
    backend.release("/after");
    assert_eq!(ask(&seawall, "/after").answer().text(), "/after");
    assert_eq!(backend.targets(), ["/running", "/after"]);
    backend.assert_unharmed();
}

/// A seawall that is busy finds requests and resets at once.
#[test]
fn whoever_has_left_before_anything_is_done_costs_the_server_no_connection() {
    let backend = Backend::held();
    backend.release("/first");
    backend.release("/last");
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    ask(&seawall, "/first").answer();
    let quitters: Vec<Client> = (0..20).map(|_| seawall.client()).collect();
    seawall.settle();
    seawall.signal("STOP");
    for mut client in quitters {
        client.get("/quits");
        client.leave(Leave::Reset);
    }
    seawall.signal("CONT");
    seawall.wait_for_lines(20, |line| line["ended"] == "abandoned" && line["path"] == "/quits");
    ask(&seawall, "/last").answer();
    assert_eq!(backend.targets(), ["/first", "/last"]);
    assert_eq!(backend.connections(), 1, "the one that was kept");
}

/// Holds every request at a gate of its own name.

#[test]
fn whoever_leaves_before_the_server_has_room_for_it_never_comes_there() {
    let ((listener, _first), address) = Site::that_hangs();
    let seawall =
        Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"http://{address}\""));
    let quitter = ask(&seawall, "/quits");
    seawall.settle();
    seawall.leave(quitter, Leave::Fin);
    drop(listener.accept().unwrap());
    // Whoever still waits for room is there after 200 ms at most.
    listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(listener.accept().is_err(), "nobody comes");
    let line = seawall.line_of("/quits");
    assert_eq!((&line["ended"], &line["left"]), (&"abandoned".into(), &"queued".into()), "{line}");
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
