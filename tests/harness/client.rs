//! Rude clients, and patient ones to compare with.

use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use super::DEADLINE;
use super::message::{Framing, Head};
use super::tls::Trust;
use super::wire::{Glance, Wire, glance};

pub(crate) struct Client {
    wire: Wire,
    /// Takes next to nothing until it reads.
    narrow: bool,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Closes: the kernel says FIN, and RST to whatever still comes.
    Fin,
    /// Resets, as a killed browser or a NAT that has forgotten does.
    Reset,
}

impl Leave {
    pub(crate) const BOTH: [Self; 2] = [Self::Fin, Self::Reset];
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Statuses of the interim responses before it.
    pub(crate) interim: Vec<u16>,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer that shows that it is not whole.
#[derive(Clone)]
pub(crate) struct Broken {
    pub(crate) head: Option<Head>,
    pub(crate) body: Vec<u8>,
    /// `UnexpectedEof` for a FIN, `ConnectionReset` for a RST.
    pub(crate) how: io::ErrorKind,
}

impl fmt::Debug for Broken {
    /// Bodies are large.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head.as_ref().map(|head| &head.start);
        write!(to, "{:?} after {head:?} and {} bytes of its body", self.how, self.body.len())
    }
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
        Self::over(socket)
    }

    /// One whose kernel takes next to nothing until it begins to read.
    pub(crate) fn with_small_window(to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&to.into()).unwrap();
        Self { narrow: true, ..Self::over(socket) }
    }

    pub(crate) fn from_address(from: IpAddr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::over(socket)
    }

    /// Speaks TLS, to a server of this name.
    pub(crate) fn connect_tls(to: SocketAddr, trust: &Trust, name: &str) -> Self {
        Self::connect(to).encrypted(trust, name)
    }

    /// From now on.
    pub(crate) fn encrypted(mut self, trust: &Trust, name: &str) -> Self {
        self.wire.tls = Some(Box::new(trust.connection(name)));
        self
    }

    /// What has come of TLS.
    pub(crate) fn tls(&self) -> &ClientConnection {
        self.wire.tls.as_ref().unwrap()
    }

    pub(crate) fn connect_unix(to: &Path) -> Self {
        Self::over(UnixStream::connect(to).unwrap())
    }

    fn over(socket: impl Into<Socket>) -> Self {
        let socket: Socket = socket.into();
        // A Unix socket has no such thing.
        let _ = socket.set_tcp_nodelay(true);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { wire: Wire::new(socket), narrow: false }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.socket.local_addr().unwrap().as_socket().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.wire.write(bytes.as_ref()).unwrap();
        self
    }

    /// Sends as far as the other side takes it, which may have refused already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.wire.write(bytes.as_ref());
        self
    }

    pub(crate) fn get(&mut self, target: &str) -> &mut Self {
        self.get_with(target, "")
    }

    /// The fields end in CRLF each.
    pub(crate) fn get_with(&mut self, target: &str, fields: &str) -> &mut Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n"))
    }

    pub(crate) fn post(&mut self, target: &str, body: &[u8]) -> &mut Self {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\n\r\n"
        ))
        .send(body)
    }

    pub(crate) fn leave(mut self, how: Leave) {
        if how == Leave::Reset {
            self.wire.socket.set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            let _ = self.wire.close_notify();
            // First, since a close with unread bytes would say RST only.
            let _ = self.wire.socket.shutdown(Shutdown::Write);
        }
    }

    /// Has nothing more to say, and listens on (RFC 9112 section 9.6).
    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.wire.close_notify().unwrap();
        self.wire.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The same by TLS alone: no FIN.
    pub(crate) fn close_notify(&mut self) -> &mut Self {
        self.wire.close_notify().unwrap();
        self
    }

    /// Says FIN where TLS expects to hear that first.
    pub(crate) fn truncate(&mut self) -> &mut Self {
        self.wire.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// As `half_close`, where the other side may have closed already.
    pub(crate) fn half_close_quietly(&mut self) -> &mut Self {
        let _ = self.wire.socket.shutdown(Shutdown::Write);
        self
    }

    /// The whole answer to the last request.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.outcome().unwrap_or_else(|broken| panic!("the answer is not whole: {broken:?}"))
    }

    /// The same, where a bound of seawall's own has to pass before it comes.
    #[track_caller]
    pub(crate) fn answer_within(&mut self, patience: Duration) -> Answer {
        self.wire.socket.set_read_timeout(Some(patience)).unwrap();
        self.answer()
    }

    #[track_caller]
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.outcome_of("HEAD")
            .unwrap_or_else(|broken| panic!("the answer is not whole: {broken:?}"))
    }

    pub(crate) fn outcome(&mut self) -> Result<Answer, Broken> {
        self.outcome_of("GET")
    }

    #[track_caller]
    fn outcome_of(&mut self, method: &str) -> Result<Answer, Broken> {
        let (interim, head) = self.final_head().map_err(|error| {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "no answer within the deadline");
            Broken { head: None, body: Vec::new(), how: error.kind() }
        })?;
        let framing = head.answer_framing(method).unwrap();
        let mut body = Vec::new();
        match self.wire.body(framing, &mut body) {
            Ok(trailers) => Ok(Answer { interim, head, body, trailers }),
            Err(error) => {
                assert_ne!(
                    error.kind(),
                    io::ErrorKind::WouldBlock,
                    "got stuck after {} bytes of body",
                    body.len()
                );
                assert_ne!(error.kind(), io::ErrorKind::InvalidData, "malformed answer: {error}");
                Err(Broken { head: Some(head), body, how: error.kind() })
            }
        }
    }

    /// The head of the answer alone; its body is for `read` and `rest`.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.final_head().unwrap().1
    }

    /// The very next head, be it an interim one.
    #[track_caller]
    pub(crate) fn next_head(&mut self) -> Head {
        let raw = self.wire.head().unwrap().expect("closed instead of a head");
        Head::strictly(&raw).unwrap()
    }

    fn final_head(&mut self) -> io::Result<(Vec<u16>, Head)> {
        self.widen();
        let mut interim = Vec::new();
        loop {
            let raw = self.wire.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let head = Head::strictly(&raw)
                .unwrap_or_else(|mistake| panic!("malformed answer: {mistake}"));
            match head.status() {
                status @ 100..=199 => interim.push(status),
                _ => return Ok((interim, head)),
            }
        }
    }

    /// Megabytes through a window of a few bytes would take minutes.
    fn widen(&mut self) {
        if std::mem::take(&mut self.narrow) {
            self.wire.socket.set_recv_buffer_size(1 << 20).unwrap();
        }
    }

    /// Exactly so many bytes, as they are on the wire.
    #[track_caller]
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.wire
            .exactly(count, &mut bytes)
            .unwrap_or_else(|error| panic!("{error} after {:?}", bytes.len()));
        bytes
    }

    /// The next chunk of a chunked body.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.wire.chunk(&mut bytes).unwrap();
        bytes
    }

    /// What is left of a body whose head was read.
    pub(crate) fn rest(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.wire.body(framing, &mut bytes).map(|_| bytes)
    }

    /// Waits until the other side ends the connection, and returns what it said before.
    #[track_caller]
    pub(crate) fn wait_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.wire.until_end(&mut bytes) {
            let kind = error.kind();
            assert_eq!(
                kind,
                io::ErrorKind::ConnectionReset,
                "not closed; got {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
        bytes
    }

    /// Whether the other side's FIN is here by now, behind all that was read.
    pub(crate) fn has_heard_the_end(&self) -> bool {
        glance(&self.wire.socket) == Glance::Fin
    }

    /// Whether the other side has said nothing at all so far.
    pub(crate) fn hears_nothing(&self) -> bool {
        glance(&self.wire.socket) == Glance::Silent
    }
}
