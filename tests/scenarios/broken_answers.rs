//! Answers of the backend that are incomplete or none: they never look complete to the client.

use std::io;

use crate::harness::{Backend, Broken, Framing, Http2, Seawall, Talk, pattern};

#[test]
fn what_is_no_answer_becomes_a_502() {
    for not_an_answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let backend = Backend::start(move |talk| {
            talk.close();
            talk.write(not_an_answer)
        });
        let seawall = Seawall::before(&backend);
        let answer = seawall.client().post("/", b"x").answer();
        assert_eq!(answer.status(), 502, "{not_an_answer:?}");
        assert!(
            answer.head.field("proxy-status").unwrap().starts_with("seawall; error="),
            "{answer:?}"
        );
        let line = seawall.line_of("/");
        assert_eq!(
            (&line["ended"], line["status"].as_u64()),
            (&"failed".into(), Some(502)),
            "{not_an_answer:?}: {line}"
        );
        assert!(line["reason"].is_string(), "{line}");
        assert_eq!(backend.exchanges().len(), 1, "{not_an_answer:?}");
    }
}

#[test]
fn a_reset_before_the_head_becomes_a_502() {
    let backend = Backend::start(|talk| {
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::before(&backend);
    assert_eq!(seawall.client().post("/", b"x").answer().status(), 502);
    assert_eq!(seawall.line_of("/")["ended"], "failed");
}

#[test]
fn a_head_without_end_becomes_a_502() {
    let backend = Backend::start(|talk| {
        talk.close();
        talk.write("HTTP/1.1 200 OK\r\n")?;
        for number in 0..200_000 {
            talk.write(format!("X-{number}: {}\r\n", "x".repeat(1000)))?;
        }
        Ok(())
    });
    let seawall = Seawall::before(&backend);
    assert_eq!(seawall.client().post("/", b"x").answer().status(), 502);
}

#[test]
fn an_answer_shorter_than_its_length_breaks_off() {
    breaks_off("POST", |talk| {
        talk.close();
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2_000_000))?;
        talk.write(pattern(1_000_000))?;
        talk.hold("read")
    });
}

#[test]
fn chunks_that_end_without_the_last_break_off() {
    breaks_off("GET", |talk| {
        talk.close();
        talk.chunked_head("")?;
        talk.chunk(pattern(1_000_000))?;
        talk.hold("read")
    });
}

#[test]
fn a_chunk_that_breaks_off_breaks_off() {
    breaks_off("GET", |talk| {
        talk.close();
        talk.chunked_head("")?;
        talk.write("fffff\r\nhalf a chunk")?;
        talk.hold("read")
    });
}

#[test]
fn a_chunk_of_no_size_breaks_off() {
    breaks_off("GET", |talk| {
        talk.close();
        talk.chunked_head("")?;
        talk.chunk("whole")?;
        talk.hold("read")?;
        talk.write("xyz\r\nnot\r\n0\r\n\r\n")
    });
}

#[test]
fn a_last_chunk_without_its_end_breaks_off() {
    breaks_off("GET", |talk| {
        talk.close();
        talk.chunked_head("")?;
        talk.chunk("whole")?;
        talk.hold("read")?;
        talk.write("0\r\n")
    });
}

#[test]
fn a_reset_in_mid_body_breaks_off() {
    breaks_off("GET", |talk| {
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")?;
        talk.write(pattern(1_000_000))?;
        talk.hold("read")?;
        talk.reset();
        Ok(())
    });
}

#[test]
fn a_reset_of_an_answer_that_ends_by_closing_breaks_off() {
    breaks_off("GET", |talk| {
        talk.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        talk.write(pattern(1_000_000))?;
        talk.hold("read")?;
        talk.reset();
        Ok(())
    });
}

/// To an HTTP/1.1 client by a missing end, to an HTTP/1.0 client, for whom every FIN is an end, by
/// a RST.
#[track_caller]
fn breaks_off(method: &str, script: fn(&mut Talk) -> io::Result<()>) {
    for version in ["1.1", "1.0"] {
        let backend = Backend::start(script);
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.send(format!("{method} / HTTP/{version}\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        // The head first, so that what comes after it cannot turn into a refusal.
        let head = client.head();
        backend.release("read");
        let framing = head.answer_framing(method).unwrap();
        let broken = match framing {
            Framing::Nothing => panic!("no body: {head:?}"),
            framing => client.rest(framing).expect_err("half an answer looks whole"),
        };
        if framing == Framing::ToTheEnd {
            assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset, "HTTP/{version}");
        }
        let line = seawall.line_of("/");
        assert_eq!(
            (&line["ended"], line["backend_status"].as_u64()),
            (&"failed".into(), Some(200)),
            "{line}"
        );
        assert!(line["reason"].is_string(), "{line}");
    }
}

#[test]
fn a_patient_reader_of_a_broken_answer_gets_what_came() {
    let backend = Backend::start(|talk| {
        talk.close();
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf an answer")
    });
    let seawall = Seawall::before(&backend);
    match seawall.client().post("/", b"").outcome() {
        Err(Broken { head: Some(_), body, .. }) => {
            assert!(b"half an answer".starts_with(&body[..]));
        }
        Err(broken) => panic!("not even a head: {broken:?}"),
        // Nothing has been passed on yet when the end comes with the head: a refusal is as good.
        Ok(answer) => assert_eq!(answer.status(), 502),
    }
}

#[test]
fn bytes_after_an_answer_are_nobodys_answer() {
    let backend = Backend::start(|talk| {
        match &*talk.target() {
        "/generous" => talk.write(
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nservedHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        ),
        _ => talk.answer("served"),
    }
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    for _ in 0..5 {
        assert_eq!(seawall.client().get("/generous").answer().text(), "served");
        assert_eq!(seawall.client().get("/next").answer().text(), "served");
        assert_eq!(seawall.client().post("/next", b"x").answer().text(), "served");
    }
}

#[test]
fn an_answer_framed_in_two_ways_does_not_poison_the_next() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/both" => talk.write(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        ),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1\nidle = \"1h\"");
    let _ = seawall.client().get("/both").outcome();
    assert_eq!(seawall.client().get("/next").answer().text(), "served");
}

#[test]
fn a_broken_answer_frees_its_slot() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/broken" => {
            talk.close();
            talk.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        }
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    for _ in 0..3 {
        let _ = seawall.client().get("/broken").outcome();
        assert_eq!(seawall.client().get("/next").answer().text(), "served");
    }
}

#[test]
fn a_length_besides_chunks_or_twice_does_not_reach_the_client() {
    let backend = Backend::start(|talk| {
        let begin = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n";
        match &*talk.target() {
            "/chunked" => talk.write(format!(
                "{begin}Transfer-Encoding: chunked\r\n\r\n8\r\nall of i\r\n1\r\nt\r\n0\r\n\r\n"
            )),
            _ => talk.write(format!("{begin}Content-Length: 3\r\n\r\nall")),
        }
    });
    let seawall = Seawall::before(&backend);
    for (target, body) in [("/chunked", "all of it"), ("/twice", "all")] {
        assert_eq!(seawall.client().get(target).answer().text(), body);
        assert_eq!(Http2::connect(seawall.address).get(target).answer().text(), body);
        for line in seawall.wait_for_lines(2, |line| line["path"] == target) {
            assert_eq!(
                (&line["ended"], &line["delivered_bytes"]),
                (&"delivered".into(), &body.len().into())
            );
        }
    }
    backend.assert_unharmed();
}
