//! However one end of a WebSocket ends, the other hears of it as the protocol has it: by a Close
//! between two frames, and never by a reset.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::tunnel::{Door, End, Ended, close, frame};
use crate::harness::{Authority, Seawall, pattern};

#[test]
fn a_client_that_disappears_is_a_close_for_the_backend() {
    for how in [Way::Fin, Way::Reset] {
        let (seawall, client, mut backend) = open("");
        how.leave(client);
        assert_eq!(backend.frame(), going_away(), "{how:?}");
        // It has things to say still, and closes in peace.
        backend.send(frame(0x82, &pattern(300_000), false)).send(close(1001, false));
        assert_eq!(backend.ended(), Ended::Fin, "{how:?}");
        drop(backend);
        let line = seawall.line_of("/chat");
        assert_eq!(
            (&line["ended"], &line["left"], &line["status"]),
            (&"discarded".into(), &"answering".into(), &101.into()),
            "{how:?}: {line}"
        );
        let why = match how {
            Way::Fin => "client closed the tunnel without a Close",
            Way::Reset => "client reset the tunnel",
        };
        assert_eq!(line["reason"], why);
    }
}

#[test]
fn a_client_that_disappears_between_the_fragments_of_a_message_is_a_close() {
    for how in [Way::Fin, Way::Reset] {
        let (_seawall, mut client, mut backend) = open("");
        client.send(frame(0x01, b"the first of", true));
        assert_eq!(backend.frame().payload, b"the first of");
        how.leave(client);
        assert_eq!(backend.frame(), going_away());
        backend.send(close(1001, false));
        assert_eq!(backend.ended(), Ended::Fin);
    }
}

#[test]
fn a_client_that_disappears_within_a_frame_is_a_fin_and_nothing_is_made_up() {
    for how in [Way::Fin, Way::Reset] {
        let whole = frame(0x82, &pattern(100_000), true);
        for part in [1, 3, 9, 50_000] {
            let (seawall, mut client, mut backend) = open("");
            client.send(frame(0x81, b"whole", true)).send(&whole[..part]);
            assert_eq!(backend.frame().payload, b"whole");
            assert!(backend.read(part) == whole[..part]);
            how.leave(client);
            assert_eq!(backend.ended(), Ended::Fin, "{how:?} after {part}");
            backend.send(pattern(300_000));
            drop(backend);
            assert_eq!(seawall.line_of("/chat")["ended"], "discarded");
        }
    }
}

#[test]
fn a_backend_that_never_closes_gets_a_fin_at_the_bound_and_is_cut_at_the_next() {
    let (seawall, client, mut backend) = open("[tunnel]\nclosing = \"200ms\"");
    client.reset();
    assert_eq!(backend.frame(), going_away());
    assert_eq!(backend.ended(), Ended::Fin);
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"cut".into(), &"tunnel.closing reached".into()),
        "{line}"
    );
}

#[test]
fn a_close_may_take_as_long_as_what_is_said_before_it() {
    let (seawall, mut client, mut backend) = open("[tunnel]\nclosing = \"1s\"");
    client.send(close(1000, true));
    assert_eq!(backend.close(), 1000);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        backend.send(frame(0x01, b"and another thing", false));
        assert_eq!(client.frame().payload, b"and another thing");
        thread::sleep(Duration::from_millis(50));
    }
    backend.send(close(1000, false));
    assert_eq!(client.close(), 1000);
    drop((client, backend));
    assert_eq!(seawall.line_of("/chat")["ended"], "delivered");
}

#[test]
fn a_client_that_disappears_is_an_orphan_until_the_backend_has_closed() {
    let door = Door::new();
    let seawall = door.seawall("[client]\norphans = 1");
    let (client, mut backend) = door.tunnel(&seawall, "/chat");
    // While it is there, it is none.
    drop(door.tunnel(&seawall, "/other"));
    seawall.line_of("/other");
    client.reset();
    assert_eq!(backend.close(), 1001);
    assert_eq!(seawall.client().get("/next").answer().status(), 429);
    backend.send(close(1001, false));
    drop(backend);
    seawall.line_of("/chat");
    let mut client = seawall.client();
    client.get("/next");
    let mut backend = door.accept();
    // An answer to what has not been asked yet would be none.
    assert_eq!(backend.head().target(), "/next");
    backend.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
}

