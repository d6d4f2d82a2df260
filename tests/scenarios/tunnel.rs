//! Tunnels: a request with Upgrade goes the way of every request, and what the backend switches to
//! passes untouched, both ways.

use crate::harness::tunnel::{Door, End, Ended, close, frame};
use crate::harness::{Backend, Leave, Seawall, Site, pattern};

#[test]
fn frames_pass_untouched_both_ways_whatever_they_are() {
    let (seawall, mut client, mut backend) = open("");
    let odd = |masked| {
        [
            frame(0x01, b"in three ", masked),
            frame(0x89, b"a ping between", masked),
            frame(0x00, &pattern(70_000), masked),
            frame(0x80, b"", masked),
            // Compressed, by an extension; reserved opcodes; the mask of the other side.
            frame(0xc2, &pattern(200), masked),
            frame(0xb3, b"what may this be", masked),
            frame(0x8b, b"or this", masked),
            frame(0x82, b"not masked as it should be", !masked),
        ]
        .concat()
    };
    client.send(odd(true));
    assert!(backend.read(odd(true).len()) == odd(true));
    backend.send(odd(false));
    assert!(client.read(odd(false).len()) == odd(false));

    client.send(close(1000, true));
    assert_eq!(backend.close(), 1000);
    backend.send(close(1000, false));
    assert_eq!(client.close(), 1000);
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["status"], &line["backend_status"], &line["ended"], &line["left"]),
        (&101.into(), &101.into(), &"delivered".into(), &None::<u16>.into()),
        "{line}"
    );
    let (up, down) = (odd(true).len() + 8, odd(false).len() + 4);
    assert_eq!(line["received_bytes"], up, "{line}");
    assert_eq!(line["delivered_bytes"], down, "{line}");
}

#[test]
fn the_handshake_is_passed_on_and_nothing_else_of_the_hop() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = End::connect(seawall.address);
    client.send(
        "GET /chat?room=1 HTTP/1.1\r\nHost: app.test\r\nConnection: X-Hop, upgrade, keep-alive\r\n\
         Upgrade: WebSocket\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
         Origin: http://app.test\r\n\r\n",
    );
    let mut backend = door.accept();
    let head = backend.head();
    assert_eq!(head.start, "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", "http://app.test"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(head.all(name), [value], "{name} in {head:?}");
    }
    for name in ["x-hop", "te", "keep-alive"] {
        assert!(head.all(name).is_empty(), "{name} in {head:?}");
    }
    backend.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUPGRADE: websocket\r\nConnection: Upgrade, X-Hop\r\n\
         X-Hop: 1\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\nContent-Length: 5\r\n\r\n\x81\x02hi",
    );
    let head = client.head();
    assert_eq!(head.status(), 101);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(head.all(name), [value], "{name} in {head:?}");
    }
    assert!(head.all("x-hop").is_empty() && head.all("content-length").is_empty(), "{head:?}");
    // What came with the head is not lost.
    assert_eq!(client.frame().payload, b"hi");
}

#[test]
fn what_a_client_sends_before_the_answer_is_not_lost() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = End::connect(seawall.address);
    client.ask("/chat").send(frame(0x81, b"early", true));
    let mut backend = door.accept();
    backend.head();
    backend.switch();
    assert_eq!(backend.frame().payload, b"early");
}

#[test]
fn a_backend_that_declines_gives_an_ordinary_answer() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/chat" => talk.answer_with("403 Forbidden", "", "not you"),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get_with("/chat", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (403, "not you"));
    // The connection is HTTP's still, on both sides.
    assert_eq!(client.get("/next").answer().text(), "served");
    client.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/chat")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn a_declined_answer_whose_client_leaves_is_read_to_its_end() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            talk.answer(pattern(300_000))
        });
        let seawall = Seawall::before(&backend);
        let mut client = seawall.client();
        client.get_with("/chat", "Connection: upgrade\r\nUpgrade: websocket\r\n");
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        backend.release("view");
        assert_eq!(seawall.line_of("/chat")["ended"], "discarded");
        backend.assert_unharmed();
    }
}

#[test]
fn what_cannot_be_passed_on_is_a_plain_request() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for (version, fields) in [
        (
            "1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        ("1.1", "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n"),
        ("1.1", "Upgrade: websocket\r\n"),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let mut client = seawall.client();
        client.send(format!("GET / HTTP/{version}\r\nHost: app.test\r\n{fields}\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "served"), "{fields}");
        let head = backend.exchanges().pop().unwrap().head;
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(head.all(name).is_empty(), "{name} in {head:?}");
        }
    }
}

#[test]
fn a_backend_that_switches_unasked_or_elsewhere_is_a_bad_gateway() {
    for (asked, switched) in [
        ("", "Upgrade: websocket\r\nConnection: upgrade\r\n"),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            "Upgrade: other\r\nConnection: upgrade\r\n",
        ),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", ""),
    ] {
        let door = Door::new();
        let seawall = door.seawall("");
        let mut client = seawall.client();
        client.get_with("/chat", asked);
        let mut backend = door.accept();
        backend.head();
        backend.send(format!("HTTP/1.1 101 Switching Protocols\r\n{switched}\r\n"));
        assert_eq!(client.answer().status(), 502, "{asked}{switched}");
        assert_eq!(seawall.line_of("/chat")["ended"], "failed");
        assert_eq!(backend.ended(), Ended::Fin);
    }
}

#[test]
fn a_backend_that_switches_behind_a_broken_answer_opens_no_tunnel() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = End::connect(seawall.address);
    client.ask("/chat");
    let mut backend = door.accept();
    backend.head();
    backend.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    drop(backend);
    // The restart is over, and it is asked once more.
    let mut again = door.accept();
    again.head();
    again.switch();
    client.ended();
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"failed".into(), &"the backend broke its answer off".into()),
        "{line}"
    );
}

