//! HTTP/2 by prior knowledge, on the port that serves HTTP/1.1 as well.

use std::io::Write as _;

use http::Request;

use crate::harness::http2::{DATA, Frames, Http2Stream, PREFACE, get, uri};
use crate::harness::{Backend, Http2, Seawall, assert_same_bytes, pattern};

#[test]
fn one_port_serves_both_versions() {
    let backend = Backend::start(|talk| {
        let target = talk.target();
        talk.answer(target)
    });
    let seawall = Seawall::before(&backend);
    let mut new = Http2::connect(seawall.address);
    let mut old = seawall.client();
    for _ in 0..3 {
        let answer = new.get("/new?x=1").answer();
        assert_eq!((answer.status(), answer.text()), (200, "/new?x=1".into()));
        assert_eq!(old.get("/old").answer().text(), "/old");
    }
    let line = seawall.line_of("/new?x=1");
    assert_eq!((&line["ended"], &line["left"]), (&"delivered".into(), &serde_json::Value::Null));
    assert_eq!(line["client"], new.address().to_string());
    assert_eq!(line["delivered_bytes"], 8);
    backend.assert_unharmed();
}

#[test]
fn the_preface_may_come_in_pieces_and_so_may_a_method_that_begins_like_it() {
    let backend = Backend::start(|talk| {
        let method = talk.request().head.start;
        talk.answer(method)
    });
    let seawall = Seawall::before(&backend);
    let mut frames = Frames::greeting(seawall.address, |socket| {
        for byte in PREFACE {
            socket.write_all(&[*byte]).unwrap();
            seawall.settle();
        }
    });
    frames.send(&get(1, "/pieces")).unwrap();
    let answer = frames.wait(DATA).expect("an answer");
    assert!(String::from_utf8_lossy(&answer.payload).starts_with("GET /pieces"));

    let mut client = seawall.client();
    for piece in ["P", "R", "OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        client.send(piece);
        seawall.settle();
    }
    assert_eq!(client.answer().text(), "PROPFIND / HTTP/1.1");
}

#[test]
fn the_backend_gets_a_plain_request_of_http_1_1() {
    let backend = Backend::start(|talk| {
        talk.answer_with("200 OK", "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n", "page")
    });
    let seawall = Seawall::before(&backend);
    let request = Request::get(uri("/page"))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let answer = Http2::connect(seawall.address).request(request, true).answer();
    assert_eq!(answer.field("content-length"), Some("4"));
    assert_eq!((answer.field("connection"), answer.field("keep-alive")), (None, None));
    assert!(answer.field("date").is_some());
    let head = backend.wait_answered("/page").head;
    assert_eq!(head.start, "GET /page HTTP/1.1");
    assert_eq!(head.field("host"), Some("app.test"));
    assert_eq!(head.field("cookie"), Some("a=1; b=2"));
    assert!(head.field("via").unwrap().starts_with("2.0 seawall-"));
    assert_eq!(head.field("te"), Some("trailers"));
}

#[test]
fn a_hundred_requests_of_one_connection_run_at_once() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        let target = talk.target();
        talk.answer(target)
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 100");
    let mut client = Http2::connect(seawall.address);
    let streams: Vec<_> = (0..100).map(|number| client.get(&format!("/{number}"))).collect();
    backend.wait_held("view", 100);
    backend.release("view");
    for (number, stream) in streams.into_iter().enumerate() {
        assert_eq!(stream.answer().text(), format!("/{number}"));
    }
    seawall.wait_for_lines(100, |line| line["ended"] == "delivered");
    backend.assert_unharmed();
}

#[test]
fn big_bodies_pass_whole_in_both_directions_at_once() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let bodies: Vec<_> = (1..=4).map(|number| pattern(number * 1_700_001)).collect();
    let streams: Vec<Http2Stream> = bodies.iter().map(|body| client.post("/echo", body)).collect();
    for (stream, body) in streams.into_iter().zip(&bodies) {
        assert_same_bytes(&stream.answer().body, body);
    }
    for exchange in backend.exchanges() {
        let length = exchange.body.len().to_string();
        assert_eq!(exchange.head.field("content-length"), Some(&*length));
    }
    backend.assert_unharmed();
}

#[test]
fn head_and_empty_answers_have_no_body() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/none" => talk.write("HTTP/1.1 204 No Content\r\n\r\n"),
        "/unchanged" => talk.write("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
        "/empty" => talk.answer(""),
        _ => talk.write("HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n"),
    });
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    for (target, status) in [("/none", 204), ("/unchanged", 304), ("/empty", 200)] {
        let answer = client.get(target).answer();
        assert_eq!((answer.status(), answer.text()), (status, String::new()), "{target}");
    }
    let head = Request::head(uri("/head")).body(()).unwrap();
    let answer = client.request(head, true).answer();
    assert_eq!((answer.field("content-length"), answer.text()), (Some("70"), String::new()));
    seawall.wait_for_lines(4, |line| line["ended"] == "delivered");
}

