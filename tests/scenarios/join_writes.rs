//! Nobody joins across a write: a reader sees what he has written.

use crate::harness::{Backend, Seawall};
use crate::join::{ON, ask, assert_collapsed, held};

#[test]
fn nobody_joins_across_a_write() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut early = ask(&seawall, "/list");
    backend.wait_held("view", 1);
    let mut writes = seawall.client();
    writes.post("/list", b"one more");
    backend.wait_held("view", 2);
    // Sent is enough, although it is not answered yet.
    let mut late = ask(&seawall, "/list");
    backend.wait_held("view", 3);
    backend.release("view");
    for client in [&mut early, &mut writes, &mut late] {
        assert_eq!(client.answer().head.field("cache-status"), None);
    }
}

#[test]
fn nobody_joins_who_began_before_a_write_was_answered() {
    let backend = Backend::start(|talk| {
        let gate = talk.request().head.method().to_owned();
        talk.hold(&gate)?;
        talk.answer("seen")
    });
    let seawall = Seawall::with(&backend, ON);
    let mut writes = seawall.client();
    writes.post("/list", b"one more");
    backend.wait_held("POST", 1);
    // It may have read already what the write is about to change.
    let mut early = ask(&seawall, "/list");
    backend.wait_held("GET", 1);
    backend.release("POST");
    writes.answer();
    let mut own = ask(&seawall, "/list");
    backend.wait_held("GET", 2);
    // And this one began after all that, so the next may join it.
    let mut joins = ask(&seawall, "/list");
    seawall.settle();
    backend.release("GET");
    assert_eq!(early.answer().head.field("cache-status"), None);
    assert_eq!(own.answer().head.field("cache-status"), None);
    assert_collapsed(&joins.answer());
}

#[test]
fn nobody_joins_who_began_before_a_writer_was_told_anything_of_his_write() {
    for told in ["head", "chunk"] {
        let backend = Backend::start(move |talk| {
            if talk.request().head.method() == "GET" {
                talk.hold("read")?;
                return talk.answer("seen");
            }
            if told == "chunk" {
                talk.chunked_head("")?;
            }
            talk.hold("write")?;
            if told == "head" {
                talk.chunked_head("")?;
            } else {
                talk.chunk("done")?;
            }
            talk.hold("write's end")?;
            talk.last_chunk()
        });
        let seawall = Seawall::with(&backend, ON);
        let mut writes = seawall.client();
        writes.post("/list", b"one more");
        backend.wait_held("write", 1);
        if told == "chunk" {
            writes.head();
        }
        let mut early = ask(&seawall, "/list");
        backend.wait_held("read", 1);
        backend.release("write");
        if told == "head" {
            writes.head();
        } else {
            assert_eq!(writes.chunk(), b"done");
        }
        let mut own = ask(&seawall, "/list");
        backend.wait_held("read", 2);
        for gate in ["read", "write's end"] {
            backend.release(gate);
        }
        early.answer();
        assert_eq!(own.answer().head.field("cache-status"), None);
    }
}

#[test]
fn a_write_by_way_of_another_backend_table_counts_for_the_same_server() {
    let backend = held();
    let table =
        |name: &str| format!("[[backend]]\nname = \"{name}\"\nurl = \"{}\"\n", backend.url());
    let seawall = Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n{}{}[[route]]\nmethods = [\"POST\"]\nbackend = \"b\"\n{ON}",
        table("a"),
        table("b"),
    ));
    let mut early = ask(&seawall, "/list");
    backend.wait_held("view", 1);
    let mut writes = seawall.client();
    writes.post("/list", b"one more");
    backend.wait_held("view", 2);
    let mut late = ask(&seawall, "/list");
    backend.wait_held("view", 3);
    backend.release("view");
    for client in [&mut early, &mut writes, &mut late] {
        assert_eq!(client.answer().head.field("cache-status"), None);
    }
}

#[test]
fn reads_do_not_keep_anybody_from_joining() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut first = ask(&seawall, "/list");
    backend.wait_held("view", 1);
    let mut other = seawall.client();
    other.send("OPTIONS /list HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_held("view", 2);
    let mut joins = ask(&seawall, "/list");
    seawall.settle();
    backend.release("view");
    assert_collapsed(&joins.answer());
    first.answer();
    other.answer();
}
