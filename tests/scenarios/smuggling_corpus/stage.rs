//! seawall before a backend that writes down every byte, and what must become of what is sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::{Client, Head, Seawall};

/// What a smuggler hides behind, or in, another request.
pub(super) const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Reads whatever comes and answers each request, by the length that it states and by nothing else.
struct Recorder {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let written = bytes.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let written = written.clone();
                thread::spawn(move || record(stream, &written));
            }
        });
        Self { address, bytes }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes.lock().unwrap())
    }
}

fn record(mut stream: TcpStream, written: &Mutex<Vec<u8>>) -> Option<()> {
    let (mut open, mut piece) = (Vec::new(), vec![0; 65_536]);
    loop {
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        written.lock().unwrap().extend_from_slice(&piece[..length]);
        open.extend_from_slice(&piece[..length]);
        while let Some(length) = whole(&open) {
            open.drain(..length);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved").ok()?;
        }
    }
}

/// Bytes of the first request, where it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let end = end + length.map_or(0, |length| length.trim().parse().unwrap());
    (end <= bytes.len()).then_some(end)
}

/// seawall before a recorder.
pub(super) struct Stage {
    recorder: Recorder,
    seawall: Seawall,
}

/// What must become of a shape.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// An error, and not a byte at the backend; nor is anything that follows a request.
    Refused,
    /// One request with this body, and nothing that follows is one.
    OneAndEnd(&'static str),
    /// It is in order: one request with this body, and what follows is the next.
    InOrder(&'static str),
}

impl Stage {
    pub(super) fn set() -> Self {
        let recorder = Recorder::start();
        let seawall = Seawall::start(&format!(
            "listen = \"127.0.0.1:0\"\nbackend = \"http://{}\"\n[client]\nlinger = \"50ms\"",
            recorder.address
        ));
        Self { recorder, seawall }
    }

    /// Sends the shapes over one connection, and a hidden request behind them.
    #[track_caller]
    pub(super) fn must_come_to(&self, shapes: &[(&str, Fate)]) {
        let sent: String = shapes.iter().map(|(shape, _)| *shape).collect();
        let (requests, answers) = self.play(&sent);
        let mut bodies = Vec::new();
        let mut goes_on = true;
        for (_, fate) in shapes {
            match fate {
                Fate::Refused => goes_on = false,
                Fate::OneAndEnd(body) => {
                    bodies.push(body.as_bytes());
                    goes_on = false;
                }
                Fate::InOrder(body) => bodies.push(body.as_bytes()),
            }
        }
        if goes_on {
            bodies.push(b"");
        }
        let got: Vec<_> = requests.iter().map(|(_, body)| &body[..]).collect();
        assert_eq!(got, bodies, "{sent:?} was answered {answers:?} and became {requests:#?}");
        let is_last_refused = matches!(shapes.last(), Some((_, Fate::Refused)));
        let refused =
            answers.iter().filter(|status| matches!(status, 400..=499 | 501 | 505)).count();
        assert_eq!(refused, usize::from(is_last_refused), "{sent:?}: {answers:?}");
        assert_eq!(answers.len(), bodies.len() + refused, "{sent:?}: {answers:?}");
        let hidden = requests.iter().filter(|(head, _)| head.target() == "/hidden").count();
        assert_eq!(hidden, usize::from(goes_on), "{sent:?}");
    }

    /// The requests that came of it, each read strictly, and the statuses that the client was told.
    #[track_caller]
    pub(super) fn play(&self, shape: &str) -> (Vec<(Head, Vec<u8>)>, Vec<u16>) {
        let mut client: Client = self.seawall.client();
        // Latin-1, so that a shape can have any byte.
        let bytes: Vec<u8> = format!("{shape}{HIDDEN}")
            .chars()
            .map(|char| u8::try_from(u32::from(char)).unwrap())
            .collect();
        client.try_send(bytes).half_close_quietly();
        let answers = statuses(&client.wait_closed());
        let mut bytes = self.recorder.take();
        let mut requests = Vec::new();
        while !bytes.is_empty() {
            let length = whole(&bytes).unwrap_or_else(|| {
                panic!("{shape:?} became what is no request: {:?}", String::from_utf8_lossy(&bytes))
            });
            let request: Vec<u8> = bytes.drain(..length).collect();
            let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            let head = Head::strictly(&request[..end])
                .unwrap_or_else(|mistake| panic!("{shape:?} became a raw oddity: {mistake}"));
            assert_in_form(shape, &head);
            requests.push((head, request[end..].to_vec()));
        }
        (requests, answers)
    }
}

#[track_caller]
fn assert_in_form(shape: &str, head: &Head) {
    let words: Vec<_> = head.start.split(' ').collect();
    assert!(
        head.start.is_ascii() && words.len() == 3 && words[2] == "HTTP/1.1",
        "{shape:?}: {head:?}"
    );
    assert!(words[1].starts_with('/') || words[1] == "*", "{shape:?}: {head:?}");
    assert!(head.request_framing().is_ok(), "{shape:?}: {head:?}");
    for never in
        ["transfer-encoding", "transfer_encoding", "content_length", "expect", "proxy", "te"]
    {
        assert!(head.all(never).is_empty(), "{shape:?}: {head:?}");
    }
}

/// Of all that are in there.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(at) = bytes.windows(9).position(|nine| nine.starts_with(b"HTTP/1.1 ")) {
        bytes = &bytes[at + 9..];
        // Also a refusal that speaks of HTTP/1.1 is no answer.
        let status: Option<u16> =
            bytes.get(..3).and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        statuses.extend(status.filter(|status| *status != 100));
    }
    statuses
}
