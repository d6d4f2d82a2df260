//! Whatever a client sends: nothing panics, and what comes to the backend is requests in the one form that
//! no two servers read differently, no more of them than the client is given answers.

#![no_main]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{LazyLock, Mutex},
    thread,
};

use libfuzzer_sys::fuzz_target;
use seawall::fuzzing::Front;

use self::message::{Framing, Head};

#[allow(dead_code, reason = "the scenes use more of it")]
#[path = "../../tests/harness/message.rs"]
mod message;

fuzz_target!(|bytes: &[u8]| {
    static FRONT: LazyLock<Front> = LazyLock::new(front);
    let answer = FRONT.answer(bytes).expect("sockets");
    let came = std::mem::take(&mut *CAME.lock().expect("no panic"));
    for head in &came {
        let read = Head::strictly(head).unwrap_or_else(|mistake| panic!("{mistake}: {}", text(head)));
        assert!(read.start.is_ascii() && read.start.ends_with(" HTTP/1.1"), "{}", text(head));
        assert!(read.start.split(' ').count() == 3, "{}", text(head));
        let framing = read.request_framing();
        assert!(matches!(framing, Ok(Framing::Nothing | Framing::Length(_))), "{}", text(head));
    }
    // Over HTTP/2 they cannot be counted so.
    if !bytes.starts_with(b"PRI ") {
        assert!(came.len() <= answers(&answer), "{} came, and the client has {}", came.len(), text(&answer));
    }
});

/// The heads that have come since the last look.
static CAME: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn front() -> Front {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Front::before(address).expect("a runtime")
}

/// Answers each request, by the length that it states and by nothing else. That it came is written down
/// before it is answered.
fn serve(mut stream: TcpStream) -> Option<()> {
    let (mut open, mut piece) = (Vec::new(), vec![0; 65_536]);
    loop {
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        open.extend_from_slice(&piece[..length]);
        while let Some(end) = open.windows(4).position(|four| four == b"\r\n\r\n") {
            let end = end + 4;
            let head = String::from_utf8_lossy(&open[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = end + length.map_or(0, |length| length.trim().parse().expect("a length"));
            if open.len() < whole {
                break;
            }
            // Methods are told apart by case (RFC 9110, 9.1): `hEAD` is not `HEAD`, and has a body.
            let body = if open.starts_with(b"HEAD ") { "" } else { "served" };
            CAME.lock().expect("no panic").push(open[..end].to_vec());
            open.drain(..whole);
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{body}").as_bytes()).ok()?;
        }
    }
}

/// At most: a refusal that quotes one is counted too.
fn answers(bytes: &[u8]) -> usize {
    let is_final = |nine: &&[u8]| {
        nine.starts_with(b"HTTP/1.") && nine[8] == b' ' && (b'2'..=b'9').contains(&nine[9])
    };
    bytes.windows(10).filter(is_final).count()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
