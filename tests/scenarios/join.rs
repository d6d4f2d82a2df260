//! A request that is equal to one that runs is answered by that one, from its first byte.

use std::io;

use crate::harness::{Answer, Backend, Client, Leave, Seawall, Talk, assert_same_bytes, pattern};

pub(crate) const ON: &str = "[[route]]\njoin = true";
pub(crate) const ONE_SLOT: &str = "max_concurrency = 1\n[[route]]\njoin = true";

#[test]
fn ten_impatient_refreshes_of_a_slow_page_run_it_once() {
    for leave in Leave::BOTH {
        let backend = held_one_thread();
        let seawall = Seawall::with(&backend, ONE_SLOT);
        for number in 0..10 {
            let mut client = seawall.client();
            client.get_with("/slow", &format!("X-Request-Id: {number}\r\n"));
            backend.wait_held("/slow", 1);
            seawall.leave(client, leave);
        }
        // What a browser says when it reloads.
        let mut last = seawall.client();
        last.get_with("/slow", "Cache-Control: max-age=0\r\nPragma: no-cache\r\n");
        seawall.settle();
        backend.release("/slow");
        let answer = last.answer();
        assert_eq!((answer.status(), answer.text()), (200, "/slow".into()));
        assert_eq!(backend.targets(), ["/slow"], "{leave:?}");
        let lines = seawall.wait_for_lines(10, |line| line["ended"] == "discarded");
        assert_eq!(lines.iter().filter(|line| line["shared"] == "join").count(), 9, "{lines:?}");
        backend.assert_unharmed();
    }
}

#[test]
fn without_join_they_run_it_twice_at_most() {
    let backend = held_one_thread();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    for _ in 0..10 {
        let client = ask(&seawall, "/slow");
        backend.wait_held("/slow", 1);
        seawall.settle();
        seawall.leave(client, Leave::Fin);
    }
    let mut last = ask(&seawall, "/slow");
    seawall.settle();
    backend.release("/slow");
    let answer = last.answer();
    assert_eq!(answer.head.field("cache-status"), None);
    assert_eq!(backend.targets(), ["/slow", "/slow"]);
}

#[test]
fn who_joins_in_mid_answer_gets_it_from_its_first_byte() {
    for orphan in [false, true] {
        let body = pattern(500_000);
        let half = body.clone();
        let backend = Backend::start(move |talk| {
            talk.chunked_head("")?;
            talk.chunk(&half[..300_000])?;
            talk.hold("half")?;
            talk.chunk(&half[300_000..])?;
            talk.last_chunk()
        });
        let seawall = Seawall::with(&backend, ON);
        let mut first = ask(&seawall, "/");
        first.head();
        first.chunk();
        backend.wait_held("half", 1);
        if orphan {
            seawall.leave(first, Leave::Reset);
            let mut joins = ask(&seawall, "/");
            joins.head();
            backend.release("half");
            let rest = joins.rest(crate::harness::Framing::Chunked).expect("whole");
            assert_same_bytes(&rest, &body);
        } else {
            let mut joins = ask(&seawall, "/");
            seawall.settle();
            backend.release("half");
            assert_same_bytes(&joins.answer().body, &body);
            first.rest(crate::harness::Framing::Chunked).expect("whole");
        }
        assert_eq!(backend.exchanges().len(), 1);
    }
}

#[test]
fn what_is_given_to_a_joiner_says_so_and_has_his_own_id() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        let id = talk.request().head.field("x-request-id").map(ToOwned::to_owned);
        let echo = format!("X-Request-Id: {}\r\n", id.unwrap_or_default());
        talk.answer_with("200 OK", &format!("{echo}Cache-Status: inner; hit\r\n"), "page")
    });
    let seawall = Seawall::with(&backend, ON);
    let [mut first, mut joins] = ["one", "two"].map(|id| {
        let mut client = seawall.client();
        client.get_with("/", &format!("X-Request-Id: {id}\r\n"));
        seawall.settle();
        client
    });
    backend.release("view");
    let (first, joined) = (first.answer(), joins.answer());
    assert_eq!(first.head.field("cache-status"), Some("inner; hit"));
    assert_eq!(first.head.field("x-request-id"), Some("one"));
    assert_eq!(joined.head.field("cache-status"), Some("inner; hit, seawall; collapsed"));
    assert_eq!(joined.head.field("x-request-id"), Some("two"));
    let line = seawall.wait_for_log(|line| line["id"] == "two");
    assert_eq!((&line["ended"], &line["shared"]), (&"delivered".into(), &"join".into()), "{line}");
    assert_eq!(line["client"], joins.address().to_string());
    assert_eq!((&line["status"], &line["backend_status"]), (&200.into(), &200.into()), "{line}");
    assert_eq!(line["backend_ms"].as_f64(), Some(0.0), "{line}");
    assert_eq!((&line["delivered_bytes"], &line["discarded_bytes"]), (&4.into(), &0.into()));
    let line = seawall.wait_for_log(|line| line["id"] == "one");
    assert!(line["shared"].is_null() && line["ended"] == "delivered", "{line}");
}