#[test]
fn a_client_that_left_before_the_answer_leaves_no_tunnel_behind() {
    for how in [Way::Fin, Way::Reset] {
        let door = Door::new();
        let seawall = door.seawall("");
        let mut client = seawall.client();
        client.get_with("/chat", "Connection: upgrade\r\nUpgrade: websocket\r\n");
        let mut backend = door.accept();
        backend.head();
        seawall.leave(client, how.into());
        backend.switch();
        assert_eq!(backend.frame(), going_away(), "{how:?}");
        backend.send(close(1001, false));
        assert_eq!(backend.ended(), Ended::Fin);
        drop(backend);
        assert_eq!(seawall.line_of("/chat")["ended"], "discarded");
    }
}

#[test]
fn a_backend_that_dies_is_a_close_for_the_client() {
    for how in [Way::Fin, Way::Reset] {
        let (seawall, mut client, mut backend) = open("");
        backend.send(frame(0x01, b"the first of", false));
        assert_eq!(client.frame().payload, b"the first of");
        how.leave(backend);
        let last = client.frame();
        assert_eq!((last.opcode, last.masked, last.payload), (8, false, vec![0x03, 0xf4]));
        client.send(close(1012, true));
        assert_eq!(client.ended(), Ended::Fin, "{how:?}");
        drop(client);
        let line = seawall.line_of("/chat");
        assert_eq!((&line["ended"], &line["left"]), (&"failed".into(), &None::<u16>.into()));
        assert!(line["reason"].as_str().unwrap().contains("backend"), "{line}");
    }
}

#[test]
fn a_backend_that_dies_within_a_frame_is_a_fin() {
    let (_seawall, mut client, mut backend) = open("");
    let whole = frame(0x82, &pattern(1000), false);
    backend.send(&whole[..500]);
    assert!(client.read(500) == whole[..500]);
    backend.reset();
    assert_eq!(client.ended(), Ended::Fin);
}

#[test]
fn a_backend_that_closes_first_closes_in_order() {
    let (seawall, mut client, mut backend) = open("");
    backend.send(close(1000, false));
    assert_eq!(client.close(), 1000);
    client.send(close(1000, true));
    assert_eq!(backend.close(), 1000);
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    assert_eq!(seawall.line_of("/chat")["ended"], "delivered");
}

#[test]
fn a_client_that_disappears_while_it_is_told_to_close_answers_by_us() {
    for how in [Way::Fin, Way::Reset] {
        let (seawall, mut client, mut backend) = open("");
        backend.send(close(4000, false));
        assert_eq!(client.close(), 4000);
        how.leave(client);
        assert_eq!(backend.frame(), going_away(), "{how:?}");
        assert_eq!(backend.ended(), Ended::Fin);
        drop(backend);
        assert_eq!(seawall.line_of("/chat")["ended"], "discarded");
    }
}

#[test]
fn closes_that_cross_each_other_are_both_delivered() {
    let (seawall, mut client, mut backend) = open("");
    client.send(close(3001, true));
    backend.send(close(3002, false));
    assert_eq!((backend.close(), client.close()), (3001, 3002));
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    assert_eq!(seawall.line_of("/chat")["ended"], "delivered");
}

#[test]
fn a_client_that_says_close_and_is_gone_has_closed_in_order() {
    let (seawall, mut client, mut backend) = open("");
    client.send(close(1000, true));
    assert_eq!(backend.close(), 1000);
    client.reset();
    seawall.settle();
    backend.send(frame(0x81, b"one more thing", false)).send(close(1000, false));
    assert_eq!(backend.ended(), Ended::Fin);
    drop(backend);
    assert_eq!(seawall.line_of("/chat")["ended"], "delivered");
}

#[test]
fn silence_for_too_long_is_a_close_for_both() {
    let (seawall, mut client, mut backend) = open("[tunnel]\nidle = \"300ms\"");
    assert_eq!(backend.frame(), going_away());
    assert_eq!(client.close(), 1001);
    client.send(close(1001, true));
    backend.send(close(1001, false));
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!((&line["ended"], &line["reason"]), (&"cut".into(), &"tunnel.idle reached".into()));
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_let_go() {
    let (seawall, client, mut backend) = open("[client]\nwrite_stall = \"2s\"");
    let piece = frame(0x82, &pattern(100_000), false);
    let sent = backend.fill(&piece);
    // Memory is flat: what is on its way is in the kernel's buffers.
    assert!(sent < 40_000_000, "{sent}");
    assert_eq!(backend.frame(), going_away());
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"discarded".into(), &"client took no byte for client.write_stall".into()),
        "{line}"
    );
}