#[test]
fn a_request_with_a_body_is_sent_whole_and_then_switches() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = End::connect(seawall.address);
    client.send(
        "POST /pipe HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: pipe/1\r\n\
         Content-Length: 10\r\n\r\nfirst",
    );
    seawall.settle();
    assert!(door.is_left_alone());
    client.send("afterand raw bytes");
    let mut backend = door.accept();
    assert_eq!(backend.head().all("content-length"), ["10"]);
    assert_eq!(backend.read(10), b"firstafter");
    backend
        .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: pipe/1\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    assert_eq!(backend.read(13), b"and raw bytes");
}

#[test]
fn a_tunnel_holds_its_slot_as_long_as_it_lives() {
    let (seawall, mut client, mut backend, door) = open_at("/chat", "max_concurrency = 1");
    let mut second = End::connect(seawall.address);
    second.ask("/second");
    let mut third = seawall.client();
    third.get("/third");
    let quitter = seawall.client();
    seawall.settle();
    assert!(door.is_left_alone());
    drop(quitter);
    client.send(close(1000, true));
    backend.close();
    backend.send(close(1000, false));
    client.close();
    assert_eq!(backend.ended(), Ended::Fin);
    assert!(door.is_left_alone(), "the backend has not closed yet");
    drop(backend);
    // The client has not closed yet, and that concerns nobody else.
    let mut backend = door.accept();
    assert_eq!(backend.head().target(), "/second");
    backend.switch();
    assert_eq!(second.head().status(), 101);
    assert!(door.is_left_alone());
}

#[test]
fn an_upgrade_whose_client_leaves_the_queue_is_never_sent() {
    for leave in Leave::BOTH {
        let (seawall, client, backend, door) = open_at("/chat", "max_concurrency = 1");
        let mut quitter = seawall.client();
        quitter.get_with("/quits", "Connection: upgrade\r\nUpgrade: websocket\r\n");
        seawall.settle();
        quitter.leave(leave);
        assert_eq!(seawall.line_of("/quits")["ended"], "abandoned");
        drop((client, backend));
        seawall.line_of("/chat");
        assert!(door.is_left_alone());
    }
}

#[test]
fn an_upgrade_waits_for_a_backend_that_is_away() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "");
    let mut client = End::connect(seawall.address);
    client.ask("/chat");
    seawall.wait_for_diagnostic("the backend is away: holding requests");
    let door = Door::over(site.listen());
    // The tries that found somebody, before one that stays.
    let mut backend = door.accept();
    backend.head();
    backend.switch();
    assert_eq!(client.head().status(), 101);
    client.send(frame(0x81, b"hello", true));
    assert_eq!(backend.frame().payload, b"hello");
}

#[test]
fn an_upgrade_counts_for_its_client() {
    let (seawall, _client, _backend, door) = open_at("/chat", "[client]\nexchanges = 1");
    let mut second = seawall.client();
    second.get_with("/second", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(second.answer().status(), 429);
    assert!(door.is_left_alone());
}

#[test]
fn half_closes_pass_where_the_protocol_is_not_known() {
    let (seawall, mut client, mut backend) = open_raw();
    client.send("request").half_close();
    assert_eq!(backend.read(7), b"request");
    assert_eq!(backend.ended(), Ended::Fin);
    backend.send("answer");
    assert_eq!(client.read(6), b"answer");
    assert!(client.hears_nothing());
    backend.half_close();
    assert_eq!(client.ended(), Ended::Fin);
    drop((client, backend));
    assert_eq!(seawall.line_of("/pipe")["ended"], "delivered");
}

#[test]
fn a_backend_may_half_close_too() {
    let (seawall, mut client, mut backend) = open_raw();
    backend.send("last words").half_close();
    assert_eq!(client.read(10), b"last words");
    assert_eq!(client.ended(), Ended::Fin);
    client.send("mine").half_close();
    assert_eq!(backend.read(4), b"mine");
    assert_eq!(backend.ended(), Ended::Fin);
    assert_eq!(seawall.line_of("/pipe")["ended"], "delivered");
}

#[test]
fn a_reset_by_the_client_is_a_fin_for_the_backend() {
    let (seawall, client, mut backend) = open_raw();
    client.reset();
    assert_eq!(backend.ended(), Ended::Fin);
    // It may say all that it has to say.
    backend.send(pattern(300_000)).half_close();
    let line = seawall.line_of("/pipe");
    assert_eq!(
        (&line["ended"], &line["left"]),
        (&"discarded".into(), &"answering".into()),
        "{line}"
    );
    assert_eq!(line["discarded_bytes"], 300_000, "{line}");
}

#[test]
fn a_reset_by_the_backend_does_not_look_like_the_end_to_the_client() {
    let (seawall, mut client, mut backend) = open_raw();
    backend.send("half a mess");
    assert_eq!(client.read(11), b"half a mess");
    backend.reset();
    assert_eq!(client.ended(), Ended::Reset);
    assert_eq!(seawall.line_of("/pipe")["ended"], "failed");
}

fn open(settings: &str) -> (Seawall, End, End) {
    let (seawall, client, backend, _) = open_at("/chat", settings);
    (seawall, client, backend)
}

fn open_at(target: &str, settings: &str) -> (Seawall, End, End, Door) {
    let door = Door::new();
    let seawall = door.seawall(settings);
    let (client, backend) = door.tunnel(&seawall, target);
    (seawall, client, backend, door)
}

fn open_raw() -> (Seawall, End, End) {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = End::connect(seawall.address);
    client.send("GET /pipe HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: pipe/1\r\n\r\n");
    let mut backend = door.accept();
    backend.head();
    backend
        .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: pipe/1\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    (seawall, client, backend)
}
