//! Promise 9: a half-closed client gets its whole answer (RFC 9112 section 9.6), and a departed one
//! is still noticed.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::harness::{Backend, Client, Leave, Seawall, pattern};

#[test]
fn a_client_that_says_fin_after_its_request_gets_its_whole_answer() {
    let backend = echo_when_released();
    let seawall = Seawall::before(&backend);
    let mut getting = seawall.client();
    getting.get("/get").half_close();
    let mut posting = seawall.client();
    posting.post("/post", &pattern(400_000)).half_close();
    backend.wait_held("view", 2);
    seawall.settle();
    backend.release("view");
    let answer = getting.answer();
    assert_eq!(answer.status(), 200);
    // An interim response is how the wire is asked; any other than 100 some clients take for the
    // final one.
    assert!(answer.interim.iter().all(|&status| status == 100), "{:?}", answer.interim);
    assert_eq!(posting.answer().body, pattern(400_000));
    for path in ["/get", "/post"] {
        let line = seawall.line_of(path);
        assert_eq!((&line["ended"], line["left"].as_str()), (&"delivered".into(), None), "{line}");
    }
    backend.assert_unharmed();
}

#[test]
fn who_has_said_fin_before_joins_an_event_stream_that_runs() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/events" => {
            talk.chunked_head("Content-Type: text/event-stream\r\nCache-Control: public\r\n")?;
            talk.chunk("data: 1\n\n")?;
            talk.hold("events")?;
            talk.last_chunk()
        }
        target => {
            talk.hold(target)?;
            talk.answer("page")
        }
    });
    let seawall = Seawall::with(&backend, "[[route]]\njoin = true");
    let mut first = seawall.client();
    first.get("/events").head();
    let mut client = seawall.client();
    client.get("/page").get("/events").half_close();
    backend.wait_held("/page", 1);
    seawall.settle();
    backend.release("/page");
    assert_eq!(client.answer().text(), "page");
    client.head();
    assert_eq!(client.chunk(), b"data: 1\n\n");
    backend.release("events");
    assert_eq!(client.chunk(), b"");
    assert_eq!(backend.targets().iter().filter(|target| *target == "/events").count(), 1);
}

#[test]
fn an_http_1_0_client_that_says_fin_gets_its_whole_answer_and_no_interim_one() {
    let backend = echo_when_released();
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("POST /old HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").half_close();
    backend.wait_held("view", 1);
    seawall.settle();
    backend.release("view");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.interim), ("hello".into(), vec![]));
    assert_eq!(seawall.line_of("/old")["ended"], "delivered");
}

#[test]
fn a_half_closed_client_keeps_its_place_in_the_queue() {
    let backend = echo_when_released();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("view", 1);
    let mut queued = seawall.client();
    queued.post("/queued", b"still here").half_close();
    seawall.settle();
    backend.release("view");
    running.answer();
    assert_eq!(queued.answer().text(), "still here");
}

#[test]
fn a_client_that_says_fin_in_mid_response_gets_the_rest() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("one ")?;
        talk.hold("rest")?;
        talk.chunk(pattern(2_000_000))?;
        talk.last_chunk()
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/").head();
    assert_eq!(client.chunk(), b"one ");
    client.half_close();
    seawall.settle();
    backend.release("rest");
    let mut rest = Vec::new();
    loop {
        match client.chunk() {
            chunk if chunk.is_empty() => break,
            chunk => rest.extend(chunk),
        }
    }
    assert_eq!(rest, pattern(2_000_000));
    assert_eq!(seawall.line_of("/")["ended"], "delivered");
}

#[test]
fn a_half_closed_client_is_let_go_in_order_after_its_answer() {
    let backend = Backend::start(|talk| talk.answer("all"));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/").half_close();
    assert_eq!(client.answer().text(), "all");
    assert!(client.wait_closed().is_empty());
}

