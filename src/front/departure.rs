//! Half-closed or gone? A FIN alone does not tell.
//!
//! A client that only shut its sending side wants its answer. To one that has closed, any byte
//! we send is answered by its kernel with a reset. `100 Continue` is a byte that every HTTP/1.1
//! client skips while it waits for its answer (RFC 9110, section 15.2.1).

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncWrite as _, Interest},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep, sleep_until},
};

use super::transport::Transport;
use crate::{admission::room::Ticket, socket::Socket};

const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// When to ask again: a client can half-close first and leave later. And where a relay stands between, such
/// as that of a container's published port, the first question is answered by a reset to the relay, the second
/// makes it close, and only the third is answered to us. No more often, since there are clients that bear
/// only five interim responses.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(10), LATER];
const LATER: Duration = Duration::from_secs(60);

/// Once an answer has begun, nothing can be put before it. The kernel asks then: a client that has
/// closed is forgotten by its own kernel after `tcp_fin_timeout` (60 s), and answers by a reset.
const PROBE: Duration = Duration::from_secs(5);

/// Waits for the end of a client that has sent a FIN.
pub(super) struct Departure {
    /// None as long as there is no descriptor for it: when thousands leave at once, there are few. It takes
    /// up the room of one more connection, so that those to the backends are never short of one.
    end: Option<(End, Ticket)>,
    asked: usize,
    again: Pin<Box<Sleep>>,
}

type End = Pin<Box<dyn Future<Output = io::Error> + Send>>;

impl Departure {
    pub(super) fn new() -> Self {
        Self { end: None, asked: 0, again: Box::pin(sleep_until(Instant::now())) }
    }

    /// Ready when the client is gone. Asks it while `may_ask`: no byte of the answer is out yet.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        house: &Ticket,
        may_ask: bool,
    ) -> Poll<io::Error> {
        // A Unix socket tells by itself.
        let may_ask = may_ask && !transport.socket().is_unix();
        loop {
            let asks = may_ask && self.asked <= AGAIN.len();
            if !(asks || self.end.is_none()) || self.again.as_mut().poll(cx).is_pending() {
                break;
            }
            if self.end.is_none() {
                let room = house.another();
                self.end = room.and_then(|room| Some((end_of(transport).ok()?, room)));
            }
            if asks && let Some(error) = ask(cx, transport) {
                return Poll::Ready(error);
            }
            let wait = AGAIN.get(self.asked).unwrap_or(&LATER);
            self.again.as_mut().reset(Instant::now() + *wait);
            self.asked += 1;
        }
        match &mut self.end {
            Some((end, _)) => end.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Why nothing can be said to the client any more, where that shows.
fn ask(cx: &mut Context<'_>, transport: &mut Transport) -> Option<io::Error> {
    // Nothing has gone out since the last answer, so there is room for these few bytes; a part of them must
    // never stand before an answer.
    match Pin::new(transport).poll_write(cx, QUESTION) {
        Poll::Ready(Ok(written)) if written == QUESTION.len() => None,
        Poll::Ready(Ok(_)) => Some(io::ErrorKind::WriteZero.into()),
        Poll::Pending => None,
        Poll::Ready(Err(error)) => Some(error),
    }
}

/// The socket itself is polled for what is to be read, and its readiness says "closed" from now on; a second descriptor of
/// the same socket waits for the end alone.
fn end_of(transport: &Transport) -> io::Result<End> {
    Ok(match transport.socket() {
        Socket::Tcp(stream) => {
            // First, since it needs no descriptor.
            let probes = TcpKeepalive::new().with_time(PROBE).with_interval(PROBE);
            SockRef::from(stream).set_tcp_keepalive(&probes)?;
            let socket: OwnedFd = stream.as_fd().try_clone_to_owned()?;
            let socket = TcpStream::from_std(socket.into())?;
            Box::pin(reset(socket))
        }
        Socket::Unix(stream) => {
            let socket: OwnedFd = stream.as_fd().try_clone_to_owned()?;
            Box::pin(hangup(UnixStream::from_std(socket.into())?))
        }
    })
}

/// A TCP client that is gone answers by this to whatever comes.
async fn reset(socket: TcpStream) -> io::Error {
    match socket.ready(Interest::ERROR).await {
        Ok(_) => io::ErrorKind::ConnectionReset.into(),
        Err(error) => error,
    }
}

/// Both ends are on this machine, so the kernel knows: to who has closed, nothing can be written
/// any more (`POLLHUP`), while one that has shut its sending side still reads (`POLLRDHUP`).
async fn hangup(socket: UnixStream) -> io::Error {
    loop {
        match socket.ready(Interest::WRITABLE).await {
            Ok(ready) if ready.is_write_closed() => return io::ErrorKind::BrokenPipe.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
        // Writable it nearly always is. Told that it is not, tokio waits for the next event.
        let _ =
            socket.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}
