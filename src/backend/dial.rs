//! Dialling: what a name stands for is known by then.

use std::{
    future::{Future as _, poll_fn},
    io,
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    task::yield_now,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::names::{self, Ways};
use crate::{config::Url, socket::Socket};

#[derive(Debug)]
pub(super) struct Dialler {
    url: Url,
    /// Of an address, that one.
    ways: Ways,
    /// The url has a name, which stands for addresses.
    pub(super) is_by_name: bool,
    distance: Distance,
    /// How long the quickest connection so far has taken, in microseconds: there and back. Zero before the first.
    quickest: AtomicU32,
}

/// How far a server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distance {
    /// On this machine, at whatever address.
    Loopback,
    /// At one address, elsewhere.
    One,
    /// At several, of which another may answer where one does not; or not known.
    Several,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the name does not resolve: {0}")]
    Name(io::Error),
    #[error("connection refused")]
    Refused,
    #[error("no connection within backend.connect_timeout")]
    TimedOut,
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
}

impl Dialler {
    pub(super) fn new(url: &Url, ways: &[SocketAddr]) -> Self {
        let address = names::address(url);
        let is_by_name = names::name(url).is_some();
        let ways = address.map_or_else(|| ways.to_vec(), |address| vec![address]);
        let distance = Distance::of(url, &ways);
        Self { url: url.clone(), ways, is_by_name, distance, quickest: AtomicU32::new(0) }
    }

    /// Tries until then, each of several ways for its share of the time that is left.
    pub(super) async fn dial(&self, until: Instant) -> Result<Socket, NoConnection> {
        match &self.url {
            Url::Tcp(_) => self.dial_tcp(until).await,
            Url::Unix(path) => {
                let dialled = timeout_at(until, connect_unix(path)).await;
                dialled.unwrap_or(Err(NoConnection::TimedOut))
            }
        }
    }

    /// One way after the other: two connections at once, of which one stays silent, would block a one-thread
    /// server. Where none answers, what is wrong with the first says most.
    async fn dial_tcp(&self, until: Instant) -> Result<Socket, NoConnection> {
        let mut why = None;
        for (way, left) in self.ways.iter().zip((1..=self.ways.len()).rev()) {
            let now = Instant::now();
            let share = (until - now) / u32::try_from(left).unwrap_or(u32::MAX);
            match self.dial_one(*way, now + share).await {
                Ok(stream) => return Ok(Socket::Tcp(stream)),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| io::Error::other("no address is known").into()))
    }

    async fn dial_one(&self, way: SocketAddr, until: Instant) -> Result<TcpStream, NoConnection> {
        let mut patience = self.patience();
        loop {
            let began = Instant::now();
            let mut dialled = pin!(connect_to(way));
            let mut come = timeout(patience.min(until - began), &mut dialled).await.ok();
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
                    return Ok(stream);
                }
                Some(Err(error)) if !is_lack(&error) => return Err(error.into()),
                _ if Instant::now() >= until => return Err(NoConnection::TimedOut),
                // Ours, which says nothing of the backend. One may come free.
                Some(Err(_)) => sleep(AGAIN).await,
                // What is no connection yet is none for the server either, and dropped here.
                None => patience = self.longer(patience),
            }
        }
    }
}

impl Dialler {
    /// How long an answer takes at most where there is room in the server's queue. Linux says nothing where that is full,
    /// as it soon is where only five have room (Python's `socketserver`), and asks again after a second, then two.
    fn patience(&self) -> Duration {
        let quickest = Duration::from_micros(self.quickest.load(Relaxed).into());
        match self.distance {
            Distance::Loopback => AGAIN,
            Distance::One if !quickest.is_zero() => (quickest * LATE).max(AGAIN),
            Distance::One | Distance::Several => Duration::MAX,
        }
    }

    /// The next time. Over loopback it stays as likely that the queue is full; elsewhere the way may have become longer.
    fn longer(&self, patience: Duration) -> Duration {
        let longer = patience.saturating_mul(2);
        if self.distance == Distance::Loopback { longer.min(OFTEN) } else { longer }
    }

    fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX).max(1);
        let quicker = |before| (before == 0 || micros < before).then_some(micros);
        // An error is one that was quicker.
        let _ = self.quickest.fetch_update(Relaxed, Relaxed, quicker);
    }
}

impl Distance {
    fn of(url: &Url, ways: &[SocketAddr]) -> Self {
        let is_near = |way: &SocketAddr| way.ip().is_loopback();
        match (url, ways) {
            (Url::Unix(_), _) => Self::One,
            (_, []) => Self::Several,
            (_, all) if all.iter().all(is_near) => Self::Loopback,
            (_, [_]) => Self::One,
            _ => Self::Several,
        }
    }
}

async fn connect_to(way: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(way).await?;
    if is_its_own_peer(&stream, way) {
        // Reset, so that the port is free at once for whom it belongs to.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // Where it fails, there is nobody any more who could be kept waiting.
    let _ = stream.set_nodelay(true);
    Ok(stream)
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
                _ => return Err(error.into()),
            },
        }
    }
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Unreachable(error),
        }
    }
}

