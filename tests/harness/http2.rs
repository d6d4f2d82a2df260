//! Clients of HTTP/2: a well-behaved engine that can leave at any time, and one that writes frames by
//! hand.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, response};
use socket2::SockRef;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{DEADLINE, Leave};

/// A connection; its engine runs by itself.
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    pings: PingPong,
    /// Another descriptor of its socket.
    socket: TcpStream,
}

/// One request and its answer.
pub(crate) struct Http2Stream {
    runtime: tokio::runtime::Handle,
    response: ResponseFuture,
    body: SendStream<Bytes>,
}

/// An answer, or as much of it as there is.
#[derive(Debug)]
pub(crate) struct Http2Answer {
    pub(crate) head: response::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// One that shows that it is not whole.
#[derive(Debug)]
pub(crate) struct Http2Broken {
    pub(crate) got: Option<Box<Http2Answer>>,
    pub(crate) error: h2::Error,
}

impl Http2 {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        // Else answers that nobody reads at the moment would hold up all others.
        Self::with(to, Builder::new().initial_connection_window_size(1 << 26))
    }

    /// One that gives each stream so small a window, and no more until it reads.
    pub(crate) fn with_window(to: SocketAddr, window: u32) -> Self {
        Self::with(
            to,
            Builder::new().initial_window_size(window).initial_connection_window_size(1 << 26),
        )
    }

