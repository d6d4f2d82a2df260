//! WebSocket as programs have it: a real client and a real server, with seawall between them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, WebSocket, WebSocketConfig};

use crate::harness::tunnel::{End, frame};
use crate::harness::{DEADLINE, Seawall, assert_same_bytes, pattern};

#[test]
fn messages_of_every_size_come_back() {
    let seawall = before(echo());
    let mut client = connect(&seawall);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
        client.send(Message::binary(pattern(size))).unwrap();
        let Message::Binary(back) = client.read().unwrap() else { panic!("no message") };
        assert_same_bytes(&back, &pattern(size));
    }
    client.send(Message::text("a word")).unwrap();
    assert_eq!(client.read().unwrap(), Message::text("a word"));
    client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() })).unwrap();
    let Message::Close(Some(back)) = client.read().unwrap() else { panic!("no Close") };
    assert_eq!((back.code, back.reason.as_str()), (CloseCode::Normal, "bye"));
    assert!(client.read().is_err());
    drop(client);
    assert_eq!(seawall.line_of("/socket")["ended"], "delivered");
}

#[test]
fn pings_are_answered_by_the_other_end() {
    let seawall = before(echo());
    let mut client = connect(&seawall);
    client.send(Message::Ping(vec![7; 125].into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong(vec![7; 125].into()));
}

#[test]
fn a_dribble_of_single_bytes_is_a_message_at_the_end() {
    let seawall = before(echo());
    let mut client = End::connect(seawall.address);
    client.ask("/socket");
    assert_eq!(client.head().status(), 101);
    let bytes =
        [frame(0x01, b"drop ", true), frame(0x89, b"!", true), frame(0x80, b"by drop", true)];
    for byte in bytes.concat() {
        client.send([byte]);
    }
    assert_eq!(client.frame().opcode, 10);
    assert_eq!(client.frame().payload, b"drop by drop");
}

#[test]
fn many_are_open_at_once() {
    let seawall = before(echo());
    let mut clients: Vec<_> = (0..30).map(|_| connect(&seawall)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(Message::text(number.to_string())).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate().rev() {
        assert_eq!(client.read().unwrap(), Message::text(number.to_string()));
    }
}

#[test]
fn a_client_that_reads_slowly_gets_it_all_and_costs_no_memory() {
    const PIECE: usize = 1 << 20;
    let address = serve(|mut socket| {
        for _ in 0..64 {
            socket.send(Message::binary(pattern(PIECE))).unwrap();
        }
        let _ = socket.close(None);
        while socket.read().is_ok() {}
    });
    let seawall = before(address);
    let mut client = connect(&seawall);
    seawall.settle();
    let before = seawall.memory("VmRSS");
    for _ in 0..64 {
        let Message::Binary(piece) = client.read().unwrap() else { panic!("no message") };
        assert_same_bytes(&piece, &pattern(PIECE));
    }
    let grown = seawall.memory("VmHWM").saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more");
}

#[test]
fn a_server_that_sees_its_client_leave_sees_a_going_away() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let address = serve(move |mut socket| tell.send(socket.read()).unwrap());
    let seawall = before(address);
    let mut client = connect(&seawall);
    let _ = client.get_mut().set_nonblocking(true);
    socket2::SockRef::from(&*client.get_mut()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    let seen = told.recv_timeout(DEADLINE).unwrap();
    let Ok(Message::Close(Some(close))) = seen else { panic!("{seen:?} instead of a Close") };
    assert_eq!(close.code, CloseCode::Away);
}

fn before(address: SocketAddr) -> Seawall {
    Seawall::start(&format!("listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://{address}\"\n"))
}

fn echo() -> SocketAddr {
    serve(|mut socket| {
        while let Ok(message) = socket.read() {
            if message.is_binary() || message.is_text() {
                socket.send(message).unwrap();
            }
        }
    })
}

/// A thread for each client, as long as the process lives.
fn serve(play: impl Fn(WebSocket<TcpStream>) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let play = play.clone();
            thread::spawn(move || {
                let socket = tungstenite::accept_with_config(socket.unwrap(), Some(unbounded()));
                play(socket.unwrap());
            });
        }
    });
    address
}

fn connect(seawall: &Seawall) -> WebSocket<TcpStream> {
    let socket = TcpStream::connect(seawall.address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let url = format!("ws://{}/socket", seawall.address);
    let (socket, answer) =
        tungstenite::client::client_with_config(url, socket, Some(unbounded())).unwrap();
    assert_eq!(answer.status(), 101);
    socket
}

fn unbounded() -> WebSocketConfig {
    WebSocketConfig::default().max_frame_size(None).max_message_size(None)
}
