//! Promise 7: a client that stalls without ever a FIN is let go after a bound, and its exchange
//! goes on.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Seawall, assert_same_bytes, pattern, until};

/// More than all kernels' buffers between seawall and a client take.
const SIZE: usize = 30_000_000;

#[test]
fn a_client_that_takes_no_byte_of_its_answer_is_let_go() {
    let backend = Backend::start(|talk| talk.answer(pattern(SIZE)));
    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"300ms\"");
    let mut stalled = Client::with_small_window(seawall.address);
    stalled.get("/stalls");
    // This line is written when the client's side is over; the client itself has not moved.
    let line = seawall.line_of("/stalls");
    assert_eq!(
        (&line["ended"], &line["left"]),
        (&"discarded".into(), &"answering".into()),
        "{line}"
    );
    assert!(line["client_ms"].as_f64().unwrap() >= 300.0, "{line}");
    backend.assert_unharmed();
    assert!(stalled.outcome().is_err(), "half an answer looks whole");
}

#[test]
fn the_exchange_of_a_client_that_was_let_go_goes_on() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk(pattern(SIZE))?;
        talk.hold("rest")?;
        talk.chunk(pattern(SIZE))?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"300ms\"");
    let idle = seawall.sockets();
    let mut stalled = Client::with_small_window(seawall.address);
    stalled.get("/stalls");
    backend.wait_held("rest", 1);
    until("only the backend's socket is left", || (seawall.sockets() == idle + 1).then_some(()));
    backend.release("rest");
    let line = seawall.line_of("/stalls");
    assert_eq!(
        (&line["ended"], &line["left"]),
        (&"discarded".into(), &"answering".into()),
        "{line}"
    );
    backend.assert_unharmed();
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_let_go() {
    let backend = Backend::start(|talk| talk.answer(pattern(SIZE)));
    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"2s\"");
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/slow").head();
    let start = Instant::now();
    let mut got = Vec::new();
    // Longer than the bound in sum, far shorter between two reads.
    while start.elapsed().as_millis() < 3000 {
        got.extend(slow.read(100_000.min(SIZE - got.len())));
        thread::sleep(Duration::from_millis(20));
    }
    got.extend(slow.read(SIZE - got.len()));
    assert_same_bytes(&got, &pattern(SIZE));
    assert_eq!(seawall.line_of("/slow")["ended"], "delivered");
}

#[test]
fn a_stream_that_is_silent_for_longer_than_the_bound_is_no_stall() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/stalls" {
            return talk.answer(pattern(SIZE));
        }
        talk.chunked_head("")?;
        talk.chunk("one")?;
        talk.hold("two")?;
        talk.chunk("two")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, "[client]\nwrite_stall = \"300ms\"");
    let mut patient = seawall.client();
    patient.get("/silent").head();
    assert_eq!(patient.chunk(), b"one");
    // That another is let go tells that the bound has passed for this one too.
    let mut stalled = Client::with_small_window(seawall.address);
    stalled.get("/stalls");
    seawall.line_of("/stalls");
    backend.release("two");
    assert_eq!(patient.chunk(), b"two");
    assert!(patient.chunk().is_empty());
}
