//! Dialling: what a name stands for is known by then.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future as _, Ready, poll_fn, ready},
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tower::{Service, ServiceExt as _};

use crate::{config::Url, socket::Socket};

#[derive(Debug)]
pub(super) struct Dialler {
    connector: HttpConnector<Known>,
    url: Url,
    way: Way,
    /// How long the quickest connection so far has taken, in microseconds: there and back. Zero before the first.
    quickest: AtomicU32,
}

/// How far a server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On this machine, at whatever address.
    Loopback,
    /// At one address, elsewhere.
    One,
    /// At several, of which another may answer where one does not; or not known.
    Several,
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
        Self { connector, url: url.clone(), way: Way::of(url, ways), quickest: AtomicU32::new(0) }
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
        let mut patience = self.patience();
        let stream = loop {
            let began = Instant::now();
            let mut dialled = pin!(self.connector.clone().oneshot(url.clone()));
            let mut come = timeout(patience, &mut dialled).await.ok();
            if come.is_none() {
                // Where this process was stopped meanwhile, the connection may be there, and nobody has been told so.
                yield_now().await;
                come = match poll_fn(|cx| Poll::Ready(dialled.as_mut().poll(cx))).await {
                    Poll::Ready(come) => Some(come),
                    Poll::Pending => None,
                };
            }
            match come {
                Some(Ok(stream)) => {
                    self.took(began.elapsed());
                    break stream.into_inner();
                }
                Some(Err(error)) => match NoConnection::of(error.into()) {
                    // Ours, which says nothing of the backend. One may come free.
                    NoConnection::Unreachable(error) if is_lack(&*error) => sleep(AGAIN).await,
                    error => return Err(error),
                },
                // What is no connection yet is none for the server either, and dropped here.
                None => patience = self.longer(patience),
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

impl Dialler {
    /// How long an answer takes at most where there is room in the server's queue. Linux says nothing where that is full,
    /// as it soon is where only five have room (Python's `socketserver`), and asks again after a second, then two.
    fn patience(&self) -> Duration {
        let quickest = Duration::from_micros(self.quickest.load(Relaxed).into());
        match self.way {
            Way::Loopback => AGAIN,
            Way::One if !quickest.is_zero() => (quickest * LATE).max(AGAIN),
            Way::One | Way::Several => Duration::MAX,
        }
    }

    /// The next time. Over loopback it stays as likely that the queue is full; elsewhere the way may have become longer.
    fn longer(&self, patience: Duration) -> Duration {
        let longer = patience.saturating_mul(2);
        if self.way == Way::Loopback { longer.min(OFTEN) } else { longer }
    }

    fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
        let quicker = |before| (before == 0 || micros < before).then_some(micros);
        // An error is one that was quicker.
        let _ = self.quickest.fetch_update(Relaxed, Relaxed, quicker);
    }
}

impl Way {
    fn of(url: &Url, ways: &[SocketAddr]) -> Self {
        let host = match url {
            Url::Tcp(url) => url.host().unwrap_or_default().trim_matches(['[', ']']),
            Url::Unix(_) => return Self::One,
        };
        // An address is no name, and stands for nothing else.
        let addresses = ways.iter().map(SocketAddr::ip).chain(host.parse());
        let is_near: Vec<_> = addresses.map(|address: IpAddr| address.is_loopback()).collect();
        match &is_near[..] {
            [] => Self::Several,
            all if all.iter().all(|is_near| *is_near) => Self::Loopback,
            [_] => Self::One,
            _ => Self::Several,
        }
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

/// How long until a socket whose queue is full is tried again.
const AGAIN: Duration = Duration::from_millis(10);
/// How often at least, where it stays so, and an answer would take no time.
const OFTEN: Duration = Duration::from_millis(200);
/// What takes so many times as long as the quickest has taken is no answer on its way any more.
const LATE: u32 = 8;

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
    async fn a_full_queue_is_asked_again_before_the_kernel_would() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("listening");
        let address = listener.local_addr().expect("an address").as_socket().expect("of TCP");
        let connect = || std::net::TcpStream::connect_timeout(&address, AGAIN * 5);
        let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
        let url = Url::Tcp(format!("http://{address}").parse().expect("a URL"));
        let way = Dialler::new(&url, &[], Duration::from_secs(5));
        let began = Instant::now();
        let (dialled, ()) = tokio::join!(way.dial(Duration::from_secs(5)), async {
            sleep(AGAIN * 5).await;
            for _ in &waiting {
                drop(listener.accept().expect("one who waits"));
            }
        });
        dialled.expect("a connection");
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    }

    #[test]
    fn only_where_an_answer_would_have_come_is_the_queue_full() {
        let patience = |url: &str, ways: &[&str], took: &[u64]| {
            let ways: Vec<_> = ways.iter().map(|way| way.parse().expect("an address")).collect();
            let url = Url::Tcp(url.parse().expect("a URL"));
            let dialler = Dialler::new(&url, &ways, Duration::from_secs(5));
            for millis in took {
                dialler.took(Duration::from_millis(*millis));
            }
            dialler.patience()
        };
        assert_eq!(patience("http://127.0.0.1:1", &[], &[]), AGAIN);
        assert_eq!(patience("http://[::1]:1", &[], &[100]), AGAIN);
        assert_eq!(patience("http://localhost:1", &["[::1]:1", "127.0.0.1:1"], &[]), AGAIN);
        // How far it is shows with the first connection.
        assert_eq!(patience("http://10.0.0.1:1", &[], &[]), Duration::MAX);
        assert_eq!(
            patience("http://web:1", &["10.0.0.1:1"], &[90, 20, 40]),
            Duration::from_millis(160)
        );
        assert_eq!(patience("http://web:1", &["10.0.0.1:1"], &[0]), AGAIN);
        // The other one may answer.
        assert_eq!(patience("http://web:1", &["10.0.0.1:1", "127.0.0.1:1"], &[1]), Duration::MAX);
        assert_eq!(patience("http://web:1", &[], &[1]), Duration::MAX);
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
