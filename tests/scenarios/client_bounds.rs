//! Bounds for clients: each answers the client, and none touches the backend.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Seawall, pattern};

#[test]
fn a_head_that_does_not_come_to_an_end_is_a_408() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nhead_timeout = \"300ms\"");
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow");
    assert_eq!(client.answer().status(), 408);
    assert!(client.wait_closed().is_empty());
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_bounded_as_a_whole() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nhead_timeout = \"300ms\"");
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\n");
    let start = Instant::now();
    while start.elapsed().as_secs() < 5 && client.hears_nothing() {
        client.try_send("X: y\r\n");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(String::from_utf8_lossy(&client.wait_closed()).starts_with("HTTP/1.1 408"));
    assert!(start.elapsed().as_secs() < 5, "each byte has bought more time");
}

#[test]
fn a_connection_without_a_request_is_closed_in_the_end() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nidle = \"300ms\"");
    let mut kept = seawall.client();
    kept.get("/").answer();
    assert!(kept.wait_closed().is_empty());
    backend.assert_unharmed();
}

#[test]
fn a_connection_that_never_says_a_word_is_closed_in_the_end() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nidle = \"300ms\"\nhead_timeout = \"300ms\"");
    seawall.client().wait_closed();
    assert_eq!(backend.connections(), 0);
}

#[test]
fn bounds_hold_behind_an_answer_that_took_longer_than_they_are() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/slow" {
            thread::sleep(Duration::from_millis(700));
        }
        talk.answer("done")
    });
    for kind in ["per-core", "work-stealing"] {
        let bounds = "[client]\nidle = \"500ms\"\nhead_timeout = \"300ms\"";
        let seawall = Seawall::with(&backend, &format!("{bounds}\n[runtime]\nkind = \"{kind}\""));
        let mut clients = [seawall.client(), seawall.client()];
        for client in &mut clients {
            client.get("/").answer();
            client.get("/slow");
        }
        // The timer that was set before it goes off meanwhile, for nobody.
        for client in &mut clients {
            assert_eq!(client.answer().text(), "done");
        }
        let [mut idle, mut half] = clients;
        half.send("GET /half HT");
        let start = Instant::now();
        assert!(idle.wait_closed().is_empty(), "{kind}");
        assert_eq!(half.answer().status(), 408, "{kind}");
        assert!(start.elapsed().as_secs() < 5, "{kind}: {:?}", start.elapsed());
    }
    backend.assert_unharmed();
}

#[test]
fn an_empty_line_behind_a_request_begins_no_head() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("done")
    });
    let seawall = Seawall::with(&backend, "[client]\nidle = \"400ms\"\nhead_timeout = \"100ms\"");
    for is_early in [true, false] {
        let mut client = seawall.client();
        client.post("/", b"sent");
        backend.wait_held("view", 1);
        if is_early {
            // While the answer is awaited.
            client.send("\r\n");
            seawall.settle();
        }
        backend.release_one("view");
        assert_eq!(client.answer().text(), "done");
        if !is_early {
            client.send("\r\n");
        }
        // It is closed as any that is idle.
        assert_eq!(client.wait_closed(), b"");
    }
    backend.assert_unharmed();
}

#[test]
fn a_head_that_begins_with_the_request_before_has_no_more_time_than_others() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nhead_timeout = \"1500ms\"\nidle = \"60s\"");
    let mut client = seawall.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /half HT");
    client.answer();
    // Parked meanwhile, it is still a head that has begun.
    assert_eq!(client.answer().status(), 408);
}

#[test]
fn an_upload_that_stalls_is_a_408_and_the_backend_never_hears_of_it() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nbody_stall = \"300ms\"");
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = seawall.client();
        client.send(format!("POST /stalls HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhel"));
        assert_eq!(client.answer().status(), 408, "{head}");
        assert!(client.wait_closed().is_empty());
    }
    assert_eq!(backend.connections(), 0);
    for line in seawall.wait_for_lines(2, |line| line["path"] == "/stalls") {
        assert_eq!((&line["ended"], &line["status"]), (&"refused".into(), &408.into()), "{line}");
    }
}

#[test]
fn an_upload_that_is_slow_and_steady_may_take_longer() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nbody_stall = \"1s\"\nbody_pace = \"1B\"");
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n");
    for _ in 0..30 {
        client.send("x");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.answer().text(), "served");
}

#[test]
fn an_upload_of_a_byte_now_and_then_is_a_408_in_the_end() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nbody_stall = \"400ms\"\nbody_pace = \"1KiB\"");
    let mut client = seawall.client();
    client.send("POST /drips HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n");
    // Each byte comes well within client.body_stall.
    let start = Instant::now();
    while start.elapsed().as_secs() < 5 && client.hears_nothing() {
        client.try_send("x");
        thread::sleep(Duration::from_millis(20));
    }
    let answer = client.answer();
    assert_eq!((answer.status(), answer.head.says_close()), (408, true));
    assert_eq!(seawall.line_of("/drips")["reason"], "Request body too slow");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_has_waited_long_enough_gets_a_504_and_its_exchange_goes_on() {
    let backend = held();
    let seawall = Seawall::with(&backend, "[client]\nwait = \"300ms\"");
    let mut client = ask(&seawall, "/slow");
    let answer = client.answer();
    assert_eq!(answer.status(), 504);
    assert!(
        answer.head.field("proxy-status").unwrap().starts_with("seawall; error="),
        "{answer:?}"
    );
    backend.wait_held("view", 1);
    backend.release("view");
    let line = seawall.line_of("/slow");
    assert_eq!(
        (&line["ended"], &line["status"], &line["backend_status"]),
        (&"discarded".into(), &504.into(), &200.into())
    );
    // The client is welcome to ask on over the same connection.
    if !answer.head.says_close() {
        assert_eq!(client.get("/again").answer().text(), "served");
    }
    backend.assert_unharmed();
}