#[test]
fn trailers_of_an_answer_arrive() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("Trailer: x-sum\r\n")?;
        talk.chunk("all of it")?;
        talk.write("0\r\nX-Sum: 7\r\n\r\n")
    });
    let seawall = Seawall::before(&backend);
    let request = Request::get(uri("/sum")).header("te", "trailers").body(()).unwrap();
    let answer = Http2::connect(seawall.address).request(request, true).answer();
    assert_eq!(answer.text(), "all of it");
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "7");
    assert_eq!(seawall.line_of("/sum")["ended"], "delivered");
}

#[test]
fn what_has_come_is_passed_on_at_once() {
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
    let mut client = Http2::connect(seawall.address);
    let mut stream = client.get("/events");
    let (head, mut body) = stream.head();
    assert_eq!(head.status, 200);
    for number in 0..5 {
        backend.release(&format!("event {number}"));
        let event = stream.piece(&mut body).expect("an event");
        assert_eq!(event, format!("data: {number}\n\n").as_bytes());
    }
    backend.release("end");
    assert_eq!(stream.piece(&mut body), None);
    assert_eq!(seawall.line_of("/events")["ended"], "delivered");
}

#[test]
fn a_client_that_waits_to_be_told_sends_its_body_then() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::with(&backend, "[client]\nmax_body = 9");
    let mut client = Http2::connect(seawall.address);
    let expects = |length: &str| {
        let request = Request::post(uri("/upload")).header("expect", "100-continue");
        request.header("content-length", length).body(()).unwrap()
    };
    let mut stream = client.request(expects("4"), false);
    assert_eq!(stream.interim().status(), 100);
    stream.send(b"body", true);
    assert_eq!(stream.answer().text(), "body");
    // Nobody is told to send what is refused.
    let mut stream = client.request(expects("10"), false);
    assert_eq!(stream.head().0.status, 413);
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn hints_of_the_backend_come_before_the_answer() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let mut stream = client.get("/page");
    let hints = stream.interim();
    assert_eq!(hints.status(), 103);
    assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
    backend.release("view");
    assert_eq!(stream.answer().text(), "served");
}

#[test]
fn an_answer_that_the_backend_breaks_off_is_reset_behind_all_that_came() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")?;
        talk.hold("break")?;
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let stream = client.get("/broken");
    backend.wait_held("break", 1);
    backend.release("break");
    let broken = stream.outcome().expect_err("is not whole");
    assert_eq!(broken.error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(broken.got.expect("a head").text(), "half of it");
    assert_eq!(seawall.line_of("/broken")["ended"], "failed");
    // The connection goes on.
    drop(client.get("/broken"));
}

#[test]
fn requests_that_http_1_1_would_refuse_are_refused() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\nmax_body = 10\nmax_head = \"2KiB\"");
    let mut client = Http2::connect(seawall.address);
    let odd = || Request::get(uri("/refused"));
    let long = "x".repeat(2100);
    for (request, status) in [
        (odd().header("host", "other.test"), 400),
        (odd().header("x-odd", " padded"), 400),
        (odd().header("expect", "the unexpected"), 417),
        (odd().header("x-long", &long), 431),
        (Request::connect("app.test:443"), 501),
    ] {
        let stream = client.request(request.body(()).unwrap(), true);
        assert_eq!(stream.answer().status(), status);
    }
    assert_eq!(client.get("/served").answer().text(), "served");
    assert_eq!(backend.exchanges().len(), 1);
    seawall.wait_for_lines(5, |line| line["ended"] == "refused");
}

#[test]
fn a_body_too_long_is_answered_and_then_not_taken() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\nmax_body = 10");
    let mut client = Http2::connect(seawall.address);
    let request = Request::post(uri("/long")).body(()).unwrap();
    let mut stream = client.request(request, false);
    stream.send(&[7; 11], false);
    let (head, mut body) = stream.head();
    assert_eq!(head.status, 413);
    while stream.piece(&mut body).is_some() {}
    assert_eq!(stream.wait_reset(), h2::Reason::NO_ERROR);
    assert_eq!(client.get("/next").answer().text(), "served");
    assert_eq!(seawall.line_of("/long")["ended"], "refused");
}

#[test]
fn a_length_that_comes_twice_is_passed_on_once() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let request = Request::post(uri("/")).header("content-length", "0");
    let request = request.header("content-length", "0").body(()).unwrap();
    let mut client = Http2::connect(seawall.address);
    assert_eq!(client.request(request, true).answer().text(), "served");
    assert_eq!(backend.wait_answered("/").head.all("content-length"), ["0"]);
}

#[test]
fn fields_are_counted_as_the_configuration_says() {
    let backend = Backend::start(|talk| talk.answer("served"));
    for (max, few, many) in [(10, 8, 11), (150, 149, 151)] {
        let seawall = Seawall::with(&backend, &format!("[client]\nmax_fields = {max}"));
        let mut client = Http2::connect(seawall.address);
        for (count, status) in [(few, 200), (many, 431)] {
            let mut request = Request::get(uri("/"));
            for number in 0..count {
                request = request.header(format!("x-{number}"), "1");
            }
            let request = request.body(()).unwrap();
            assert_eq!(client.request(request, true).answer().status(), status, "{count}");
        }
    }
}
