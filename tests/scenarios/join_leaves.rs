//! Clients of one exchange come and leave: it belongs to all who watch it.

use std::thread;
use std::time::Duration;

use crate::harness::{Backend, Leave, Seawall, pattern};
use crate::join::{ON, ONE_SLOT, ask, assert_collapsed, held};

#[test]
fn what_was_held_for_joiners_and_nobody_came_for_is_counted_as_discarded() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let client = ask(&seawall, "/alone");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    backend.release("view");
    let line = seawall.line_of("/alone");
    assert_eq!((&line["ended"], &line["discarded_bytes"]), (&"discarded".into(), &6.into()));
}

#[test]
fn what_a_joiner_has_read_is_not_discarded() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.get_with("/", "X-Request-Id: first\r\n");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    backend.release("view");
    assert_eq!(joins.answer().text(), "/");
    let line = seawall.wait_for_log(|line| line["id"] == "first");
    assert_eq!((&line["ended"], &line["discarded_bytes"]), (&"discarded".into(), &0.into()));
}

#[test]
fn an_exchange_in_the_queue_is_joined_and_sent_although_its_first_client_has_left() {
    let backend = held();
    let seawall = Seawall::with(&backend, ONE_SLOT);
    let mut running = ask(&seawall, "/running");
    backend.wait_held("view", 1);
    let mut first = seawall.client();
    first.get_with("/queued", "X-Request-Id: first\r\n");
    seawall.settle();
    let mut joins = ask(&seawall, "/queued");
    let gives_up = ask(&seawall, "/queued");
    seawall.settle();
    seawall.leave(first, Leave::Fin);
    seawall.leave(gives_up, Leave::Reset);
    let line = seawall.wait_for_log(|line| line["ended"] == "abandoned");
    assert_eq!((&line["shared"], &line["left"]), (&"join".into(), &"queued".into()), "{line}");
    backend.release("view");
    running.answer();
    assert_collapsed(&joins.answer());
    assert_eq!(backend.targets(), ["/running", "/queued"]);
}

#[test]
fn an_exchange_in_the_queue_that_all_have_left_is_never_sent() {
    let backend = held();
    let seawall = Seawall::with(&backend, ONE_SLOT);
    let mut running = ask(&seawall, "/running");
    backend.wait_held("view", 1);
    let clients = [(); 3].map(|()| ask(&seawall, "/queued"));
    seawall.settle();
    for client in clients {
        seawall.leave(client, Leave::Fin);
    }
    seawall.wait_for_lines(3, |line| line["ended"] == "abandoned");
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    backend.release("view");
    running.answer();
    next.answer();
    assert_eq!(backend.targets(), ["/running", "/next"]);
}

#[test]
fn an_orphan_that_is_joined_is_none_any_more() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[client]\norphans = 2"));
    let orphan = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(orphan, Leave::Fin);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    let other = ask(&seawall, "/other");
    backend.wait_held("view", 2);
    seawall.leave(other, Leave::Fin);
    // It has left two behind, but one of them has found somebody.
    let mut third = ask(&seawall, "/third");
    backend.wait_held("view", 3);
    backend.release("view");
    assert_eq!(joins.answer().text(), "/");
    assert_eq!(third.answer().status(), 200);
}

#[test]
fn who_refreshes_a_page_that_a_restart_then_cuts_gets_it_all_the_same() {
    let backend = Backend::start(|talk| {
        if talk.is_first("/") {
            talk.hold("cut")?;
            talk.reset();
            return Ok(());
        }
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, ON);
    let client = ask(&seawall, "/");
    backend.wait_held("cut", 1);
    seawall.leave(client, Leave::Fin);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    backend.release("cut");
    let answer = joins.answer();
    assert_collapsed(&answer);
    assert_eq!(answer.text(), "served");
    assert_eq!(backend.targets(), ["/", "/"]);
}

#[test]
fn for_nobody_a_page_that_a_restart_cuts_is_not_run_again() {
    let backend = Backend::start(|talk| {
        talk.hold("cut")?;
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::with(&backend, ON);
    let client = ask(&seawall, "/");
    backend.wait_held("cut", 1);
    seawall.leave(client, Leave::Fin);
    backend.release("cut");
    assert_eq!(seawall.line_of("/")["ended"], "failed");
    assert_eq!(backend.targets(), ["/"]);
}

#[test]
fn whoever_comes_back_to_an_orphan_stops_its_clock_and_whoever_leaves_again_starts_it() {
    let backend = held();
    let seawall =
        Seawall::with(&backend, "orphan = { max_duration = \"2s\" }\n[[route]]\njoin = true");
    let client = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    let joins = ask(&seawall, "/");
    thread::sleep(Duration::from_millis(2200));
    assert!(joins.hears_nothing(), "it was cut, although somebody waits");
    seawall.leave(joins, Leave::Fin);
    let line = seawall.wait_for_log(|line| line["ended"] == "cut");
    assert_eq!(line["reason"], "orphan.max_duration reached");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_route_that_cancels_does_so_when_the_last_watcher_leaves() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/" => talk.wait_gone(),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "[[route]]\njoin = true\non_disconnect = \"cancel\"");
    let first = ask(&seawall, "/");
    let joins = ask(&seawall, "/");
    seawall.settle();
    seawall.leave(first, Leave::Fin);
    assert!(joins.hears_nothing());
    assert!(backend.exchanges()[0].harm.is_empty(), "cut, although somebody waits");
    seawall.leave(joins, Leave::Fin);
    assert!(!backend.wait_harmed("/").is_empty());
}

#[test]
fn client_wait_lets_go_of_one_and_not_of_the_others() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[client]\nwait = \"2s\""));
    let mut first = ask(&seawall, "/");
    backend.wait_held("view", 1);
    assert_eq!(first.answer().status(), 504);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    backend.release("view");
    assert_collapsed(&joins.answer());
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn an_orphan_that_others_could_join_is_discarded_in_flat_memory() {
    const PARTS: usize = 128;
    let backend = Backend::start(|talk| {
        let part = pattern(1 << 20);
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS << 20))?;
        talk.hold("left")?;
        (0..PARTS).try_for_each(|_| talk.write(&part))
    });
    let seawall = Seawall::with(&backend, ON);
    let mut client = ask(&seawall, "/dump");
    client.head();
    backend.wait_held("left", 1);
    seawall.leave(client, Leave::Reset);
    let before = seawall.memory("VmHWM");
    backend.release("left");
    let line = seawall.line_of("/dump");
    assert_eq!(
        (&line["ended"], &line["discarded_bytes"]),
        (&"discarded".into(), &(PARTS << 20).into())
    );
    let grown = seawall.memory("VmHWM") - before;
    assert!(grown <= 8 * 1024, "{grown} KiB more at the peak than before");
    backend.assert_unharmed();
}
