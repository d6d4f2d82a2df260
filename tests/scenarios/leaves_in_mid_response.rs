//! Promise 2: a client leaves in mid-response, of any size, pace and framing: read to the end,
//! discarded, in flat memory.

use std::io;

use crate::harness::{Backend, Leave, Seawall, Talk, pattern};

/// The size of each part that a scene's backend sends: one before the client leaves, several after.
const PART: usize = 1_000_000;

#[test]
fn a_chunked_answer_is_read_to_its_end() {
    the_answer_is_read_to_its_end(|talk| {
        talk.chunked_head("")?;
        talk.chunk(pattern(PART))?;
        talk.hold("left")?;
        (0..15).try_for_each(|_| talk.chunk(pattern(PART)))?;
        talk.last_chunk()
    });
}

#[test]
fn an_answer_with_its_length_is_read_to_its_end() {
    the_answer_is_read_to_its_end(|talk| {
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 16 * PART))?;
        talk.write(pattern(PART))?;
        talk.hold("left")?;
        (0..15).try_for_each(|_| talk.write(pattern(PART)))
    });
}

#[test]
fn a_close_delimited_answer_is_read_to_its_end() {
    the_answer_is_read_to_its_end(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        talk.close();
        talk.write(pattern(PART))?;
        talk.hold("left")?;
        (0..15).try_for_each(|_| talk.write(pattern(PART)))
    });
}

#[test]
fn an_http_1_0_answer_is_read_to_its_end() {
    the_answer_is_read_to_its_end(|talk| {
        talk.write("HTTP/1.0 200 OK\r\n\r\n")?;
        talk.close();
        talk.write(pattern(PART))?;
        talk.hold("left")?;
        (0..15).try_for_each(|_| talk.write(pattern(PART)))
    });
}

fn the_answer_is_read_to_its_end(answer: fn(&mut Talk) -> io::Result<()>) {
    for leave in Leave::BOTH {
        let backend = Backend::start(answer);
        let seawall = Seawall::with(&backend, "max_concurrency = 1");
        let mut client = seawall.client();
        assert_eq!(client.get("/download").head().status(), 200);
        client.read(1000);
        backend.wait_held("left", 1);
        seawall.leave(client, leave);
        backend.release("left");

        let line = seawall.line_of("/download");
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"discarded".into(), &"answering".into()),
            "{leave:?}: {line}"
        );
        assert_eq!(
            (line["status"].as_u64(), line["backend_status"].as_u64()),
            (Some(200), Some(200)),
            "{line}"
        );
        let discarded = line["discarded_bytes"].as_u64().unwrap();
        assert!((15 * PART as u64..16 * PART as u64).contains(&discarded), "{line}");
        backend.assert_unharmed();
    }
}

#[test]
fn what_had_come_when_the_client_left_is_discarded_too() {
    const SIZE: usize = 30_000_000;
    let backend = Backend::start(|talk| talk.answer(pattern(SIZE)));
    let seawall = Seawall::before(&backend);
    for leave in Leave::BOTH {
        let mut client = seawall.client();
        client.get("/all").head();
        backend.wait_answered("/all");
        backend.forget();
        seawall.leave(client, leave);
    }
    for line in seawall.wait_for_lines(2, |line| line["path"] == "/all") {
        let count = |key: &str| line[key].as_u64().unwrap();
        assert_eq!(line["ended"], "discarded", "{line}");
        assert_eq!(count("delivered_bytes") + count("discarded_bytes"), SIZE as u64, "{line}");
    }
}

#[test]
fn a_client_that_leaves_at_full_speed_harms_nobody() {
    let backend = Backend::start(|talk| {
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 16 * PART))?;
        (0..16).try_for_each(|_| talk.write(pattern(PART)))
    });
    let seawall = Seawall::before(&backend);
    for (round, leave) in Leave::BOTH.into_iter().cycle().take(10).enumerate() {
        let mut client = seawall.client();
        client.get("/download").head();
        client.read(1 + round * 150_000);
        client.leave(leave);
    }
    seawall.wait_for_lines(10, |line| line["ended"] == "discarded" || line["ended"] == "delivered");
    backend.assert_unharmed();
}

#[test]
fn the_first_line_of_a_slow_page_may_be_all_a_client_wants() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.chunked_head("Content-Type: text/html\r\n")?;
            talk.chunk("first line\n")?;
            for gate in ["second", "third"] {
                talk.hold(gate)?;
                talk.chunk("another line\n")?;
            }
            talk.last_chunk()
        });
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.get("/page").head();
        assert_eq!(client.chunk(), b"first line\n");
        // Nothing tells a FIN from a half-close until there is more to send.
        client.leave(leave);
        seawall.settle();
        backend.release("second");
        backend.wait_held("third", 1);
        // The second has met nobody by now.
        seawall.settle();
        backend.release("third");
        let line = seawall.line_of("/page");
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"discarded".into(), &"answering".into()),
            "{line}"
        );
        backend.assert_unharmed();
    }
}

#[test]
fn discarding_a_quarter_of_a_gigabyte_takes_no_memory() {
    const PARTS: usize = 256;
    let backend = Backend::start(|talk| {
        let part = pattern(1 << 20);
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS << 20))?;
        talk.write(&part)?;
        talk.hold("left")?;
        (1..PARTS).try_for_each(|_| talk.write(&part))
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/dump").head();
    backend.wait_held("left", 1);
    seawall.leave(client, Leave::Reset);
    let before = seawall.memory("VmHWM");
    backend.release("left");
    let line = seawall.line_of("/dump");
    assert_eq!(line["ended"], "discarded");
    let grown = seawall.memory("VmHWM") - before;
    assert!(grown <= 8 * 1024, "{grown} KiB more at the peak than before");
    backend.assert_unharmed();
}
