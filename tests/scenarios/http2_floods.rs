//! Floods over HTTP/2: Rapid Reset and its kin reach the backend no more than its slots allow, hold up
//! nobody else, and end with the connection being sent away.

use std::io;

use crate::harness::http2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, PING,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
};
use crate::harness::{Backend, Http2, Seawall};

#[test]
fn streams_reset_at_once_run_no_more_than_the_slots_and_end_the_connection() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 2\n[client]\nearly_resets = 50");
    let mut client = Http2::connect(seawall.address);
    // Each is seen to be begun before it is reset.
    for number in 0..50 {
        let stream = client.get("/flood");
        client.ping();
        if number < 2 {
            backend.wait_held("view", number + 1);
        }
        stream.reset(h2::Reason::CANCEL);
    }
    client.wait_closed();
    seawall.wait_for_diagnostic("HTTP/2 connection sent away");
    let mut patient = seawall.client();
    patient.get("/patient");
    seawall.settle();
    backend.release("view");
    assert_eq!(patient.answer().text(), "/patient");
    assert_eq!(backend.targets(), ["/flood", "/flood", "/patient"]);
    seawall.wait_for_lines(2, |line| line["ended"] == "discarded");
    seawall.wait_for_lines(48, |line| line["ended"] == "abandoned");
    backend.assert_unharmed();
}

#[test]
fn resets_that_come_with_their_requests_reach_nobody() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 2");
    let mut frames = Frames::connect(seawall.address);
    let _ = flood(&mut frames, 100_000, |frames| {
        let stream = frames.next_stream();
        [get(stream, "/flood"), frame(RST_STREAM, 0, stream, &CANCEL)].concat()
    });
    assert_eq!(frames.wait_goaway(), ENHANCE_YOUR_CALM);
    let begun = seawall.log().iter().filter(|line| line["path"] == "/flood").count();
    assert!(begun < 2000, "{begun} were taken");
    backend.release("view");
    assert_eq!(seawall.client().get("/other").answer().text(), "/other");
    assert!(backend.most_held_at_once() <= 2 && backend.most_open_at_once() <= 2);
    seawall.wait_for_diagnostic("HTTP/2 connection sent away");
    let away = seawall.diagnostics();
    let away = away.iter().filter(|line| line["message"] == "HTTP/2 connection sent away");
    assert_eq!(away.count(), 1);
    backend.assert_unharmed();
}

#[test]
fn streams_that_we_are_made_to_reset_count_too() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 2\n[client]\nearly_resets = 50");
    let mut frames = Frames::connect(seawall.address);
    // No window may be so large (RFC 9113, section 6.9.1).
    let _ = flood(&mut frames, 10_000, |frames| {
        let stream = frames.next_stream();
        [get(stream, "/made"), frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
    });
    assert_eq!(frames.wait_goaway(), ENHANCE_YOUR_CALM);
    assert!(backend.exchanges().len() <= 2);
    backend.release("view");
    assert_eq!(seawall.client().get("/other").answer().text(), "/other");
    backend.assert_unharmed();
}

#[test]
fn frames_of_no_use_end_the_connection() {
    let of_no_use: [(&str, Vec<u8>); 5] = [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ("window update", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, b"what?")),
    ];
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for (name, useless) in of_no_use {
        let mut frames = Frames::connect(seawall.address);
        let _ = flood(&mut frames, 100_000, |_| useless.clone());
        assert_eq!(frames.wait_goaway(), ENHANCE_YOUR_CALM, "{name}");
    }
    seawall.client().get("/").answer();
}

#[test]
fn empty_pieces_of_a_body_end_the_connection() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let mut frames = Frames::connect(seawall.address);
    frames.send(&frame(HEADERS, END_HEADERS, 1, &block("POST", "/empty"))).unwrap();
    let _ = flood(&mut frames, 100_000, |_| frame(DATA, 0, 1, &[]));
    assert_eq!(frames.wait_goaway(), ENHANCE_YOUR_CALM);
    seawall.client().get("/").answer();
    assert_eq!(backend.targets(), ["/"]);
}

