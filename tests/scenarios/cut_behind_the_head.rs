//! A restart can cut an answer behind its head, or within it. As long as the client has no more than
//! the head, an idempotent request goes once more, and the body of the second answer follows the
//! first one's head.

use std::io;

use crate::harness::{Backend, Client, Leave, Seawall, Talk};

/// Of every target, the first answer ends behind its head.
fn cut_at_first(talk: &mut Talk, second: &str) -> io::Result<()> {
    let target = talk.target();
    if talk.is_first(&target) {
        talk.write("HTTP/1.1 200 OK\r\nX-Version: 1\r\nContent-Length: 6\r\n\r\n")?;
        // The client has the head before anything happens to it.
        talk.hold("cut")?;
        talk.reset();
        return Ok(());
    }
    talk.answer_with("200 OK", second, "served")
}

fn backend(second: &'static str) -> Backend {
    Backend::start(move |talk| cut_at_first(talk, second))
}

fn head_then_cut(backend: &Backend, mut client: Client) -> Client {
    assert_eq!(client.head().status(), 200);
    backend.wait_held("cut", 1);
    backend.release("cut");
    client
}

#[test]
fn a_page_that_a_restart_cuts_behind_its_head_arrives_whole() {
    let backend = backend("X-Version: 1\r\n");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/page");
    let mut client = head_then_cut(&backend, client);
    assert_eq!(client.read(6), b"served");
    assert_eq!(backend.targets(), ["/page", "/page"]);
    let line = seawall.line_of("/page");
    assert_eq!((&line["ended"], &line["delivered_bytes"]), (&"delivered".into(), &6.into()));
    // Its connection goes on as ever.
    assert_eq!(client.get("/page").answer().text(), "served");
}

#[test]
fn it_does_not_go_over_another_connection_of_the_server_that_ends() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/other" => {
            talk.answer("other")?;
            talk.turn_stale()
        }
        _ => cut_at_first(talk, "X-Version: 1\r\n"),
    });
    let seawall = Seawall::with(&backend, "idle = \"1h\"\n[runtime]\nworkers = 1");
    let mut client = seawall.client();
    client.get("/page");
    assert_eq!(client.head().status(), 200);
    backend.wait_held("cut", 1);
    assert_eq!(seawall.client().get("/other").answer().text(), "other");
    // Its connection is kept, and lost.
    seawall.line_of("/other");
    backend.release("cut");
    assert_eq!(client.read(6), b"served");
    assert_eq!(backend.targets(), ["/page", "/other", "/page"]);
}

#[test]
fn another_answer_is_not_put_behind_that_head() {
    let backend = backend("X-Version: 2\r\n");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/page");
    let mut client = head_then_cut(&backend, client);
    assert_eq!(client.wait_closed(), b"");
    assert_eq!(seawall.line_of("/page")["ended"], "failed");
}

#[test]
fn a_post_is_not_sent_again() {
    let backend = backend("X-Version: 1\r\n");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.post("/form", b"once");
    let mut client = head_then_cut(&backend, client);
    assert_eq!(client.wait_closed(), b"");
    assert_eq!(backend.targets(), ["/form"]);
}

#[test]
fn nothing_is_sent_again_for_a_client_that_has_left() {
    let backend = backend("X-Version: 1\r\n");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/left");
    assert_eq!(client.head().status(), 200);
    backend.wait_held("cut", 1);
    seawall.leave(client, Leave::Reset);
    backend.release("cut");
    assert_eq!(seawall.line_of("/left")["ended"], "failed");
    assert_eq!(backend.targets(), ["/left"]);
}

/// Of every target, the first answer ends within its head: Python's wsgiref writes that line by line.
fn cut_within_the_head(talk: &mut Talk) -> io::Result<()> {
    let target = talk.target();
    if !talk.is_first(&target) {
        return talk.answer("served");
    }
    talk.write("HTTP/1.1 200 OK\r\nServer: restarting\r\n")?;
    match target.as_str() {
        "/reset" => talk.reset(),
        _ => talk.close(),
    }
    Ok(())
}

#[test]
fn a_page_that_a_restart_cuts_within_its_head_arrives_whole() {
    let backend = Backend::start(cut_within_the_head);
    let seawall = Seawall::before(&backend);
    for target in ["/closed", "/reset"] {
        assert_eq!(seawall.client().get(target).answer().text(), "served");
        assert_eq!(seawall.line_of(target)["ended"], "delivered");
    }
    assert_eq!(backend.targets(), ["/closed", "/closed", "/reset", "/reset"]);
}

#[test]
fn a_post_that_a_restart_cuts_within_the_head_of_its_answer_is_not_sent_again() {
    let backend = Backend::start(cut_within_the_head);
    let seawall = Seawall::before(&backend);
    assert_eq!(seawall.client().post("/form", b"once").answer().status(), 502);
    assert_eq!(backend.targets(), ["/form"]);
}