#[test]
fn who_has_waited_long_enough_in_the_queue_is_sent_still_unless_it_would_be_cut() {
    let backend = held();
    let cancel = "[[route]]\npath = \"/cancelled\"\non_disconnect = \"cancel\"";
    let settings = format!("max_concurrency = 1\n[client]\nwait = \"300ms\"\n{cancel}");
    let seawall = Seawall::with(&backend, &settings);
    let mut first = ask(&seawall, "/first");
    backend.wait_held("view", 1);
    let [mut cancelled, mut goes_on] =
        ["/cancelled", "/goes-on"].map(|target| ask(&seawall, target));
    for client in [&mut first, &mut cancelled, &mut goes_on] {
        assert_eq!(client.answer().status(), 504);
    }
    backend.release("view");
    assert_eq!(seawall.line_of("/cancelled")["ended"], "abandoned");
    assert_eq!(seawall.line_of("/goes-on")["backend_status"], 200);
    assert_eq!(backend.targets(), ["/first", "/goes-on"]);
    backend.assert_unharmed();
}

#[test]
fn the_wait_is_for_the_head_and_not_for_the_whole_answer() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/other" {
            talk.hold("other")?;
            return talk.answer("too late");
        }
        talk.chunked_head("")?;
        talk.hold("rest")?;
        talk.chunk("served")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, "[client]\nwait = \"300ms\"");
    let mut client = ask(&seawall, "/begun");
    client.head();
    // Another's 504 tells that the bound has passed.
    assert_eq!(ask(&seawall, "/other").answer().status(), 504);
    backend.release("rest");
    backend.release("other");
    assert_eq!(client.chunk(), b"served");
}

#[test]
fn a_head_that_is_too_large_is_a_431() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nmax_head = \"16KiB\"");
    for fields in [format!("X-Big: {}\r\n", "x".repeat(40_000)), "X-Small: x\r\n".repeat(4000)] {
        let mut client = seawall.client();
        client.try_send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.answer().status(), 431);
    }
    assert_eq!(backend.connections(), 0);
    // And one below the bound is none.
    let mut client = seawall.client();
    assert_eq!(
        client.get_with("/", &format!("X-Big: {}\r\n", "x".repeat(12_000))).answer().status(),
        200
    );
    assert_eq!(backend.wait_answered("/").head.field("x-big").map(str::len), Some(12_000));
}

#[test]
fn more_fields_than_there_may_be_are_a_431() {
    let backend = served();
    for (settings, most) in
        [("", 100), ("[client]\nmax_fields = 10", 10), ("[client]\nmax_fields = 200", 200)]
    {
        let seawall = Seawall::with(&backend, settings);
        let ask = |fields: usize| {
            let mut client = seawall.client();
            client.try_send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(fields - 1)
            ));
            client.answer().status()
        };
        assert_eq!((ask(most), ask(most + 1)), (200, 431), "{settings}");
        let line = seawall.wait_for_log(|line| line["status"] == 431);
        assert_eq!(line["reason"], "Request head too long");
    }
}

#[test]
fn a_request_line_that_does_not_end_is_a_414() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nmax_head = \"16KiB\"");
    let long = "x".repeat(40_000);
    for shape in [
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /{long}"),
        format!("\r\n{long} / HTTP/1.1\r\n"),
    ] {
        let mut client = seawall.client();
        let short = &shape[..20];
        // In two pieces, so that the first is not the whole of it.
        client.try_send(short);
        seawall.settle();
        let status = client.try_send(&shape[20..]).answer().status();
        assert_eq!(status, if shape.starts_with('\r') { 431 } else { 414 }, "{short}");
    }
    // What is long behind the line is not.
    let mut client = seawall.client();
    client.try_send(format!("GET / HTTP/1.1\r\nX: {long}"));
    assert_eq!(client.answer().status(), 431);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_body_that_is_too_large_is_a_413() {
    let backend = served();
    let seawall = Seawall::with(
        &backend,
        "[[route]]\npath = \"/\"\nmax_body = \"10KiB\"\n[[route]]\npath = \"/large\"\nmax_body = \"1MiB\"",
    );
    let body = pattern(20_000);
    // Told by its length, it is refused before it is sent.
    let mut announced = seawall.client();
    announced.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    assert_eq!(announced.answer().status(), 413);
    let mut sent = seawall.client();
    sent.try_send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n").try_send(&body);
    assert_eq!(sent.answer().status(), 413);
    let mut chunked = seawall.client();
    chunked
        .try_send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n")
        .try_send(&body);
    assert_eq!(chunked.answer().status(), 413);
    assert_eq!(backend.connections(), 0);
    assert_eq!(seawall.client().post("/large", &body).answer().text(), "served");
    assert_eq!(seawall.client().post("/a", &body[..10_240]).answer().text(), "served");
}

fn served() -> Backend {
    Backend::start(|talk| talk.answer("served"))
}

fn held() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    })
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
