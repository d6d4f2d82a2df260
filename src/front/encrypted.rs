//! TLS over a socket, which holds no memory for what may come.
//!
//! rustls' own buffered connection reads into 4 KiB that it keeps as long as it lives, and so does
//! each idle connection. Here all connections of a worker read into one room, and keep what is not
//! whole yet.

mod records;

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use rustls::{ServerConfig, server::UnbufferedServerConnection, unbuffered::ConnectionState};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Socket;

pub(crate) struct Encrypted {
    socket: Socket,
    tls: UnbufferedServerConnection,
    /// Has come, and is no whole record or message of a handshake yet. Bounded by `LONGEST`.
    partial: Vec<u8>,
    /// Decrypted, and not read by those above. Bounded by one read of the socket.
    plain: BytesMut,
    /// Encrypted, and not taken by the socket. Bounded by one write, since none follows before it is out.
    out: BytesMut,
    /// The client has said that it sends nothing more.
    is_ended: bool,
    /// We have said so.
    is_shut: bool,
}

/// What the connections of a worker share, none for longer than a call.
#[derive(Default)]
struct Room {
    records: Vec<u8>,
    /// Small pieces that go out as one record.
    gathered: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl Encrypted {
    /// Shakes hands.
    ///
    /// # Errors
    /// With a [`rustls::Error`] inside where the client is not to be understood, or not to be trusted.
    pub(crate) async fn accept(config: Arc<ServerConfig>, socket: Socket) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let (plain, out) = (BytesMut::new(), BytesMut::new());
        let partial = Vec::new();
        let mut this = Self { socket, tls, partial, plain, out, is_ended: false, is_shut: false };
        poll_fn(|cx| this.poll_shake(cx)).await?;
        Ok(this)
    }

    /// Below it.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What both sides will speak (RFC 7301).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    fn poll_shake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_out(cx))?;
            // What comes behind the handshake is kept for later.
            if !ready!(self.poll_in(cx, &mut ReadBuf::new(&mut [])))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_out(cx)
    }

    /// Takes in what one read of the socket brings, and hands it to `above` as far as it fits; false
    /// at the socket's end.
    fn poll_in(&mut self, cx: &mut Context<'_>, above: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        ROOM.with_borrow_mut(|room| {
            let before = self.partial.len();
            let records = with_room(&mut room.records, before + READ);
            let mut read = ReadBuf::new(&mut records[before..]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let came = read.filled().len();
            if came == 0 {
                return Poll::Ready(Ok(false));
            }
            records[..before].copy_from_slice(&self.partial);
            let came = &mut records[..before + came];
            let done = match self.take_in(came, above) {
                Ok(done) => done,
                Err(error) => {
                    // It was told why; whether it has heard of it is its own affair.
                    let _ = self.poll_out(cx);
                    return Poll::Ready(Err(invalid(error)));
                }
            };
            let rest = &came[done..];
            if rest.len() > LONGEST {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            match rest.is_empty() {
                // Else it would keep its memory.
                true => self.partial = Vec::new(),
                false => {
                    self.partial.clear();
                    self.partial.extend_from_slice(rest);
                }
            }
            Poll::Ready(Ok(true))
        })
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
            if self.out.is_empty() {
                // Else it would keep its memory.
                self.out = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        while buf.filled().len() == before && buf.remaining() > 0 {
            if !this.plain.is_empty() {
                let now = this.plain.len().min(buf.remaining());
                buf.put_slice(&this.plain[..now]);
                this.plain.advance(now);
                if this.plain.is_empty() {
                    // Else it would keep its memory.
                    this.plain = BytesMut::new();
                }
                break;
            }
            if this.is_ended {
                break;
            }
            if !ready!(this.poll_in(cx, buf))? {
                // Not announced: somebody may have cut it short (RFC 8446, section 6.1).
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // What TLS has to say by itself; if the socket takes nothing now, it goes out with the next write.
            if let Poll::Ready(sent) = this.poll_out(cx) {
                sent?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// What is encrypted counts as written: it cannot be taken back.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_out(cx))?;
        ROOM.with_borrow_mut(|room| {
            let (taken, filled) = this.encrypt_all(slices, room)?;
            let records = &room.records[..filled];
            let written = match records.is_empty() {
                true => 0,
                false => match Pin::new(&mut this.socket).poll_write(cx, records) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                },
            };
            this.out.extend_from_slice(&records[written..]);
            Poll::Ready(Ok(taken))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.is_shut, true) {
            let mut notify = [0; OVERHEAD];
            let state = this.tls.process_tls_records(&mut this.partial).state;
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
                && let Ok(len) = traffic.queue_close_notify(&mut notify)
            {
                this.out.extend_from_slice(&notify[..len]);
            }
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Grows only, so that hardly ever anything is filled with zeros.
fn with_room(room: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if room.len() < len {
        room.resize(len, 0);
    }
    &mut room[..len]
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Read at once: a record of the largest size, and the beginning of the next.
const READ: usize = 17 * 1024;
/// A message of a handshake may come in several records; rustls' own buffers end here, too.
const LONGEST: usize = 64 * 1024;
/// Of one record, with room to spare.
const OVERHEAD: usize = 64;
