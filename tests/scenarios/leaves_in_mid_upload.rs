//! Promise 3: a client leaves in mid-upload, and the backend never hears of it. Requests are
//! received whole, then sent, with their length.

use serde_json::Value;

use crate::harness::{Backend, Leave, Seawall, assert_same_bytes, pattern, until};

const WITH_LENGTH: &str = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
const CHUNKED: &str =
    "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n";

#[test]
fn half_an_upload_never_reaches_the_backend() {
    for head in [WITH_LENGTH, CHUNKED] {
        for leave in Leave::BOTH {
            let backend = Backend::start(|talk| talk.answer("stored"));
            let seawall = Seawall::before(&backend);
            let mut client = seawall.client();
            client.send(head).send("half of it");
            seawall.settle();
            seawall.leave(client, leave);
            let line = seawall.line_of("/upload");
            assert_eq!(
                (&line["ended"], &line["left"]),
                (&"abandoned".into(), &"receiving".into()),
                "{line}"
            );
            assert_eq!(line["backend_status"].as_u64(), None, "{line}");
            assert_eq!(backend.connections(), 0, "{leave:?} of {head:?}");
        }
    }
}

#[test]
fn a_chunked_upload_cut_between_chunks_is_not_taken_for_whole() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| talk.answer("stored"));
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.send(
            "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        );
        seawall.settle();
        client.leave(leave);
        assert_eq!(seawall.line_of("/upload")["ended"], "abandoned");
        assert_eq!(backend.connections(), 0);
    }
}

#[test]
fn an_upload_of_five_megabytes_arrives_whole_and_with_its_length() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::before(&backend);
    let body = pattern(5_000_000);
    seawall.client().post("/length", &body).answer();

    let mut client = seawall.client();
    client.send("PUT /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(70_000) {
        client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
    }
    assert_eq!(client.send("0\r\n\r\n").answer().text(), "stored");

    for target in ["/length", "/chunks"] {
        let arrived = backend.wait_answered(target);
        assert_eq!(arrived.head.field("content-length"), Some("5000000"), "{target}");
        assert_eq!(arrived.head.field("transfer-encoding"), None, "{target}");
        assert_same_bytes(&arrived.body, &body);
    }
    backend.assert_unharmed();
}

#[test]
fn an_upload_sent_byte_by_byte_arrives_as_one() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().text(), "stored");
    let arrived = backend.wait_answered("/slow");
    assert_eq!(
        (&arrived.body[..], arrived.head.field("content-length")),
        (&b"abcde"[..], Some("5"))
    );
}

#[test]
fn an_empty_upload_says_that_it_is_empty() {
    let backend = Backend::start(|talk| talk.answer("nothing, then"));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client
        .send("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .answer();
    client.post("/length", b"").answer();
    for target in ["/chunks", "/length"] {
        let arrived = backend.wait_answered(target);
        assert_eq!(arrived.head.field("content-length"), Some("0"), "{target}");
        assert_eq!(arrived.head.field("transfer-encoding"), None, "{target}");
    }
}

#[test]
fn a_get_without_a_body_is_sent_without_a_length() {
    let backend = Backend::start(|talk| talk.answer("page"));
    let seawall = Seawall::before(&backend);
    seawall.client().get("/page").answer();
    let arrived = backend.wait_answered("/page");
    assert_eq!(
        (arrived.head.field("content-length"), arrived.head.field("transfer-encoding")),
        (None, None)
    );
}

#[test]
fn a_client_that_leaves_right_after_its_upload_has_sent_it_nonetheless_or_not_at_all() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::before(&backend);
    let body = pattern(200_000);
    for round in 0..10 {
        let mut client = seawall.client();
        client.post(if round % 2 == 0 { "/fin" } else { "/reset" }, &body);
        client.leave(Leave::BOTH[round % 2]);
    }
    // Of one that was reset before it was accepted there is no trace at all.
    seawall.wait_for_lines(5, |line| line["path"] == "/fin");
    backend.assert_unharmed();
    until("every exchange has its line", || {
        let reached = ["discarded", "delivered"];
        let is_one = |line: &&Value| reached.iter().any(|word| line["ended"] == *word);
        (seawall.log().iter().filter(is_one).count() == backend.exchanges().len()).then_some(())
    });
    assert!(backend.exchanges().iter().all(|exchange| exchange.body == body));
}
