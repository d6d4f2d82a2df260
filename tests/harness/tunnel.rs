//! The two ends of a tunnel, both played by the scene itself, byte by byte.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::message::Head;
use super::tls::Trust;
use super::wire::{Glance, Wire, glance};
use super::{DEADLINE, Seawall, until};

/// A backend whose connections are taken by the scene.
pub(crate) struct Door {
    listener: TcpListener,
}

/// One end of a tunnel, on either side.
pub(crate) struct End {
    wire: Wire,
}

/// A WebSocket frame, its payload unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

/// How the other side ended the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Fin,
    Reset,
}

impl Door {
    pub(crate) fn new() -> Self {
        Self::over(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn over(listener: TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// seawall before it. The settings begin with keys of the backend's table.
    pub(crate) fn seawall(&self, settings: &str) -> Seawall {
        let address = self.address();
        Seawall::start(&format!(
            "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://{address}\"\n{settings}"
        ))
    }

    /// The same, with listeners of its own.
    pub(crate) fn seawall_listening(&self, listeners: &str) -> Seawall {
        let address = self.address();
        Seawall::start(&format!("backend = \"http://{address}\"\n{listeners}"))
    }

    /// The two ends of an open WebSocket.
    #[track_caller]
    pub(crate) fn tunnel(&self, seawall: &Seawall, target: &str) -> (End, End) {
        self.tunnel_of(End::connect(seawall.address), target)
    }

    #[track_caller]
    pub(crate) fn tunnel_of(&self, mut client: End, target: &str) -> (End, End) {
        client.ask(target);
        let mut backend = self.accept();
        assert_eq!(backend.head().target(), target);
        backend.switch();
        assert_eq!(client.head().status(), 101);
        (client, backend)
    }

    #[track_caller]
    pub(crate) fn accept(&self) -> End {
        let (socket, _) = until("somebody connects", || self.listener.accept().ok());
        socket.set_nonblocking(false).unwrap();
        End::over(socket)
    }

    /// Whether nobody has knocked so far.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.listener.accept().is_err()
    }
}

impl End {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn connect_tls(to: SocketAddr, trust: &Trust) -> Self {
        let mut end = Self::connect(to);
        end.wire.tls = Some(Box::new(trust.connection("localhost")));
        end
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { wire: Wire::new(socket) }
    }

    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        let raw = self.wire.head().unwrap().expect("closed instead of a head");
        Head::strictly(&raw).unwrap()
    }

    /// A request for a WebSocket.
    pub(crate) fn ask(&mut self, target: &str) -> &mut Self {
        self.ask_with(target, "")
    }

    /// The fields end in CRLF each.
    pub(crate) fn ask_with(&mut self, target: &str, fields: &str) -> &mut Self {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        ))
    }

    /// The answer to that.
    pub(crate) fn switch(&mut self) -> &mut Self {
        self.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.wire.write(bytes.as_ref()).unwrap();
        self
    }

    /// As much as the other side takes, until it takes no more.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.wire.socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        let mut idle = 0;
        while idle < 20 {
            match io::Write::write(&mut &*self.wire.socket, bytes) {
                Ok(count) => {
                    sent += count;
                    idle = 0;
                }
                Err(_) => {
                    idle += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        self.wire.socket.set_nonblocking(false).unwrap();
        sent
    }

    #[track_caller]
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.wire.exactly(count, &mut bytes);
        read.unwrap_or_else(|error| panic!("{error} after {} bytes: {bytes:?}", bytes.len()));
        bytes
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        let head = self.read(2);
        let len = match head[1] & 0x7f {
            126 => usize::from(u16::from_be_bytes(self.read(2).try_into().unwrap())),
            127 => usize::try_from(u64::from_be_bytes(self.read(8).try_into().unwrap())).unwrap(),
            len => usize::from(len),
        };
        let masked = head[1] & 0x80 != 0;
        let mask = if masked { self.read(4) } else { vec![0; 4] };
        let payload = self.read(len).iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
        Frame { opcode: head[0] & 0x0f, masked, payload }
    }

    /// The code of the Close that comes next.
    #[track_caller]
    pub(crate) fn close(&mut self) -> u16 {
        let frame = self.frame();
        assert_eq!(frame.opcode, 8, "{frame:?}");
        u16::from_be_bytes(frame.payload[..2].try_into().unwrap())
    }

    pub(crate) fn close_notify(&mut self) -> &mut Self {
        self.wire.close_notify().unwrap();
        self
    }

    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.wire.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    pub(crate) fn reset(self) {
        SockRef::from(&*self.wire.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits for the end, before which nothing more may come.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Ended {
        let mut more = Vec::new();
        let ended = match self.wire.until_end(&mut more) {
            Ok(()) => Ended::Fin,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ended::Reset,
            Err(error) => panic!("not ended: {error}, after {more:?}"),
        };
        assert!(more.is_empty(), "{more:?} before the end");
        ended
    }

    /// Whether the other side has said nothing so far.
    pub(crate) fn hears_nothing(&self) -> bool {
        glance(&self.wire.socket) == Glance::Silent
    }
}

/// A whole frame; masked as one from a client.
pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match (payload.len(), u16::try_from(payload.len())) {
        (len @ 0..126, _) => bytes.push(mask_bit + u8::try_from(len).unwrap()),
        (_, Ok(len)) => {
            bytes.push(mask_bit + 126);
            bytes.extend(len.to_be_bytes());
        }
        (len, Err(_)) => {
            bytes.push(mask_bit + 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = if masked { [0x37, 0xfa, 0x21, 0x3d] } else { [0; 4] };
    if masked {
        bytes.extend(mask);
    }
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

pub(crate) fn close(code: u16, masked: bool) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes(), masked)
}
