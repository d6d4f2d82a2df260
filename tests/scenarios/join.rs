//! A request that is equal to one that runs is answered by that one, from its first byte.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use crate::harness::{Answer, Backend, Client, Leave, Seawall, Talk, assert_same_bytes, pattern};

const ON: &str = "[[route]]\njoin = true";
const ONE_SLOT: &str = "max_concurrency = 1\n[[route]]\njoin = true";

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
fn only_equal_requests_join() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut clients = Vec::new();
    let mut send = |request: String| {
        let mut client = seawall.client();
        client.send(request);
        seawall.settle();
        clients.push(client);
    };
    let get = |fields: &str| format!("GET /page HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    send(get(""));
    for own in [
        "Cookie: session=1\r\n",
        "Cookie: session=2\r\n",
        "Authorization: Basic YQ==\r\n",
        "Accept-Language: en\r\n",
        "If-None-Match: \"1\"\r\n",
        "Range: bytes=0-1\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "User-Agent: other\r\n",
    ] {
        send(get(own));
    }
    send("GET /page HTTP/1.1\r\nHost: b\r\n\r\n".into());
    send("GET /page?x HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("OPTIONS /page HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("OPTIONS /page HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".into());
    send("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".into());
    let own = clients.len();
    backend.wait_held("view", own);
    let mut joined: Vec<Client> =
        ["", "Traceparent: 1\r\nPriority: u=0\r\n", "Cache-Control: no-cache\r\n"]
            .map(|fields| {
                let mut client = seawall.client();
                client.send(get(fields));
                client
            })
            .into();
    seawall.settle();
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().head.field("cache-status"), None);
    }
    for client in &mut joined {
        assert_collapsed(&client.answer());
    }
    assert_eq!(backend.exchanges().len(), own);
}

#[test]
fn a_head_joins_a_head_and_no_get() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")?;
        if talk.request().head.method() == "GET" { talk.write("hello") } else { Ok(()) }
    });
    let seawall = Seawall::with(&backend, ON);
    let ask = |method: &str| {
        let mut client = seawall.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        seawall.settle();
        client
    };
    let [mut head, mut get, mut joins] = [ask("HEAD"), ask("GET"), ask("HEAD")];
    backend.wait_held("view", 2);
    backend.release("view");
    assert_eq!(head.answer_to_head().head.field("cache-status"), None);
    assert_eq!(get.answer().head.field("cache-status"), None);
    let joined = joins.answer_to_head();
    assert_collapsed(&joined);
    assert_eq!(joined.head.field("content-length"), Some("5"));
    // The connection is still good.
    assert_eq!(joins.get("/").answer().text(), "hello");
}

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
fn whoever_comes_back_to_an_orphan_stops_its_clock_and_whoever_leaves_again_starts_it() {
    let backend = held();
    let seawall =
        Seawall::with(&backend, "orphan = { max_duration = \"700ms\" }\n[[route]]\njoin = true");
    let client = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    let joins = ask(&seawall, "/");
    thread::sleep(std::time::Duration::from_millis(900));
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
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_new_session_goes_to_one_client_alone() {
    let made = AtomicU64::new(0);
    let backend = Backend::start(move |talk| {
        talk.hold("view")?;
        let number = made.fetch_add(1, SeqCst);
        talk.answer_with("200 OK", &format!("Set-Cookie: session={number}\r\n"), "welcome")
    });
    let seawall = Seawall::with(&backend, ON);
    let mut clients: Vec<Client> = (0..4).map(|_| ask(&seawall, "/")).collect();
    backend.wait_held("view", 1);
    seawall.settle();
    assert_eq!(backend.exchanges().len(), 1);
    backend.release("view");
    let mut sessions: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            let answer = client.answer();
            assert_eq!(answer.head.field("cache-status"), None, "it is marked as shared");
            answer.head.field("set-cookie").expect("a session").to_owned()
        })
        .collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 4, "{sessions:?}");
    seawall.wait_for_lines(4, |line| line["ended"] == "delivered" && line["shared"].is_null());
}

#[test]
fn a_new_session_whose_client_has_left_goes_to_the_one_who_waits() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer_with("200 OK", "Set-Cookie: session=1\r\n", "welcome")
    });
    let seawall = Seawall::with(&backend, ON);
    let first = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(first, Leave::Fin);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    backend.release("view");
    let answer = joins.answer();
    assert_collapsed(&answer);
    assert_eq!(answer.head.field("set-cookie"), Some("session=1"));
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn what_is_private_goes_to_one_address_alone() {
    for (fields, shared) in
        [("Cache-Control: private\r\n", false), ("Vary: *\r\n", false), ("", true)]
    {
        let backend = Backend::start(move |talk| {
            talk.hold("view")?;
            talk.answer_with("200 OK", fields, "page")
        });
        let seawall = Seawall::with(&backend, ON);
        let mut first = ask(&seawall, "/");
        backend.wait_held("view", 1);
        let mut near = ask(&seawall, "/");
        let mut far = Client::from_address([127, 0, 0, 2].into(), seawall.address);
        far.get("/");
        seawall.settle();
        backend.release("view");
        first.answer();
        assert_collapsed(&near.answer());
        let collapsed = far.answer().head.field("cache-status").is_some();
        assert_eq!(collapsed, shared, "{fields}");
        assert_eq!(backend.exchanges().len(), if shared { 1 } else { 2 }, "{fields}");
    }
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

fn assert_collapsed(answer: &Answer) {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.field("cache-status"), Some("seawall; collapsed"));
}

fn answers_when_released(talk: &mut Talk) -> io::Result<()> {
    talk.hold("view")?;
    let target = talk.target();
    talk.answer(target)
}

fn held() -> Backend {
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

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
