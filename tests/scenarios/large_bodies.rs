//! Large answers go from the backend's socket to the client's through a pipe, where nobody here needs their bytes;
//! and but for what they cost, nobody notices.

use std::thread;
use std::time::Duration;

use super::tls::{connect, encrypted};
use crate::harness::{
    Authority, Backend, Client, Framing, Http2, Leave, Seawall, Talk, assert_same_bytes,
};

const SIZE: usize = 5_000_000;

/// Bytes that are hardly ever zero in a row, as what stands in for them is.
fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn large(talk: &mut Talk) -> std::io::Result<()> {
    match &*talk.target() {
        "/small" => talk.answer("small"),
        "/chunks" => {
            talk.chunked_head("")?;
            random(SIZE, 1).chunks(100_000).try_for_each(|chunk| talk.chunk(chunk))?;
            talk.last_chunk()
        }
        "/part" => talk.answer_with("206 Partial Content", "", random(SIZE, 1)),
        _ if talk.request().head.method() == "HEAD" => {
            talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
        }
        _ => talk.answer(random(SIZE, 1)),
    }
}

#[test]
fn an_answer_through_a_pipe_comes_whole_and_the_pipe_is_kept_for_the_next() {
    let backend = Backend::start(large);
    let seawall = Seawall::before(&backend);
    assert_eq!(seawall.pipes(), 0);
    let mut client = seawall.client();
    client.get("/large").get("/small").get("/part");
    assert_same_bytes(&client.answer().body, &random(SIZE, 1));
    assert_eq!(client.answer().text(), "small");
    let part = client.answer();
    assert_eq!(part.status(), 206);
    assert_same_bytes(&part.body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 1);

    client.send("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    for request in [
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let answer = seawall.client().send(request).answer();
        assert_same_bytes(&answer.body, &random(SIZE, 1));
    }
    let mut half_closed = seawall.client();
    assert_same_bytes(&half_closed.get("/").half_close().answer().body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 1);
    let line = seawall.line_of("/large");
    assert_eq!(
        (&line["ended"], line["delivered_bytes"].as_u64(), line["discarded_bytes"].as_u64()),
        (&"delivered".into(), Some(SIZE as u64), Some(0)),
        "{line}"
    );
    backend.assert_unharmed();
}

#[test]
fn both_sides_may_be_socket_files() {
    let folder = tempfile::tempdir().unwrap();
    let (front, behind) = (folder.path().join("front"), folder.path().join("behind"));
    let backend = Backend::at_file(&behind, large);
    let seawall = Seawall::start(&format!(
        "listen = \"unix:{}\"\nbackend = \"unix:{}\"\n",
        front.display(),
        behind.display()
    ));
    let mut client = Client::connect_unix(&front);
    assert_same_bytes(&client.get("/large").answer().body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 1);
    backend.assert_unharmed();
}

#[test]
fn what_is_needed_here_goes_through_no_pipe() {
    let authority = Authority::new();
    let site = authority.sign("site", &["app.test"]);
    let whole = random(SIZE, 1);
    let backend = Backend::start(large);
    let tls = encrypted(&backend, &site, "");
    let mut client = connect(&tls, &authority.trust());
    assert_same_bytes(&client.get("/tls").answer().body, &whole);

    let plain =
        Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\n[inspect]\nbodies = \"1KiB\"");
    assert_same_bytes(&Http2::connect(plain.address).get("/http2").answer().body, &whole);
    assert_same_bytes(&plain.client().get("/kept-for-inspection").answer().body, &whole);
    let joined = Seawall::with(&backend, "[[route]]\npath = \"/\"\njoin = true");
    assert_same_bytes(&joined.client().get("/joined").answer().body, &whole);
    assert_same_bytes(&joined.client().get("/chunks").answer().body, &whole);
    for seawall in [tls, plain, joined] {
        assert_eq!(seawall.pipes(), 0);
    }
}

#[test]
fn a_slow_reader_keeps_its_pipe_and_nobody_else_waits() {
    let backend = Backend::start(large);
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/slow");
    backend.wait_answered("/slow");
    assert_eq!(seawall.pipes(), 1);
    assert_same_bytes(&seawall.client().get("/fast").answer().body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 2);
    assert_same_bytes(&slow.answer().body, &random(SIZE, 1));
    backend.assert_unharmed();
}

#[test]
fn who_leaves_with_bytes_in_a_pipe_has_them_discarded_with_the_rest() {
    const PARTS: usize = 4;
    let backend = Backend::start(|talk| {
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS * SIZE))?;
        talk.write(random(SIZE, 1))?;
        talk.hold("left")?;
        (1..PARTS).try_for_each(|_| talk.write(random(SIZE, 1)))
    });
    for leave in Leave::BOTH {
        let seawall = Seawall::before(&backend);
        let mut client = Client::with_small_window(seawall.address);
        client.get("/left");
        backend.wait_held("left", 1);
        assert_eq!(seawall.pipes(), 1);
        seawall.leave(client, leave);
        assert_eq!(seawall.pipes(), 0, "{leave:?}");
        backend.release_one("left");
        let line = seawall.line_of("/left");
        assert_eq!(line["ended"], "discarded", "{line}");
        let count = |key: &str| line[key].as_u64().unwrap();
        let all = count("delivered_bytes") + count("discarded_bytes");
        assert_eq!(all, (PARTS * SIZE) as u64, "{line}");
        backend.assert_unharmed();
    }
}

