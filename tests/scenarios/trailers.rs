//! Trailers (RFC 9110 section 6.5): those of an answer reach the client that takes them, however it comes
//! to the answer; those of a request end here, since what is sent with its length has no place for them.

use std::io;

use crate::harness::{Answer, Backend, Seawall, Talk};

const TAKES: &str = "TE: trailers\r\nConnection: TE\r\n";

fn summed(talk: &mut Talk) -> io::Result<()> {
    talk.chunked_head("Trailer: X-Sum\r\n")?;
    talk.chunk("served")?;
    talk.hold("sum")?;
    talk.write("0\r\nX-Sum: 42\r\n\r\n")
}

#[track_caller]
fn assert_summed(answer: &Answer) {
    assert_eq!(answer.text(), "served");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())], "{answer:?}");
}

#[test]
fn who_takes_them_has_them_and_who_does_not_has_the_rest() {
    let backend = Backend::start(summed);
    backend.release("sum");
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for fields in [TAKES, "TE: gzip;q=0.5, Trailers\r\n", "TE: gzip\r\nTE: trailers\r\n"] {
        assert_summed(&client.get_with("/", fields).answer());
    }
    for fields in ["", "TE: gzip\r\n"] {
        let answer = client.get_with("/", fields).answer();
        assert_eq!((answer.text(), answer.trailers), ("served".into(), vec![]));
    }
    let answer = seawall.client().send("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n").answer();
    assert_eq!(answer.text(), "served");
    backend.assert_unharmed();
}

#[test]
fn the_backend_is_told_of_who_takes_them_and_of_no_other_coding() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for (target, fields, te) in [
        ("/takes", "TE: gzip, trailers;q=1, TRAILERS\r\nConnection: TE\r\n", Some("trailers")),
        ("/other", "TE: gzip, xtrailers\r\nConnection: TE\r\n", None),
        ("/none", "", None),
    ] {
        seawall.client().get_with(target, fields).answer();
        let head = backend.wait_answered(target).head;
        assert_eq!(head.field("te"), te, "{head:?}");
        assert_eq!(head.field("connection"), te.map(|_| "te"), "{head:?}");
    }
}

#[test]
fn whoever_joins_has_them_too() {
    let backend = Backend::start(summed);
    let seawall = Seawall::with(&backend, "[[route]]\njoin = true");
    let (mut one, mut other) = (seawall.client(), seawall.client());
    one.get_with("/", TAKES);
    backend.wait_held("sum", 1);
    other.get_with("/", TAKES);
    seawall.settle();
    backend.release("sum");
    assert_summed(&one.answer());
    assert_summed(&other.answer());
    assert_eq!(backend.targets(), ["/"]);
}

#[test]
fn a_kept_answer_keeps_them() {
    let backend = Backend::start(summed);
    backend.release("sum");
    let seawall = Seawall::with(&backend, "[[route]]\nreplay = true");
    let send = |fields: &str| {
        let mut client = seawall.client();
        client.send(format!(
            "POST /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"k\"\r\nContent-Length: 3\r\n{fields}\r\none"
        ));
        client.answer()
    };
    assert_summed(&send(TAKES));
    let again = send(TAKES);
    assert_eq!(again.head.field("idempotency-replayed"), Some("true"));
    assert_summed(&again);
    let without = send("");
    assert_eq!((without.text(), without.trailers), ("served".into(), vec![]));
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn fields_that_frame_route_or_steer_are_none_of_them() {
    let backend = Backend::start(|talk| {
        talk.chunked_head(
            "Trailer: X-Sum, Content-Length, Transfer-Encoding, Connection, X-Hop, Set-Cookie\r\n",
        )?;
        talk.chunk("served")?;
        talk.write(
            "0\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
             Set-Cookie: a=1\r\nX-Sum: 42\r\n\r\n",
        )
    });
    let seawall = Seawall::before(&backend);
    assert_summed(&seawall.client().get_with("/", TAKES).answer());
}

#[test]
fn what_was_not_announced_is_left_out_and_the_answer_is_whole() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("served")?;
        talk.write("0\r\nX-Sum: 42\r\n\r\n")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for _ in 0..2 {
        let answer = client.get_with("/", TAKES).answer();
        assert_eq!((answer.text(), answer.trailers), ("served".into(), vec![]));
    }
}

#[test]
fn those_of_a_request_end_here_and_so_does_their_announcement() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Admin\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Admin: yes\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "served");
    let arrived = backend.wait_answered("/");
    assert_eq!((&arrived.body[..], &arrived.trailers[..]), (&b"hello"[..], &[][..]));
    assert_eq!(arrived.head.field("content-length"), Some("5"));
    for gone in ["x-admin", "trailer", "transfer-encoding"] {
        assert_eq!(arrived.head.field(gone), None, "{gone}");
    }
    assert_eq!(client.get("/next").answer().text(), "served");
    backend.assert_unharmed();
}
