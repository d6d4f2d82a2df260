//! Promise 5: a slow reader does not hold the backend, and yet what has come is passed on at once.

use crate::harness::{Backend, Client, Framing, Http2, Seawall, assert_same_bytes, pattern};

const SIZE: usize = 20_000_000;

#[test]
fn a_reader_of_twenty_megabytes_frees_the_backend_before_it_has_read_them() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/big" => talk.answer(pattern(SIZE)),
        _ => talk.answer("next"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/big");
    backend.wait_answered("/big");
    assert_eq!(seawall.client().get("/next").answer().text(), "next");

    let head = slow.head();
    assert_eq!(head.field("content-length"), Some("20000000"));
    assert_same_bytes(&slow.rest(Framing::Length(SIZE)).unwrap(), &pattern(SIZE));
    let line = seawall.line_of("/big");
    assert_eq!(
        (&line["ended"], line["delivered_bytes"].as_u64()),
        (&"delivered".into(), Some(SIZE as u64)),
        "{line}"
    );
    backend.assert_unharmed();
}

#[test]
fn many_slow_readers_take_little_memory_beyond_the_bound_for_all() {
    const CLIENTS: usize = 64;
    let backend = Backend::start(|talk| {
        talk.answer(vec![b'x'; SIZE / 4])?;
        talk.hold("end")
    });
    let bounds = format!("max_concurrency = {CLIENTS}\n[spool]\ntotal_memory = \"4MiB\"");
    let seawall = Seawall::with(&backend, &bounds);
    let before = seawall.memory("VmRSS");
    let clients = (0..CLIENTS).map(|_| {
        let mut slow = Client::with_small_window(seawall.address);
        slow.get("/big");
        slow
    });
    let clients: Vec<Client> = clients.collect();
    backend.wait_held("end", CLIENTS);
    // KiB, at the most of all the time: what each may have on its way to the disk and to its client, and the task
    // that serves it.
    let each = seawall.memory("VmHWM").saturating_sub(before + 4096) / CLIENTS as u64;
    assert!(each < 500, "{each} KiB");
    drop(clients);
    backend.release("end");
}

#[test]
fn answers_without_a_body_are_not_counted_with_a_later_one() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/big" {
            talk.answer(pattern(400_000))?;
            return talk.hold("end");
        }
        let long = "long".repeat(2000);
        talk.write(format!("HTTP/1.1 204 No Content\r\nX-Long: {long}\r\n\r\n"))
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"");
    let mut client = seawall.client();
    for _ in 0..1000 {
        assert_eq!(client.get("/none").answer().status(), 204);
    }
    // Nothing is taken beyond a byte.
    let mut slow = Http2::with_window(seawall.address, 1);
    let _unread = slow.get("/big");
    backend.wait_held("end", 1);
    assert_eq!(backend.connections(), 1);
    // Eight megabytes of heads have come by then.
    let held = seawall.metrics().value("seawall_spool_bytes", &[]);
    assert!(held < 2e6, "{held}");
    backend.release("end");
}

#[test]
fn chunks_and_close_delimited_answers_wait_in_the_spool_too() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/chunks" {
            talk.chunked_head("")?;
            pattern(SIZE).chunks(123_457).try_for_each(|piece| talk.chunk(piece))?;
            return talk.last_chunk();
        }
        talk.write("HTTP/1.0 200 OK\r\n\r\n")?;
        talk.close();
        talk.write(pattern(SIZE))
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    for target in ["/chunks", "/to-the-end"] {
        let mut slow = Client::with_small_window(seawall.address);
        slow.get(target);
        backend.wait_answered(target);
        assert_same_bytes(&slow.answer().body, &pattern(SIZE));
    }
    backend.assert_unharmed();
}

#[test]
fn a_reader_that_stops_and_goes_gets_every_byte_in_order() {
    let backend = Backend::start(|talk| {
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))?;
        let body = pattern(SIZE);
        for (number, part) in body.chunks(SIZE / 4).enumerate() {
            talk.hold(&number.to_string())?;
            talk.write(part)?;
        }
        Ok(())
    });
    let seawall = Seawall::before(&backend);
    let mut client = Client::with_small_window(seawall.address);
    client.get("/parts");
    let mut got = Vec::new();
    // Behind by more than memory holds, then level with the backend, then behind again.
    backend.release("0");
    backend.release("1");
    backend.wait_held("2", 1);
    client.head();
    got.extend(client.read(SIZE / 2));
    backend.release("2");
    got.extend(client.read(SIZE / 4));
    backend.wait_held("3", 1);
    backend.release("3");
    backend.wait_answered("/parts");
    got.extend(client.read(SIZE / 4));
    assert_same_bytes(&got, &pattern(SIZE));
    backend.assert_unharmed();
}

#[test]
fn every_event_of_a_stream_is_passed_on_before_the_next_is_sent() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("Content-Type: text/event-stream\r\n")?;
        for number in 0..5 {
            talk.hold(&format!("event {number}"))?;
            talk.chunk(format!("data: {number}\n\n"))?;
        }
        talk.hold("end")?;
        talk.last_chunk()
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    // The head alone is passed on too.
    assert_eq!(client.get("/events").head().status(), 200);
    for number in 0..5 {
        backend.release(&format!("event {number}"));
        assert_eq!(client.chunk(), format!("data: {number}\n\n").as_bytes());
    }
    backend.release("end");
    assert!(client.chunk().is_empty());
    assert_eq!(seawall.line_of("/events")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn the_first_byte_of_an_answer_with_a_length_is_passed_on_at_once() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")?;
        talk.hold("second")?;
        talk.write("b")?;
        talk.hold("third")?;
        talk.write("c")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/").head();
    assert_eq!(client.read(1), b"a");
    backend.release("second");
    assert_eq!(client.read(1), b"b");
    backend.release("third");
    assert_eq!(client.read(1), b"c");
}

#[test]
fn a_close_delimited_stream_is_passed_on_at_once_also_to_an_http_1_0_client() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.0 200 OK\r\n\r\nfirst")?;
        talk.close();
        talk.hold("rest")?;
        talk.write("rest")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").head();
    assert_eq!(client.read(5), b"first");
    backend.release("rest");
    assert_eq!(client.wait_closed(), b"rest");
}
