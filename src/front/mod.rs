//! One client connection, from accept to close.

mod departure;
mod io;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc};

use http::Request;
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use self::io::ClientIo;
use crate::proxy::Proxy;

/// hyper's read buffer grows to this for large bodies.
const READ_BUFFER: usize = 400 * 1024;

/// Serves the connection until its end; once `draining` is over, it takes no further request.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    proxy: Proxy,
    draining: impl Future<Output = ()>,
) {
    // Small answers must not wait for acknowledgements; where the socket is gone already, the
    // first read will tell.
    let _ = stream.set_nodelay(true);
    let bounds = proxy.client_bounds();
    let connection = Arc::new(proxy.connection(peer));
    let max_head = usize::try_from(bounds.max_head).unwrap_or(usize::MAX);
    let io = ClientIo::new(stream, connection.clone(), bounds);
    let at_drain = connection.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        connection.begin(request.version(), request.body().is_end_stream());
        // Boxed: a kept connection without a request holds none of it.
        let visit = Box::pin(proxy.visit(request, Some(connection.clone())));
        async { Ok::<_, Infallible>(visit.await) }
    });
    let served = http1::Builder::new()
        // What a FIN means is found out below hyper, in `departure`.
        .half_close(false)
        // So is how long a head may take, in `io`.
        .header_read_timeout(None)
        .max_header_size(max_head)
        .max_buf_size(max_head.max(READ_BUFFER))
        .serve_connection(TokioIo::new(io), service);
    let mut served = pin!(served);
    tokio::select! {
        biased;
        // Cancel-safe: the connection goes on below.
        result = served.as_mut() => return told(peer, result),
        () = draining => {
            at_drain.drain();
            served.as_mut().graceful_shutdown();
        }
    }
    told(peer, served.await);
}

fn told(peer: SocketAddr, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "client connection ended");
    }
}
