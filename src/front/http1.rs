//! HTTP/1 on a client connection: served by hyper as long as there is something to serve.
//!
//! Between requests hyper keeps its buffers, its room for a request, and all else that it has: of
//! thousands of connections that say nothing, that is most of what they take. So one that has said
//! nothing for a while is taken back from it and parked, and it is served anew once it speaks.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;

use super::{io::ClientIo, upgrade::Upgrade};
use crate::{
    connection::Connection,
    headers,
    proxy::Proxy,
    reply::Reply,
    tasks::{Draining, Tasks},
    visit::Carrier,
};

/// What each visit of a connection ends with.
struct Around<'a> {
    upgrade: Upgrade,
    tasks: &'a Tasks,
    connection: &'a Connection,
}

pin_project! {
    /// A visit, in the place that hyper has for it.
    struct Placed<'a, V> {
        #[pin]
        visit: V,
        // By one reference: with two it would be of the allocator's next size class, that of tasks, and leave holes
        // between those when it is given up.
        around: &'a Around<'a>,
        asks_for_upgrade: bool,
    }
}

/// Serves the connection until its end, or until it is to be parked, and gives it back then. Once
/// `draining` is over, it takes no further request.
pub(super) fn serve(
    io: Box<ClientIo>,
    connection: Arc<Connection>,
    proxy: &Proxy,
    draining: &mut Draining,
) -> impl Future<Output = Option<Box<ClientIo>>> {
    connection.rouse();
    // Here, since an `async fn` would hold it all twice.
    async move {
        let around =
            Around { upgrade: Upgrade::default(), tasks: proxy.tasks(), connection: &connection };
        let service = service_fn(|mut request: Request<Incoming>| {
            let is_asked = Upgrade::is_asked(&request);
            let last = !is_asked && headers::ends_connection(request.version(), request.headers());
            connection.begin(request.version(), request.body().is_end_stream(), last);
            if is_asked {
                around.upgrade.ask(&mut request, &connection);
            }
            // Not boxed: hyper has a place for it, which stays with an open connection, and one that is parked has no
            // hyper.
            let visit = proxy.visit(request, Carrier::Connection(connection.clone()));
            Placed { visit, around: &around, asks_for_upgrade: is_asked }
        });
        // A block: the builder would stay as long as the connection.
        let mut served = {
            let bounds = proxy.client_bounds();
            let max_head = usize::try_from(bounds.max_head).unwrap_or(usize::MAX);
            let mut builder = http1::Builder::new();
            if bounds.max_fields != FIELDS {
                // Told so, hyper would have no room for them ready.
                builder.max_headers(bounds.max_fields);
            }
            builder
                // hyper reads nothing while it serves, and holds no buffer for that. What a FIN means then is found
                // out below it, in `io::watch`.
                .half_close(true)
                // So is how long a head may take, in `io`.
                .header_read_timeout(None)
                .max_header_size(max_head)
                .max_buf_size(max_head.max(READ_BUFFER))
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades()
        };
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = Pin::new(&mut served).poll(cx) {
                    return Poll::Ready(Some(result));
                }
                if connection.is_draining() {
                    return Poll::Pending;
                }
                if Pin::new(&mut *draining).poll(cx).is_ready() {
                    connection.drain();
                    Pin::new(&mut served).graceful_shutdown();
                } else if connection.is_resting() {
                    return Poll::Ready(None);
                } else {
                    return Poll::Pending;
                }
            }
        });
        let Some(result) = ended.await else {
            let parts = served.into_parts()?;
            let mut io = parts.io.into_inner();
            tracing::debug!(client = %connection.name, "client connection parked");
            io.put_back(parts.read_buf);
            return Some(io);
        };
        drop(served);
        if let Err(error) = result {
            tracing::debug!(client = %connection.name, %error, "client connection ended");
        }
        if let Some(asked) = around.upgrade.asked() {
            // Boxed: few are.
            Box::pin(asked.hand_over(connection, proxy)).await;
        }
        None
    }
}

impl<V: Future<Output = Response<Reply>>> Future for Placed<'_, V> {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Around { upgrade, tasks, connection } = self.around;
        connection.working_set.visit.set(&*self);
        let this = self.project();
        let mut response = ready!(this.visit.poll(cx));
        connection.working_set.forget();
        if tasks.is_draining() && !is_tunnel(&response) {
            // While newcomers are still taken, whoever is here already learns that it is time to go
            // elsewhere, and no request crosses the end of its connection on the way.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if *this.asks_for_upgrade && !is_tunnel(&response) {
            upgrade.declined();
        }
        Poll::Ready(Ok(response))
    }
}

fn is_tunnel<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// hyper's read buffer grows to this for large bodies, and so much of an answer it takes ahead of its client.
const READ_BUFFER: usize = 128 * 1024;
/// Of a head, as hyper has it unless it is told.
const FIELDS: usize = 100;

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, UnixStream},
    };

    use super::*;
    use crate::{
        admission::room::Room,
        client::Hop,
        config::{self, Overrides},
        connection::WorkingSet,
        front::{Seat, Transport},
        headers::Scheme,
        observe::books::Books,
        prefetch::Extent,
        socket::Socket,
        tasks::Bell,
    };

    #[tokio::test]
    async fn a_connection_knows_its_working_set_as_long_as_it_waits() {
        let backend = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = backend.local_addr().expect("it is bound");
        let overrides = Overrides { backend: Some(format!("http://{at}")), ..Overrides::default() };
        let loaded = config::load(None, &overrides).expect("a configuration");
        let proxy = Proxy::new(&loaded.config, Tasks::default(), Books::unwritten());
        let (ours, mut client) = UnixStream::pair().expect("two sockets");
        let (connection, bounds) =
            proxy.connection(Hop { address: None, scheme: Scheme::Http }, None);
        let connection = Arc::new(connection);
        let seat = Seat { client: None, house: Room::new(1).enter().await };
        let transport = Transport::Plain(Socket::Unix(ours));
        let io = Box::new(ClientIo::new(transport, connection.clone(), bounds, seat));
        let bell = Arc::<Bell>::default();
        let mut draining = bell.draining();
        let mut served = pin!(serve(io, connection.clone(), &proxy, &mut draining));
        let working_set = &connection.working_set;
        let is_known = |extent: &Extent| extent.get() != (0, 0);
        let exchange = &working_set.exchange;

        let asks = async {
            client.write_all(b"GET / HTTP/1.1\r\nhost: site\r\n\r\n").await.expect("room");
            let (mut link, _) = backend.accept().await.expect("the exchange");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(link.read_buf(&mut request).await.expect("a request"), 0);
            }
            link
        };
        let mut link = tokio::select! {
            _ = &mut served => panic!("not at its end"),
            link = asks => link,
        };
        let WorkingSet { record, request, visit, reply, head, .. } = working_set;
        let before = [&exchange.running, &exchange.shared, record, request, visit];
        assert_eq!(before.map(is_known), [true; 5]);
        assert_eq!([reply, head].map(is_known), [false; 2]);

        let answers = async {
            link.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("room");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                assert_ne!(client.read_buf(&mut answer).await.expect("an answer"), 0);
            }
        };
        tokio::select! {
            _ = &mut served => panic!("not at its end"),
            () = answers => {}
        }
        assert_eq!([&exchange.running, reply, head].map(is_known), [false, true, true]);
    }
}
