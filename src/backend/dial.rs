//! Dialling: what a name stands for is known by then.

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    path::Path,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    time::sleep,
};
use tower::{Service, ServiceExt as _};

use crate::{config::Url, socket::Socket};

#[derive(Debug)]
pub(super) struct Dialler {
    connector: HttpConnector<Known>,
    url: Url,
}

/// What the name stands for.
#[derive(Debug, Clone)]
struct Known(Vec<SocketAddr>);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the name does not resolve: {}", cause(.0.as_ref()))]
    Name(Box<dyn Error + Send + Sync>),
    #[error("connection refused")]
    Refused,
    #[error("no connection within backend.connect_timeout")]
    TimedOut,
    #[error("unreachable: {}", cause(.0.as_ref()))]
    Unreachable(Box<dyn Error + Send + Sync>),
}

impl Dialler {
    pub(super) fn new(url: &Url, ways: &[SocketAddr], connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Known(ways.to_vec()));
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        // One address after the other: two connections at once, of which one stays silent, would
        // block a one-thread server.
        connector.set_happy_eyeballs_timeout(None);
        Self { connector, url: url.clone() }
    }

    pub(super) async fn dial(&self, timeout: Duration) -> Result<Socket, NoConnection> {
        match tokio::time::timeout(timeout, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(NoConnection::TimedOut),
        }
    }

    async fn connect(&self) -> Result<Socket, NoConnection> {
        let url = match &self.url {
            Url::Tcp(url) => url.clone(),
            Url::Unix(path) => return connect_unix(path).await,
        };
        let stream = loop {
            match self.connector.clone().oneshot(url.clone()).await {
                Ok(stream) => break stream.into_inner(),
                Err(error) => match NoConnection::of(error.into()) {
                    // Ours, which says nothing of the backend. One may come free.
                    NoConnection::Unreachable(error) if is_lack(&*error) => sleep(AGAIN).await,
                    error => return Err(error),
                },
            }
        };
        if is_its_own_peer(&stream) {
            // Reset, so that the port is free at once for whom it belongs to.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return Err(NoConnection::Refused);
        }
        Ok(Socket::Tcp(stream))
    }
}

impl Service<Name> for Known {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// A file that is not there yet is a server that does not listen yet.
async fn connect_unix(path: &Path) -> Result<Socket, NoConnection> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Socket::Unix(stream)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    return Err(NoConnection::Refused);
                }
                // Its queue is full. TCP would wait; here nobody tells when there is room.
                io::ErrorKind::WouldBlock => sleep(AGAIN).await,
                _ if is_lack(&error) => sleep(AGAIN).await,
                _ => return Err(NoConnection::Unreachable(error.into())),
            },
        }
    }
}

impl NoConnection {
    fn of(error: Box<dyn Error + Send + Sync>) -> Self {
        match kind(&*error) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::TimedOut) => Self::TimedOut,
            _ => Self::Unreachable(error),
        }
    }

    /// Is there nobody, as far as can be known from here?
    pub(super) fn is_nobody(&self) -> bool {
        match self {
            Self::Refused => true,
            Self::Unreachable(error) => kind(&**error) == Some(io::ErrorKind::HostUnreachable),
            Self::Name(_) | Self::TimedOut => false,
        }
    }
}

fn kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    Some(of_system(error)?.kind())
}

/// Is there no descriptor left, for this process or for all?
fn is_lack(error: &(dyn Error + 'static)) -> bool {
    let code = of_system(error).and_then(io::Error::raw_os_error);
    [Errno::MFILE, Errno::NFILE].iter().any(|lack| code == Some(lack.raw_os_error()))
}

/// What the system says. The connector's error type is private; its sources are not.
fn of_system<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(error);
        }
        source = cause.source();
    }
    None
}

/// The last of its causes. The connector says no more than in which step it failed, and an operator is
/// not helped by that: it may be a route that is missing, or a descriptor.
fn cause(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Where nobody listens at a port of this machine, and the system gives that very port to who
/// dials it, TCP connects the socket with itself. Who tries for long enough gets there.
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

/// How long until a Unix socket whose queue is full is tried again.
const AGAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn what_the_system_says_is_told() {
        // A port that no connection can be made to: a broadcast address is not for TCP.
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let url = "http://255.255.255.255:80".parse().expect("a URL");
        let error = connector.oneshot(url).await.expect_err("no connection");
        let told = NoConnection::of(error.into()).to_string();
        assert!(told.starts_with("unreachable: ") && told.contains("os error"), "{told}");
    }

    #[tokio::test]
    async fn a_socket_that_met_itself_is_nobody_else() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a port");
        socket.connect(&socket.local_addr().expect("an address")).expect("itself");
        socket.set_nonblocking(true).expect("not blocking");
        let stream = TcpStream::from_std(socket.into()).expect("a stream");
        assert!(is_its_own_peer(&stream));

        let listener = tokio::net::TcpListener::bind(any).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        assert!(!is_its_own_peer(&TcpStream::connect(address).await.expect("another")));
    }
}