#[test]
fn two_requests_and_a_fin_get_two_answers() {
    let backend = echo_when_released();
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.post("/one", b"one").post("/two", b"two").half_close();
    backend.wait_held("view", 1);
    seawall.settle();
    backend.release("view");
    assert_eq!(client.answer().text(), "one");
    assert_eq!(client.answer().text(), "two");
}

#[test]
fn a_client_that_closed_counts_as_gone_while_its_exchange_still_runs() {
    for leave in Leave::BOTH {
        let backend = echo_when_released();
        let seawall = Seawall::with(&backend, "[client]\norphans = 1");
        let mut client = seawall.client();
        client.get("/orphan");
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        // The bound for orphans tells that this one is counted already.
        assert_eq!(seawall.client().get("/next").answer().status(), 429, "{leave:?}");
        backend.release("view");
        seawall.line_of("/orphan");
        assert_eq!(seawall.client().get("/after").answer().status(), 200, "{leave:?}");
        backend.assert_unharmed();
    }
}

#[test]
fn a_client_that_closed_counts_as_gone_where_no_descriptor_is_left_to_watch_it() {
    let backend = echo_when_released();
    let seawall = Seawall::with(&backend, "[client]\norphans = 1");
    let mut client = seawall.client();
    client.get("/orphan");
    backend.wait_held("view", 1);
    // As where thousands leave at once.
    seawall.limit_descriptors(Some(1));
    seawall.leave(client, Leave::Fin);
    seawall.limit_descriptors(None);
    assert_eq!(seawall.client().get("/next").answer().status(), 429);
    backend.release("view");
    seawall.line_of("/orphan");
    backend.assert_unharmed();
}

#[test]
fn a_half_closed_client_does_not_count_as_gone() {
    let backend = echo_when_released();
    let seawall = Seawall::with(&backend, "[client]\norphans = 1");
    let mut half_closed = seawall.client();
    half_closed.get("/half").half_close();
    backend.wait_held("view", 1);
    seawall.settle();
    let mut other = seawall.client();
    other.get("/other");
    backend.wait_held("view", 2);
    backend.release("view");
    assert_eq!((half_closed.answer().status(), other.answer().status()), (200, 200));
}

#[test]
fn a_half_closed_client_that_then_goes_is_noticed() {
    for leave in Leave::BOTH {
        let backend = echo_when_released();
        let seawall = Seawall::with(&backend, "max_concurrency = 1");
        let mut running = seawall.client();
        running.get("/running");
        backend.wait_held("view", 1);
        let mut client = seawall.client();
        client.get("/quits").half_close();
        seawall.settle();
        client.leave(leave);
        if leave == Leave::Reset {
            // A kernel says nothing more on a later close; a RST it does.
            assert_eq!(seawall.line_of("/quits")["ended"], "abandoned");
        }
        backend.release("view");
        running.answer();
        seawall.line_of("/quits");
        backend.assert_unharmed();
    }
}

#[test]
fn one_that_leaves_behind_a_relay_that_passes_on_its_fin_leaves_the_queue() {
    let backend = echo_when_released();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("view", 1);
    // As the published port of a container is one: it closes when it can write nothing any more.
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = relay.local_addr().unwrap();
    let to = seawall.address;
    let relaying = thread::spawn(move || {
        let (client, seawall) = (relay.accept().unwrap().0, TcpStream::connect(to).unwrap());
        let back = (seawall.try_clone().unwrap(), client.try_clone().unwrap());
        let returning = thread::spawn(move || copy(&back.0, &back.1));
        copy(&client, &seawall);
        seawall.shutdown(Shutdown::Write).unwrap();
        returning.join().unwrap();
    });
    let mut client = Client::connect(address);
    client.get("/queued");
    seawall.settle();
    client.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/queued")["ended"], "abandoned");
    backend.release("view");
    assert_eq!(running.answer().text(), "");
    relaying.join().unwrap();
    assert_eq!(backend.targets(), ["/running"]);
}

/// Until nothing comes, or nobody takes it any more.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
}

fn echo_when_released() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        let body = talk.request().body;
        talk.answer(body)
    })
}
