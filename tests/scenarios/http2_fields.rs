//! Fields of answers over HTTP/2: both ends keep them in a table, as long as the connection lives
//! (RFC 7541, section 2.3.2), and what never comes again has no place there.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::harness::http2::{Frames, HEADERS, get};
use crate::harness::{Backend, Http2, Seawall, until};

#[test]
fn a_field_gets_its_place_in_the_clients_table_when_it_comes_again() {
    let backend = served();
    let seawall = Seawall::before(&backend);
    let mut frames = Frames::connect(seawall.address);
    let kept: Vec<usize> = (0..5)
        .map(|_| {
            let stream = frames.next_stream();
            frames.send(&get(stream, "/")).unwrap();
            places(&frames.wait(HEADERS).expect("an answer").payload)
        })
        .collect();
    // Content-Length is never kept, Content-Type, Date and Server are, and no id of a request.
    assert_eq!(kept, [0, 3, 0, 0, 0]);
}

#[test]
fn what_each_answer_has_for_itself_costs_a_connection_no_memory() {
    let backend = served();
    let seawall = Seawall::before(&backend);
    let ask = |client: &mut Http2, times: usize| {
        for _ in 0..times {
            let answer = client.get("/").answer();
            assert!(answer.field("x-version").is_some() && answer.field("x-request-id").is_some());
        }
    };
    // What all connections have in common is there from here on.
    let mut first = Http2::connect(seawall.address);
    ask(&mut first, CLIENTS * ANSWERS);
    let mut clients: Vec<Http2> = (0..CLIENTS).map(|_| Http2::connect(seawall.address)).collect();
    for client in &mut clients {
        ask(client, 2);
    }
    let before = seawall.memory("VmRSS");
    for client in &mut clients {
        ask(client, ANSWERS);
    }
    // KiB. Each took 11 more when all fields were kept. What is freed goes back to the system after a second.
    until("no more memory is taken than before", || {
        let grown = seawall.memory("VmRSS").saturating_sub(before);
        (grown < (CLIENTS * 4) as u64).then_some(())
    });
}

const CLIENTS: usize = 60;
const ANSWERS: usize = 50;

fn served() -> Backend {
    let number = AtomicUsize::new(0);
    Backend::start(move |talk| {
        let version = number.fetch_add(1, Relaxed);
        let fields = format!(
            "Server: test\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
             X-Version: {version}\r\n"
        );
        talk.answer_with("200 OK", &fields, "served")
    })
}

/// How many fields of this block get a place in the table (RFC 7541, section 6).
fn places(mut block: &[u8]) -> usize {
    let mut count = 0;
    while let Some(first) = block.first() {
        let (prefix, keeps, is_literal) = match first {
            0x80.. => (7, false, false),
            0x40.. => (6, true, true),
            0x20.. => (5, false, false),
            _ => (4, false, true),
        };
        let name = number(&mut block, prefix);
        if is_literal {
            // The name, where it is not in a table, and the value.
            for _ in 0..=usize::from(name == 0) {
                let len = number(&mut block, 7);
                block = &block[len..];
            }
        }
        count += usize::from(keeps);
    }
    count
}

/// An integer behind a prefix (section 5.1).
fn number(block: &mut &[u8], prefix: u32) -> usize {
    let max = (1 << prefix) - 1;
    let mut take = || {
        let byte = usize::from(block[0]);
        *block = &block[1..];
        byte
    };
    let mut value = take() & max;
    let (mut more, mut shift) = (value == max, 0);
    while more {
        let byte = take();
        value += (byte & 0x7f) << shift;
        (more, shift) = (byte >= 0x80, shift + 7);
    }
    value
}
