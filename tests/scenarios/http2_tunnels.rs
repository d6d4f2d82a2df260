//! WebSocket over HTTP/2 (RFC 8441): one stream is one end of a tunnel, and its siblings are requests as
//! ever.

use h2::{Reason, ext::Protocol};
use http::{Method, Request};
use tungstenite::handshake::derive_accept_key;

use crate::harness::http2::{Http2Stream, uri};
use crate::harness::tunnel::{Door, End, Ended, close, frame};
use crate::harness::{Http2, Leave, Seawall, assert_same_bytes, pattern};

#[test]
fn a_stream_becomes_a_websocket_whose_frames_pass_untouched() {
    let (seawall, mut client, mut stream, mut backend) = open("/chat");
    let (head, mut body) = stream.head();
    assert_eq!(head.status, 200);
    for name in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    assert_eq!(head.headers["sec-websocket-protocol"], "chat");
    let up = [frame(0x81, b"a word", true), frame(0x82, &pattern(300_000), true)].concat();
    stream.send(&up, false);
    assert_same_bytes(&backend.read(up.len()), &up);
    let down = frame(0x82, &pattern(400_000), false);
    let sent = down.clone();
    let sender = std::thread::spawn(move || {
        backend.send(sent);
        backend
    });
    let mut got = Vec::new();
    while got.len() < down.len() {
        got.extend(stream.piece(&mut body).expect("more"));
    }
    assert_same_bytes(&got, &down);
    let mut backend = sender.join().unwrap();

    stream.send(&close(1000, true), true);
    assert_eq!(backend.close(), 1000);
    backend.send(close(1000, false));
    assert_eq!(stream.piece(&mut body).expect("a Close"), close(1000, false));
    assert_eq!(stream.piece(&mut body), None);
    assert_eq!(backend.ended(), Ended::Fin);
    drop((stream, body, backend));
    let line = seawall.line_of("/chat");
    assert_eq!((&line["ended"], &line["status"]), (&"delivered".into(), &200.into()), "{line}");
    client.ping();
}

#[test]
fn a_stream_that_is_reset_is_a_close_for_the_backend_and_its_siblings_go_on() {
    let (seawall, mut client, mut stream, mut backend) = open("/chat");
    let (_, body) = stream.head();
    stream.send(&frame(0x81, b"a word", true), false);
    backend.read(frame(0x81, b"a word", true).len());
    stream.reset(Reason::CANCEL);
    drop(body);
    assert_eq!(backend.close(), 1001);
    client.ping();
    backend.send(close(1001, false));
    assert_eq!(backend.ended(), Ended::Fin);
    drop(backend);
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"discarded".into(), &"client reset the tunnel".into())
    );
}

#[test]
fn a_connection_that_goes_is_a_close_for_the_backend() {
    let (seawall, client, mut stream, mut backend) = open("/chat");
    let (_, body) = stream.head();
    client.leave(Leave::Reset);
    drop((stream, body));
    assert_eq!(backend.close(), 1001);
    backend.send(close(1001, false));
    assert_eq!(backend.ended(), Ended::Fin);
    drop(backend);
    assert_eq!(seawall.line_of("/chat")["ended"], "discarded");
}

#[test]
fn a_backend_that_declines_does_not_look_like_a_tunnel() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = Http2::connect(seawall.address);
    for (status, seen) in [("200 OK", 502), ("403 Forbidden", 403)] {
        let stream = ask(&mut client, "/declined", "websocket");
        let mut backend = door.accept();
        backend.head();
        backend.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
        let answer = stream.answer();
        assert_eq!((answer.status(), answer.text()), (seen, "no".into()));
        seawall.wait_for_log(|line| line["status"] == seen);
    }
}

#[test]
fn other_protocols_are_not_tunnelled() {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = Http2::connect(seawall.address);
    assert_eq!(ask(&mut client, "/udp", "connect-udp").answer().status(), 501);
    assert!(door.is_left_alone());
}

/// A tunnel over one stream of a connection.
fn open(target: &str) -> (Seawall, Http2, Http2Stream, End) {
    let door = Door::new();
    let seawall = door.seawall("");
    let mut client = Http2::connect(seawall.address);
    let stream = ask(&mut client, target, "websocket");
    let mut backend = door.accept();
    let head = backend.head();
    assert_eq!(head.start, format!("GET {target} HTTP/1.1"));
    assert_eq!((head.field("upgrade"), head.field("host")), (Some("websocket"), Some("app.test")));
    let key = head.field("sec-websocket-key").expect("a key");
    let accept = derive_accept_key(key.as_bytes());
    backend.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    ));
    (seawall, client, stream, backend)
}

fn ask(client: &mut Http2, target: &str, protocol: &'static str) -> Http2Stream {
    // The server's settings have to be there first.
    client.ping();
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(uri(target))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat");
    client.request(request.body(()).unwrap(), false)
}
