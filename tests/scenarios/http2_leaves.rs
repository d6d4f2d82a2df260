//! A stream that is reset is a client that leaves: it loses its own answer, and nothing else happens,
//! neither to the backend nor to its siblings.

use std::time::Duration;

use h2::Reason;
use http::Request;
use serde_json::Value;
use socket2::SockRef;

use crate::harness::http2::{Frames, SETTINGS, WINDOW_UPDATE, frame, get, uri};
use crate::harness::{Backend, Http2, Leave, Seawall, assert_same_bytes, pattern};

#[test]
fn a_stream_reset_while_it_waits_leaves_the_backend_in_peace() {
    let backend = held();
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let leaves = client.get("/leaves");
    let stays = client.get("/stays");
    backend.wait_held("view", 2);
    leaves.reset(Reason::CANCEL);
    client.ping();
    seawall.settle();
    backend.release("view");
    assert_eq!(stays.answer().text(), "/stays");
    let line = seawall.line_of("/leaves");
    assert_eq!(words(&line), ["discarded", "waiting", "client reset the stream: CANCEL"]);
    assert_eq!(line["discarded_bytes"], 7);
    assert_eq!(seawall.line_of("/stays")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn a_stream_reset_in_mid_response_is_read_to_the_end() {
    const SIZE: usize = 3_000_000;
    let backend = Backend::start(|talk| match &*talk.target() {
        "/big" => {
            talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))?;
            talk.write(pattern(SIZE / 2))?;
            talk.hold("rest")?;
            talk.write(pattern(SIZE / 2))
        }
        _ => talk.answer(pattern(SIZE)),
    });
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let mut leaves = client.get("/big");
    let sibling = client.get("/sibling");
    let (_, mut body) = leaves.head();
    leaves.piece(&mut body);
    backend.wait_held("rest", 1);
    leaves.reset(Reason::CANCEL);
    drop(body);
    client.ping();
    seawall.settle();
    backend.release("rest");
    backend.wait_answered("/big");
    assert_same_bytes(&sibling.answer().body, &pattern(SIZE));
    let line = seawall.line_of("/big");
    assert_eq!(words(&line), ["discarded", "answering", "client reset the stream: CANCEL"]);
    let count = |key: &str| line[key].as_u64().unwrap();
    assert_eq!(count("delivered_bytes") + count("discarded_bytes"), SIZE as u64, "{line}");
    backend.assert_unharmed();
}

#[test]
fn a_stream_reset_in_mid_upload_never_reaches_the_backend() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::before(&backend);
    let mut client = Http2::connect(seawall.address);
    let upload = |target: &str| Request::post(uri(target)).body(()).unwrap();
    let mut leaves = client.request(upload("/leaves"), false);
    leaves.send(&pattern(100_000), false);
    client.ping();
    seawall.settle();
    leaves.reset(Reason::CANCEL);
    let line = seawall.line_of("/leaves");
    assert_eq!(words(&line), ["abandoned", "receiving", "client reset the stream: CANCEL"]);
    assert_eq!(client.post("/stays", b"whole").answer().text(), "stored");
    assert_eq!(backend.targets(), ["/stays"]);
}

#[test]
fn a_stream_reset_while_queued_never_reaches_the_backend() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut client = Http2::connect(seawall.address);
    let runs = client.get("/runs");
    backend.wait_held("view", 1);
    let leaves = client.get("/leaves");
    let waits = client.get("/waits");
    client.ping();
    seawall.settle();
    leaves.reset(Reason::CANCEL);
    let line = seawall.line_of("/leaves");
    assert_eq!(words(&line), ["abandoned", "queued", "client reset the stream: CANCEL"]);
    backend.release("view");
    assert_eq!((runs.answer().text(), waits.answer().text()), ("/runs".into(), "/waits".into()));
    assert_eq!(backend.targets(), ["/runs", "/waits"]);
    backend.assert_unharmed();
}

#[test]
fn a_connection_that_goes_takes_all_its_clients_and_no_exchange() {
    for leave in Leave::BOTH {
        let backend = held();
        let seawall = Seawall::before(&backend);
        let mut client = Http2::connect(seawall.address);
        let streams = ["/one", "/two"].map(|target| client.get(target));
        backend.wait_held("view", 2);
        client.leave(leave);
        drop(streams);
        let mut witness = seawall.client();
        backend.release("view");
        for target in ["/one", "/two"] {
            let line = seawall.line_of(target);
            assert_eq!(words(&line)[0], "discarded", "{line}");
            assert!(line["reason"].as_str().unwrap().starts_with("client "), "{line}");
        }
        assert_eq!(witness.get("/after").answer().text(), "/after");
        backend.assert_unharmed();
    }
}