    pub(crate) fn with(to: SocketAddr, builder: &Builder) -> Self {
        let socket = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (requests, pings) = runtime.block_on(async {
            let io = tokio::net::TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
            let (requests, mut connection) = builder.handshake(io).await.unwrap();
            let pings = connection.ping_pong().unwrap();
            runtime.spawn(async move {
                let _ = connection.await;
            });
            (requests, pings)
        });
        Self { runtime, requests, pings, socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn get(&mut self, target: &str) -> Http2Stream {
        self.request(Request::get(uri(target)).body(()).unwrap(), true)
    }

    pub(crate) fn post(&mut self, target: &str, body: &[u8]) -> Http2Stream {
        let mut stream = self.request(Request::post(uri(target)).body(()).unwrap(), false);
        stream.send(body, true);
        stream
    }

    /// `ends` where there is no body to come.
    pub(crate) fn request(&mut self, request: Request<()>, ends: bool) -> Http2Stream {
        self.try_request(request, ends).unwrap()
    }

    pub(crate) fn try_request(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> Result<Http2Stream, h2::Error> {
        let ready = poll_fn(|cx| self.requests.poll_ready(cx));
        within(&self.runtime.handle().clone(), ready)?;
        let (response, body) = self.requests.send_request(request, ends)?;
        Ok(Http2Stream { runtime: self.runtime.handle().clone(), response, body })
    }

    /// Waits until the other side has read all that was sent before.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        within(self.runtime.handle(), self.pings.ping(Ping::opaque())).unwrap();
    }

    /// Waits until the other side ends the connection.
    #[track_caller]
    pub(crate) fn wait_closed(&mut self) {
        within(self.runtime.handle(), async {
            loop {
                if self.pings.ping(Ping::opaque()).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    /// The whole connection goes.
    pub(crate) fn leave(self, how: Leave) {
        if how == Leave::Reset {
            SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        // The engine is dropped without a word of farewell, and its socket with it.
        self.runtime.shutdown_timeout(DEADLINE);
    }
}

impl Http2Stream {
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8], ends: bool) -> &mut Self {
        self.body.send_data(Bytes::copy_from_slice(bytes), ends).unwrap();
        self
    }

    pub(crate) fn reset(mut self, reason: Reason) {
        self.body.send_reset(reason);
    }

    /// Waits for the reason for which the other side resets the stream.
    #[track_caller]
    pub(crate) fn wait_reset(&mut self) -> Reason {
        within(&self.runtime, poll_fn(|cx| self.body.poll_reset(cx))).unwrap()
    }

    /// The whole answer.
    #[track_caller]
    pub(crate) fn answer(self) -> Http2Answer {
        self.outcome().unwrap_or_else(|broken| panic!("the answer is not whole: {broken:?}"))
    }

    /// The next interim answer.
    #[track_caller]
    pub(crate) fn interim(&mut self) -> http::Response<()> {
        let next = poll_fn(|cx| self.response.poll_informational(cx));
        within(&self.runtime, next).expect("an interim answer").unwrap()
    }

    /// The head of it, and the way to its body.
    #[track_caller]
    pub(crate) fn head(&mut self) -> (response::Parts, RecvStream) {
        within(&self.runtime, &mut self.response).unwrap().into_parts()
    }

    /// The next piece of a body; nothing at its end.
    #[track_caller]
    pub(crate) fn piece(&self, body: &mut RecvStream) -> Option<Vec<u8>> {
        let filled = async {
            loop {
                match body.data().await.map(Result::unwrap) {
                    Some(piece) if piece.is_empty() => {}
                    piece => return piece,
                }
            }
        };
        let piece = within(&self.runtime, filled)?;
        let _ = body.flow_control().release_capacity(piece.len());
        Some(piece.to_vec())
    }

    #[track_caller]
    pub(crate) fn outcome(self) -> Result<Http2Answer, Http2Broken> {
        let Self { runtime, response, body: _body } = self;
        within(&runtime, async {
            let response = response.await.map_err(|error| Http2Broken { got: None, error })?;
            let (head, mut from) = response.into_parts();
            let mut answer = Http2Answer { head, body: Vec::new(), trailers: None };
            while let Some(piece) = from.data().await {
                match piece {
                    Ok(piece) => {
                        answer.body.extend_from_slice(&piece);
                        let _ = from.flow_control().release_capacity(piece.len());
                    }
                    Err(error) => return Err(Http2Broken { got: Some(Box::new(answer)), error }),
                }
            }
            match from.trailers().await {
                Ok(trailers) => answer.trailers = trailers,
                Err(error) => return Err(Http2Broken { got: Some(Box::new(answer)), error }),
            }
            Ok(answer)
        })
    }
}

impl Http2Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn uri(target: &str) -> String {
    format!("http://app.test{target}")
}

#[track_caller]
fn within<T>(runtime: &tokio::runtime::Handle, part: impl Future<Output = T>) -> T {
    let done = runtime.block_on(async { timeout(DEADLINE, part).await });
    done.unwrap_or_else(|_| panic!("nothing came within the deadline"))
}

/// Writes frames by hand, the forbidden ones too.
pub(crate) struct Frames {
    socket: TcpStream,
    next: u32,
}

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const REFUSED: [u8; 4] = [0, 0, 0, 7];
pub(crate) const CANCEL: [u8; 4] = [0, 0, 0, 8];
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

impl Frames {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::greeting(to, |socket| socket.write_all(PREFACE).unwrap())
    }

    /// One that sends the preface in its own way.
    pub(crate) fn greeting(to: SocketAddr, greet: impl FnOnce(&mut TcpStream)) -> Self {
        let mut socket = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        greet(&mut socket);
        let mut frames = Self { socket, next: 1 };
        frames.send(&frame(SETTINGS, 0, 0, &[])).unwrap();
        frames
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    pub(crate) fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.socket.write_all(frames)
    }

    /// Reads until such a frame comes; `None` where the connection ends before.
    pub(crate) fn wait(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The reason of the GOAWAY that ends the connection.
    #[track_caller]
    pub(crate) fn wait_goaway(&mut self) -> u32 {
        let frame = self.wait(GOAWAY).expect("closed without a GOAWAY");
        u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())
    }

    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.socket.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The whole request, without a body.
pub(crate) fn get(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block("GET", target))
}

/// A field block in which nothing depends on what came before (RFC 7541, section 6.2.2).
pub(crate) fn block(method: &str, target: &str) -> Vec<u8> {
    let fields =
        [(":method", method), (":scheme", "http"), (":authority", "app.test"), (":path", target)];
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127);
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}