#[test]
fn over_tls_a_client_disappears_as_it_does_without() {
    let authority = Authority::new();
    let pair = authority.sign("site", &["localhost"]);
    for how in ["close_notify", "FIN", "RST"] {
        let door = Door::new();
        let seawall = door
            .seawall_listening(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {pair}\n"));
        let client = End::connect_tls(seawall.address, &authority.trust());
        let (mut client, mut backend) = door.tunnel_of(client, "/chat");
        client.send(frame(0x82, &pattern(100_000), true));
        assert_eq!(backend.frame().payload, pattern(100_000));
        backend.send(frame(0x82, &pattern(100_000), false));
        assert_eq!(client.frame().payload, pattern(100_000));
        match how {
            "close_notify" => drop(client.close_notify()),
            "FIN" => drop(client.half_close()),
            _ => client.reset(),
        }
        assert_eq!(backend.frame(), going_away(), "{how}");
        backend.send(close(1001, false));
        assert_eq!(backend.ended(), Ended::Fin, "{how}");
        drop(backend);
        assert_eq!(seawall.line_of("/chat")["ended"], "discarded", "{how}");
    }
}

#[test]
fn over_tls_a_client_that_takes_nothing_is_let_go_as_soon_as_without() {
    let authority = Authority::new();
    let pair = authority.sign("site", &["localhost"]);
    let door = Door::new();
    let seawall = door.seawall_listening(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {pair}\n[client]\nwrite_stall = \"300ms\""
    ));
    let client = End::connect_tls(seawall.address, &authority.trust());
    let (client, mut backend) = door.tunnel_of(client, "/chat");
    backend.fill(&frame(0x82, &pattern(100_000), false));
    assert_eq!(backend.frame(), going_away());
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!(line["reason"], "client took no byte for client.write_stall", "{line}");
}

#[test]
fn a_backend_that_takes_nothing_is_borne_until_the_bound_for_silence() {
    let (seawall, mut client, mut backend) =
        open("[tunnel]\nidle = \"300ms\"\nclosing = \"200ms\"");
    let sent = client.fill(&frame(0x82, &pattern(100_000), true));
    assert!(sent < 40_000_000, "{sent}");
    // It may still speak, and that does not make it one that listens.
    backend.send(frame(0x81, b"busy", false));
    assert_eq!(client.frame().payload, b"busy");
    assert_eq!(client.close(), 1001);
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!((&line["ended"], &line["reason"]), (&"cut".into(), &"tunnel.idle reached".into()));
}

#[test]
fn a_drain_closes_both_ends_and_waits_for_them() {
    let (mut seawall, mut client, mut backend) = open("");
    seawall.signal("TERM");
    assert_eq!(backend.frame(), going_away());
    assert_eq!(client.close(), 1001);
    assert!(seawall.is_running());
    client.send(frame(0x81, b"too late", true)).send(close(1001, true));
    backend.send(close(1001, false));
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    assert!(seawall.is_running());
    drop((client, backend));
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(seawall.line_of("/chat")["ended"], "cut");
}

#[test]
fn a_drain_waits_for_the_end_of_a_frame() {
    let (seawall, mut client, mut backend) = open("");
    let (up, down) = (frame(0x82, &pattern(1000), true), frame(0x82, &pattern(1000), false));
    client.send(&up[..600]);
    backend.send(&down[..600]);
    backend.read(600);
    client.read(600);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    let mut more_up = up[600..].to_vec();
    more_up.extend(&up[..500]);
    client.send(more_up);
    backend.send([&down[600..], &down].concat());
    assert!(backend.read(up.len() - 600) == up[600..]);
    assert!(client.read(down.len() - 600) == down[600..]);
    assert_eq!(backend.frame(), going_away());
    assert_eq!(client.close(), 1001);
}

#[test]
fn a_drain_is_bounded_for_those_who_do_not_close() {
    let (mut seawall, _client, _backend) = open("[drain]\ntimeout = \"300ms\"");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(3));
    assert_eq!(seawall.line_of("/chat")["ended"], "cut");
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Fin,
    Reset,
}

impl Way {
    fn leave(self, end: End) {
        match self {
            Self::Fin => drop(end),
            Self::Reset => end.reset(),
        }
    }
}

impl From<Way> for crate::harness::Leave {
    fn from(way: Way) -> Self {
        match way {
            Way::Fin => Self::Fin,
            Way::Reset => Self::Reset,
        }
    }
}

fn going_away() -> crate::harness::tunnel::Frame {
    crate::harness::tunnel::Frame { opcode: 8, masked: true, payload: vec![0x03, 0xe9] }
}

fn open(settings: &str) -> (Seawall, End, End) {
    let door = Door::new();
    let seawall = door.seawall(settings);
    let (client, backend) = door.tunnel(&seawall, "/chat");
    (seawall, client, backend)
}