#[test]
fn what_came_before_the_backend_broke_off_goes_out_before_the_client_is_told() {
    for is_reset in [false, true] {
        let backend = Backend::start(move |talk| {
            talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * SIZE))?;
            talk.write(random(SIZE, 1))?;
            talk.hold("all is read")?;
            if is_reset {
                talk.reset();
            } else {
                talk.close();
            }
            Ok(())
        });
        let seawall = Seawall::before(&backend);
        for version in ["1.0", "1.1"] {
            let mut client = seawall.client();
            client.send(format!("GET /{version} HTTP/{version}\r\nHost: a\r\n\r\n"));
            client.head();
            assert_same_bytes(&client.read(SIZE / 2), &random(SIZE, 1)[..SIZE / 2]);
            backend.wait_held("all is read", 1);
            // What is in the backend's socket by a reset would be gone with it.
            assert_same_bytes(&client.read(SIZE / 2), &random(SIZE, 1)[SIZE / 2..]);
            backend.release_one("all is read");
            assert!(client.rest(Framing::Length(SIZE)).is_err());
            let line = seawall.line_of(&format!("/{version}"));
            assert_eq!(
                (&line["ended"], line["delivered_bytes"].as_u64()),
                (&"failed".into(), Some(SIZE as u64)),
                "{line}"
            );
        }
        if !is_reset {
            let mut slow = Client::with_small_window(seawall.address);
            slow.get("/slow");
            backend.wait_held("all is read", 1);
            backend.release_one("all is read");
            let broken = slow.outcome().unwrap_err();
            assert_same_bytes(&broken.body, &random(SIZE, 1));
        }
    }
}

#[test]
fn without_descriptors_for_a_pipe_an_answer_comes_whole() {
    let backend = Backend::start(large);
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/small").answer();
    seawall.limit_descriptors(Some(1));
    assert_same_bytes(&client.get("/large").answer().body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 0);
    seawall.limit_descriptors(None);
    assert_same_bytes(&client.get("/large").answer().body, &random(SIZE, 1));
    assert_eq!(seawall.pipes(), 1);
}

#[test]
fn at_whatever_pace_on_both_sides_every_byte_comes_in_its_place() {
    for kind in ["per-core", "work-stealing"] {
        let seed = fastrand::u64(..);
        println!("{kind}, seed {seed}");
        at_random_paces(kind, seed);
    }
}

fn at_random_paces(kind: &str, seed: u64) {
    let backend = Backend::start(|talk| {
        let seed: u64 = talk.target()[1..].parse().unwrap();
        let body = body_of(seed);
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
        let mut rng = fastrand::Rng::with_seed(seed + 1);
        pieces(&mut rng, body.len()).into_iter().try_fold(0, |from, len| {
            pause(&mut rng);
            talk.write(&body[from..from + len]).map(|()| from + len)
        })?;
        Ok(())
    });
    let settings = format!("[runtime]\nworkers = 2\nkind = \"{kind}\"");
    let seawall = &Seawall::with(&backend, &settings);
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || visit(seawall, seed.wrapping_add(number << 8) >> 1));
        }
    });
    backend.assert_unharmed();
}

/// One client, with some requests over one connection, at a pace of its own; at times it leaves in the middle.
fn visit(seawall: &Seawall, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut client = match rng.u8(..4) {
        0 => Client::with_small_window(seawall.address),
        _ => seawall.client(),
    };
    for number in 0..6 {
        let body = body_of(seed + number);
        client.get(&format!("/{}", seed + number));
        client.head();
        let leaves = rng.u8(..12) == 0;
        let mut from = 0;
        for len in pieces(&mut rng, body.len()) {
            pause(&mut rng);
            assert_same_bytes(&client.read(len), &body[from..from + len]);
            from += len;
            if leaves && rng.bool() {
                return client.leave(Leave::BOTH[rng.usize(..2)]);
            }
        }
    }
}

fn body_of(seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let most = [100_000, 400_000, 3_000_000][rng.usize(..3)];
    random(rng.usize(1..most), seed)
}

fn pieces(rng: &mut fastrand::Rng, mut left: usize) -> Vec<usize> {
    let mut pieces = Vec::new();
    let most = [20_000, 300_000, 4_000_000][rng.usize(..3)];
    while left > 0 {
        pieces.push(rng.usize(1..=most.min(left)));
        left -= pieces[pieces.len() - 1];
    }
    pieces
}

/// Of a backend or a client that does something else for a moment.
fn pause(rng: &mut fastrand::Rng) {
    if rng.u8(..8) == 0 {
        thread::sleep(Duration::from_millis(rng.u64(..30)));
    }
}