#[test]
fn an_answer_past_the_bound_is_closed_to_newcomers_and_discarded_from_there() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk(pattern(900))?;
        talk.hold("first")?;
        talk.chunk(pattern(200))?;
        talk.hold("second")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, &format!("{ON}\n[join]\nmax_body = 1000"));
    let mut first = seawall.client();
    first.get_with("/", "X-Request-Id: first\r\n");
    first.head();
    backend.wait_held("first", 1);
    seawall.leave(first, Leave::Reset);
    backend.release("first");
    backend.wait_held("second", 1);
    seawall.settle();
    let mut next = ask(&seawall, "/");
    backend.wait_held("second", 2);
    backend.release("second");
    assert_eq!(next.answer().head.field("cache-status"), None);
    let line = seawall.wait_for_log(|line| line["id"] == "first");
    let counted = |name: &str| line[name].as_u64().unwrap();
    assert!(counted("discarded_bytes") <= 1100, "{line}");
    assert!(counted("delivered_bytes") + counted("discarded_bytes") >= 1100, "{line}");
}

#[test]
fn an_answer_that_is_broken_off_is_so_for_all() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
        talk.hold("half")?;
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::with(&backend, ON);
    let mut first = ask(&seawall, "/");
    backend.wait_held("half", 1);
    let mut joins = seawall.client();
    joins.get_with("/", "X-Request-Id: joins\r\n");
    joins.head();
    backend.release("half");
    assert_eq!(first.outcome().expect_err("broken off").body, b"half");
    assert_eq!(joins.wait_closed(), b"half");
    let line = seawall.wait_for_log(|line| line["id"] == "joins");
    assert_eq!(line["ended"], "failed", "{line}");
}

#[test]
fn a_refusal_goes_to_all_who_wait() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::with(&backend, ON);
    let mut clients = [(); 3].map(|()| ask(&seawall, "/"));
    backend.wait_held("view", 1);
    seawall.settle();
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().status(), 502);
    }
    seawall.wait_for_lines(3, |line| line["ended"] == "failed");
    // Cut, it was sent once more for all of them.
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn who_joins_counts_for_his_own_client() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[client]\nexchanges = 2"));
    let mut first = ask(&seawall, "/");
    backend.wait_held("view", 1);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    assert_eq!(ask(&seawall, "/").answer().status(), 429);
    backend.release("view");
    first.answer();
    joins.answer();
}

#[test]
fn a_slow_joiner_holds_neither_the_backend_nor_the_others() {
    let body = pattern(4_000_000);
    let sent = body.clone();
    let backend = Backend::start(move |talk| {
        talk.hold("view")?;
        talk.answer(&sent)
    });
    let seawall = Seawall::with(&backend, ON);
    let mut first = ask(&seawall, "/");
    backend.wait_held("view", 1);
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/");
    seawall.settle();
    backend.release("view");
    assert_same_bytes(&first.answer().body, &body);
    backend.wait_answered("/");
    assert_same_bytes(&slow.answer().body, &body);
    assert_eq!(backend.exchanges().len(), 1);
}

pub(crate) fn assert_collapsed(answer: &Answer) {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.field("cache-status"), Some("seawall; collapsed"));
}

pub(crate) fn answers_when_released(talk: &mut Talk) -> io::Result<()> {
    talk.hold("view")?;
    let target = talk.target();
    talk.answer(target)
}

pub(crate) fn held() -> Backend {
    Backend::start(answers_when_released)
}

/// Holds each at a gate of its own name.
fn held_one_thread() -> Backend {
    Backend::one_thread(|talk| {
        let target = talk.target();
        talk.hold(&target)?;
        talk.answer(target)
    })
}

pub(crate) fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
