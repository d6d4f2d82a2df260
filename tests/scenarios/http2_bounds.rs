//! A connection of HTTP/2 ends in order: idle, vanished, or drained.

use std::io::Read as _;

use crate::harness::http2::{Frames, GOAWAY, PING, REFUSED, RST_STREAM, frame, get};
use crate::harness::{Backend, Http2, Seawall, until};

#[test]
fn an_idle_connection_is_told_before_it_is_closed() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\nidle = \"200ms\"");
    let mut frames = Frames::connect(seawall.address);
    frames.send(&get(1, "/")).unwrap();
    let farewell = frames.wait(GOAWAY).expect("a GOAWAY");
    assert_eq!(farewell.payload[4..8], [0; 4]);
    let ping = frames.wait(PING).expect("a PING");
    frames.send(&frame(PING, 1, 0, &ping.payload)).unwrap();
    let last = frames.wait(GOAWAY).expect("the last stream's number");
    assert_eq!(last.payload[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(frames.wait(GOAWAY).is_none());
}

#[test]
fn a_connection_with_a_slow_answer_is_not_idle() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "[client]\nidle = \"50ms\"\nping = \"50ms\"");
    let mut client = Http2::connect(seawall.address);
    let stream = client.get("/slow");
    backend.wait_held("view", 1);
    // Several times as long as either bound: another connection is let go meanwhile.
    for _ in 0..5 {
        Http2::connect(seawall.address).wait_closed();
    }
    backend.release("view");
    assert_eq!(stream.answer().text(), "served");
}

#[test]
fn a_client_that_has_vanished_is_noticed_and_its_exchange_goes_on() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "[client]\nping = \"100ms\"");
    // It never answers, as one whose network is gone.
    let mut frames = Frames::connect(seawall.address);
    frames.send(&get(1, "/vanished")).unwrap();
    backend.wait_held("view", 1);
    assert!(frames.wait(PING).is_some());
    let mut rest = Vec::new();
    frames.socket().read_to_end(&mut rest).unwrap();
    backend.release("view");
    let line = seawall.line_of("/vanished");
    assert_eq!(
        (&line["ended"], &line["left"], &line["reason"]),
        (&"discarded".into(), &"waiting".into(), &"client did not answer a ping".into())
    );
    backend.assert_unharmed();
}

#[test]
fn half_a_preface_is_not_waited_for() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\nhead_timeout = \"200ms\"");
    let mut client = seawall.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM");
    client.wait_closed();
    let mut client = seawall.client();
    client.send("PR");
    assert!(client.wait_closed().starts_with(b"HTTP/1.1 408"));
}

#[test]
fn a_broken_preface_ends_the_connection() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for broken in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"] {
        let mut client = seawall.client();
        let heard = client.send(broken).wait_closed();
        assert!(!heard.starts_with(b"HTTP"), "{broken:?}");
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_drain_finishes_the_streams_that_run_and_takes_no_more() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        let target = talk.target();
        talk.answer(target)
    });
    let mut seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let streams = ["/one", "/two"].map(|target| client.get(target));
    backend.wait_held("view", 2);
    let mut idle = Http2::connect(seawall.address);
    idle.ping();
    seawall.signal("TERM");
    seawall.wait_not_listening();
    idle.wait_closed();
    // The engine has been told by now, or will be soon.
    let late = http::Request::get(crate::harness::http2::uri("/late"));
    let late = late.body(()).unwrap();
    until("no stream is taken", || client.try_request(late.clone(), true).err());
    assert!(seawall.is_running());
    backend.release("view");
    for (stream, target) in streams.into_iter().zip(["/one", "/two"]) {
        assert_eq!(stream.answer().text(), target);
    }
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(seawall.line_of("/one")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn a_drain_does_not_wait_for_those_who_say_nothing() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut seawall = Seawall::before(&backend);
    let mut halting = seawall.client();
    halting.send("PRI * HTTP/2.0\r\n");
    let mut silent = Frames::connect(seawall.address);
    silent.send(&get(1, "/")).unwrap();
    seawall.line_of("/");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert!(silent.wait(GOAWAY).is_some());
}

#[test]
fn a_drain_does_not_wait_for_those_who_go_on_asking() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/held" {
            talk.hold("view")?;
        }
        talk.answer("served")
    });
    let mut seawall = Seawall::before(&backend);
    // It never acknowledges a farewell.
    let mut deaf = Frames::connect(seawall.address);
    let held = deaf.next_stream();
    deaf.send(&get(held, "/held")).unwrap();
    backend.wait_held("view", 1);
    seawall.signal("TERM");
    assert!(deaf.wait(GOAWAY).is_some());
    let refused = loop {
        let stream = deaf.next_stream();
        deaf.send(&get(stream, "/more")).unwrap();
        let answer = until("it is answered", || {
            let frame = deaf.read().expect("its first stream still runs");
            (frame.stream == stream).then_some(frame)
        });
        if answer.kind == RST_STREAM {
            break answer;
        }
    };
    assert_eq!(refused.payload, REFUSED);
    backend.release("view");
    until("the connection is closed", || {
        let stream = deaf.next_stream();
        deaf.send(&get(stream, "/more")).err()
    });
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(seawall.line_of("/held")["ended"], "delivered");
    backend.assert_unharmed();
}