impl NoConnection {
    /// Is there nobody, as far as can be known from here?
    pub(super) fn is_nobody(&self) -> bool {
        match self {
            Self::Refused => true,
            Self::Unreachable(error) => error.kind() == io::ErrorKind::HostUnreachable,
            Self::Name(_) | Self::TimedOut => false,
        }
    }
}

/// Is there no descriptor left, for this process or for all?
fn is_lack(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|lack| code == Some(lack.raw_os_error()))
}

/// Where nobody listens at a port of this machine, and the system gives that very port to who
/// dials it, TCP connects the socket with itself. Who tries for long enough gets there.
fn is_its_own_peer(stream: &TcpStream, way: SocketAddr) -> bool {
    let Ok(own) = stream.local_addr() else { return false };
    // The peer's address, which for `0.0.0.0` is another one, is asked for only where the ports are the same.
    own.port() == way.port() && stream.peer_addr().is_ok_and(|peer| peer == own)
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

    fn to(url: &str, ways: &[&str]) -> Dialler {
        let ways: Vec<_> = ways.iter().map(|way| way.parse().expect("an address")).collect();
        let url = Url::Tcp(url.parse().expect("a URL"));
        Dialler::new(&url, &ways)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// Whoever else connects hears nothing, for as long as both are kept.
    fn full() -> (Socket, Vec<std::net::TcpStream>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("listening");
        let address = address_of(&listener);
        let connect = || std::net::TcpStream::connect_timeout(&address, AGAIN * 5);
        let waiting = std::iter::from_fn(|| connect().ok()).collect();
        (listener, waiting)
    }

    fn address_of(socket: &Socket) -> SocketAddr {
        socket.local_addr().expect("an address").as_socket().expect("of TCP")
    }

    #[tokio::test]
    async fn what_the_system_says_is_told() {
        // A broadcast address is not for TCP.
        let error = to("http://255.255.255.255:80", &[]).dial(soon()).await.expect_err("none");
        let told = error.to_string();
        assert!(told.starts_with("unreachable: ") && told.contains("os error"), "{told}");
    }

    #[tokio::test]
    async fn ways_are_tried_in_turn_and_of_none_the_first_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("an address").to_string();
        let broken = "255.255.255.255:80";
        to("http://two:80", &[broken, &open]).dial(soon()).await.expect("the second one");
        // Kept, so that nobody else is given the port.
        let closed = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        closed.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let closed = (address_of(&closed).to_string(), closed);
        let none = to("http://two:80", &[&closed.0, broken]).dial(soon()).await;
        assert!(matches!(none, Err(NoConnection::Refused)), "{none:?}");
        let none = to("http://none:80", &[]).dial(soon()).await;
        assert!(matches!(none, Err(NoConnection::Unreachable(_))), "{none:?}");
    }

    #[tokio::test]
    async fn a_silent_way_leaves_the_others_their_share() {
        let (silent, _waiting) = full();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("an address").to_string();
        let silent = address_of(&silent).to_string();
        for ways in [[&silent, &open], [&open, &silent]] {
            let (began, time) = (Instant::now(), AGAIN * 200);
            let ways = to("http://two:80", &ways.map(|way| &way[..]));
            let Ok(crate::socket::Socket::Tcp(stream)) = ways.dial(began + time).await else {
                panic!("no connection")
            };
            // Each is tried once even where no time is left.
            assert!(began.elapsed() < time * 3 / 4, "{:?}", began.elapsed());
            assert_eq!(stream.peer_addr().expect("a peer").to_string(), open);
        }
        let until = Instant::now() + AGAIN * 5;
        let none = to("http://two:80", &[&silent, "255.255.255.255:80"]).dial(until).await;
        assert!(matches!(none, Err(NoConnection::TimedOut)), "{none:?}");
    }

    #[tokio::test]
    async fn nothing_is_waited_for_where_time_is_up() {
        let (silent, _waiting) = full();
        let way = to(&format!("http://{}", address_of(&silent)), &[]);
        let before = Instant::now() - Duration::from_secs(1);
        let none = timeout(AGAIN * 10, way.dial(before)).await.expect("at once");
        assert!(matches!(none, Err(NoConnection::TimedOut)), "{none:?}");
    }

    #[tokio::test]
    async fn what_is_dialled_says_what_it_has_to_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let Ok(crate::socket::Socket::Tcp(stream)) = to(&url, &[]).dial(soon()).await else {
            panic!("no TCP")
        };
        assert!(stream.nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn a_full_queue_is_asked_again_before_the_kernel_would() {
        let (listener, waiting) = full();
        let way = to(&format!("http://{}", address_of(&listener)), &[]);
        let began = Instant::now();
        let (dialled, ()) = tokio::join!(way.dial(soon()), async {
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
            let dialler = to(url, ways);
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
        assert!(is_its_own_peer(&stream, stream.local_addr().expect("an address")));

        let listener = tokio::net::TcpListener::bind(any).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let another = TcpStream::connect(address).await.expect("another");
        assert!(!is_its_own_peer(&another, address));
    }
}