#[test]
fn answers_that_stand_behind_a_broken_one_are_not_forgotten() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/big" => talk.answer(pattern(20_000_000)),
        "/broken" => {
            talk.chunked_head("")?;
            talk.chunk("part")?;
            talk.hold("broken")?;
            talk.close();
            Ok(())
        }
        _ => {
            talk.hold("small")?;
            talk.answer("small")
        }
    });
    let seawall = Seawall::before(&backend);
    // One that opens every window, and then reads nothing.
    let mut frames = Frames::connect(seawall.address);
    let windows = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    frames.send(&frame(SETTINGS, 0, 0, &windows)).unwrap();
    frames.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0])).unwrap();
    frames.send(&get(1, "/small")).unwrap();
    frames.send(&get(3, "/broken")).unwrap();
    backend.wait_held("small", 1);
    backend.wait_held("broken", 1);
    frames.send(&get(5, "/big")).unwrap();
    backend.wait_answered("/big");
    backend.release("small");
    backend.wait_answered("/small");
    backend.release("broken");
    backend.wait_answered("/broken");
    seawall.settle();
    SockRef::from(frames.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(frames);
    assert_eq!(seawall.line_of("/big")["ended"], "discarded");
    assert_eq!(seawall.line_of("/small")["ended"], "discarded");
    assert_eq!(seawall.line_of("/broken")["ended"], "failed");
}

#[test]
fn a_reader_that_opens_no_window_frees_the_backend_and_holds_up_nobody() {
    const SIZE: usize = 5_000_000;
    let backend = Backend::start(|talk| match &*talk.target() {
        "/big" => talk.answer(pattern(SIZE)),
        _ => talk.answer("small"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    // As much as one frame: with less, reading it is so many round trips that a busy machine takes too long.
    let mut client = Http2::with_window(seawall.address, 16_384);
    let slow = client.get("/big");
    backend.wait_answered("/big");
    assert_eq!(client.get("/small").answer().text(), "small");
    assert_same_bytes(&slow.answer().body, &pattern(SIZE));
    assert_eq!(seawall.line_of("/big")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn a_reader_that_takes_nothing_for_too_long_is_let_go_alone() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/big" => talk.answer(pattern(500_000)),
        _ => talk.answer("small"),
    });
    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"200ms\"");
    let mut client = Http2::with_window(seawall.address, 1000);
    let mut stalls = client.get("/big");
    let (_, body) = stalls.head();
    assert_eq!(stalls.wait_reset(), Reason::CANCEL);
    drop(body);
    let line = seawall.line_of("/big");
    assert_eq!(
        words(&line),
        ["discarded", "answering", "client took no byte for client.write_stall"]
    );
    assert_eq!(client.get("/small").answer().text(), "small");
    backend.assert_unharmed();
}

#[test]
fn a_small_answer_that_the_client_does_not_take_is_not_delivered() {
    let backend = Backend::start(|talk| talk.answer("small"));
    let seawall = Seawall::before(&backend);
    let mut client = Http2::with_window(seawall.address, 1);
    let mut leaves = client.get("/leaves");
    let (_, body) = leaves.head();
    leaves.reset(Reason::CANCEL);
    let line = seawall.line_of("/leaves");
    assert_eq!(words(&line), ["discarded", "answering", "client reset the stream: CANCEL"]);
    drop(body);

    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"200ms\"");
    let mut client = Http2::with_window(seawall.address, 1);
    let mut stalls = client.get("/stalls");
    let (_, body) = stalls.head();
    assert_eq!(stalls.wait_reset(), Reason::CANCEL);
    let line = seawall.line_of("/stalls");
    assert_eq!(
        words(&line),
        ["discarded", "answering", "client took no byte for client.write_stall"]
    );
    drop(body);
    backend.assert_unharmed();
}

#[test]
fn an_upload_that_stalls_is_refused_alone() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::with(&backend, "[client]\nbody_stall = \"200ms\"");
    let mut client = Http2::connect(seawall.address);
    let request = Request::post(uri("/stalls")).body(()).unwrap();
    let mut stalls = client.request(request, false);
    stalls.send(b"half", false);
    assert_eq!(stalls.head().0.status, 408);
    assert_eq!(client.post("/whole", b"whole").answer().text(), "stored");
    assert_eq!(seawall.line_of("/stalls")["ended"], "refused");
    assert_eq!(backend.targets(), ["/whole"]);
}

/// How the line says that it ended, in which stage the client left, and why.
fn words(line: &Value) -> [&str; 3] {
    ["ended", "left", "reason"].map(|name| line[name].as_str().unwrap_or("null"))
}

fn held() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        let target = talk.target();
        talk.answer(target)
    })
}