#[test]
fn a_head_without_an_end_ends_the_connection() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let before = seawall.memory("VmHWM");
    let mut frames = Frames::connect(seawall.address);
    frames.send(&frame(HEADERS, END_STREAM, 1, &block("GET", "/endless"))).unwrap();
    let _ = flood(&mut frames, 100_000, |_| {
        frame(CONTINUATION, 0, 1, &crate::harness::http2::literal("x-more", "and more"))
    });
    assert_eq!(frames.wait_goaway(), ENHANCE_YOUR_CALM);
    let grown = seawall.memory("VmHWM") - before;
    assert!(grown < 4096, "{grown} KiB more");
    seawall.client().get("/").answer();
    assert_eq!(backend.targets(), ["/"]);
}

#[test]
fn a_busy_client_is_not_taken_for_a_flood() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\ncontrol_frames = 30\nearly_resets = 20");
    let mut client = Http2::connect(seawall.address);
    // Resets behind the answer, pings and window updates, all in a proportion.
    for _ in 0..200 {
        let mut stream = client.get("/");
        let _body = stream.head();
        stream.reset(h2::Reason::CANCEL);
        client.ping();
    }
    assert_eq!(client.get("/").answer().text(), "served");
}

#[test]
fn room_that_is_given_back_in_small_pieces_is_no_flood() {
    const HALF: u32 = 4 << 20;
    const SIZE: usize = 2 * HALF as usize;
    const PIECE: u32 = 4096;
    let backend = Backend::start(|talk| talk.answer(vec![7; SIZE]));
    let seawall = Seawall::with(&backend, "[client]\ncontrol_frames = 30");
    let mut frames = Frames::connect(seawall.address);
    let half = HALF.to_be_bytes();
    frames.send(&frame(SETTINGS, 0, 0, &[&[0, 4], &half[..]].concat())).unwrap();
    frames.send(&frame(WINDOW_UPDATE, 0, 0, &half)).unwrap();
    frames.send(&get(1, "/big")).unwrap();
    let (mut read, mut given) = (0, 0);
    while read < SIZE {
        read += frames.wait(DATA).expect("more of the answer").payload.len();
        // The program reads later than its kernel, and then all of it, in pieces.
        while read >= SIZE / 2 && given < (2 * read - SIZE) / PIECE as usize + 8 {
            for stream in [0, 1] {
                frames.send(&frame(WINDOW_UPDATE, 0, stream, &PIECE.to_be_bytes())).unwrap();
            }
            given += 1;
        }
    }
    frames.send(&get(3, "/again")).unwrap();
    assert!(frames.wait(HEADERS).is_some());
}

#[test]
fn more_streams_than_allowed_are_refused_and_may_come_again() {
    let backend = held();
    let seawall = Seawall::with(&backend, "[client]\nstreams = 2");
    let mut frames = Frames::connect(seawall.address);
    for _ in 0..3 {
        let stream = frames.next_stream();
        frames.send(&get(stream, &format!("/{stream}"))).unwrap();
    }
    let refused = frames.wait(RST_STREAM).expect("a reset");
    assert_eq!((refused.stream, &refused.payload[..]), (5, &[0, 0, 0, 7][..]));
    backend.wait_held("view", 2);
    backend.release("view");
    let first = frames.wait(HEADERS).expect("an answer").stream;
    assert!([1, 3].contains(&first));
    assert_eq!(backend.exchanges().len(), 2);
    backend.assert_unharmed();
}

/// Sends so many of them, unless the connection ends before.
fn flood(
    frames: &mut Frames,
    count: usize,
    mut next: impl FnMut(&mut Frames) -> Vec<u8>,
) -> io::Result<()> {
    for _ in 0..count / 100 {
        let some: Vec<u8> = (0..100).flat_map(|_| next(frames)).collect();
        frames.send(&some)?;
    }
    Ok(())
}

fn held() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        let target = talk.target();
        talk.answer(target)
    })
}
