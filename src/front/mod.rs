//! One client connection, from accept to close.

mod departure;
mod greeting;
mod http2;
mod io;
mod seldom;
mod transport;
mod upgrade;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, time::Instant};

pub(crate) use self::transport::Transport;
use self::{
    io::{ClientIo, log_refusal},
    seldom::Seldom,
    upgrade::Upgrade,
};
use crate::{
    admission::{per_client::ClientSeat, room::Ticket},
    client::Hop,
    connection::Connection,
    proxy::Proxy,
    refusal::Refusal,
    visit::Carrier,
};

/// hyper's read buffer grows to this for large bodies.
const READ_BUFFER: usize = 400 * 1024;
/// How long a connection that is refused may go on sending: many may come at once.
const BRIEFLY: Duration = Duration::from_millis(100);

/// Of a head, as hyper has it unless it is told.
const FIELDS: usize = 100;

/// A connection that can be served.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) transport: Transport,
    pub(crate) hop: Hop,
    pub(crate) seat: Seat,
}

/// The right to be connected, owned by what owns the socket: a tunnel keeps it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Of the client; trusted proxies need none, and who is refused has none.
    pub(crate) _client: Option<ClientSeat>,
    /// Of the house.
    pub(crate) _house: Ticket,
}

/// Serves the connection until its end; once `draining` is over, it takes no further request.
pub(crate) async fn serve(arrival: Arrival, proxy: Proxy, draining: impl Future<Output = ()>) {
    let Arrival { transport, hop, seat } = arrival;
    let connection = Arc::new(proxy.connection(hop));
    let mut io = ClientIo::new(transport, connection.clone(), proxy.client_bounds(), seat);
    let mut draining = pin!(draining);
    let mut drained = false;
    let is_http2 = tokio::select! {
        biased;
        // Cancel-safe: what was read can be read again.
        is_http2 = greeting::is_http2(&mut io) => is_http2,
        () = draining.as_mut() => {
            drained = true;
            false
        }
    };
    let draining = async {
        if !drained {
            draining.await;
        }
    };
    // Boxed: each would bear the other's size, and what came before it.
    if is_http2 {
        Box::pin(http2::serve(io, connection, proxy, draining)).await;
    } else {
        Box::pin(serve_http1(io, connection, proxy, draining)).await;
    }
}

async fn serve_http1(
    io: ClientIo,
    connection: Arc<Connection>,
    proxy: Proxy,
    draining: impl Future<Output = ()>,
) {
    let hop = connection.hop;
    let bounds = proxy.client_bounds();
    let max_head = usize::try_from(bounds.max_head).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    if bounds.max_fields != FIELDS {
        // Told so, hyper would have no room for them ready.
        builder.max_headers(bounds.max_fields);
    }
    let upgrade = Upgrade::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        connection.begin(request.version(), request.body().is_end_stream());
        let is_asked = Upgrade::is_asked(&request);
        if is_asked {
            upgrade.ask(&mut request, &connection);
        }
        // Boxed: a kept connection without a request holds none of it.
        let visit = Box::pin(proxy.visit(request, Carrier::Connection(connection.clone())));
        let (upgrade, tasks) = (&upgrade, proxy.tasks());
        async move {
            let mut response = visit.await;
            if tasks.is_draining() && !is_tunnel(&response) {
                // While newcomers are still taken, whoever is here already learns that it is time to go
                // elsewhere, and no request crosses the end of its connection on the way.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if is_asked && !is_tunnel(&response) {
                upgrade.declined();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let result = {
        let served = builder
            // What a FIN means is found out below hyper, in `departure`.
            .half_close(false)
            // So is how long a head may take, in `io`.
            .header_read_timeout(None)
            .max_header_size(max_head)
            .max_buf_size(max_head.max(READ_BUFFER))
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut served = pin!(served);
        tokio::select! {
            biased;
            // Cancel-safe: the connection goes on below.
            result = served.as_mut() => result,
            () = Seldom::new(draining) => {
                connection.drain();
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    told(hop, result);
    upgrade.hand_over(connection, proxy.tunnel_bounds().keepalive).await;
}

/// Answers a connection by a refusal, whatever it sends, and closes it; read on for so long, since a
/// reset would overtake the answer. It takes up room in the house meanwhile.
pub(crate) async fn refuse(
    transport: Transport,
    hop: Hop,
    house: Ticket,
    proxy: Proxy,
    refusal: Refusal,
) {
    let connection = Arc::new(proxy.connection(hop));
    let bounds = proxy.client_bounds();
    let linger = bounds.linger.min(BRIEFLY);
    let seat = Seat { _client: None, _house: house };
    let mut io = ClientIo::new(transport, connection, bounds, seat);
    io.refuse(&refusal);
    // An error is a client that has gone.
    if io.flush().await.is_ok() {
        let _ = poll_fn(|cx| io.poll_close(cx, linger)).await;
    }
}

/// Where no answer would be understood: a line in the log alone.
pub(crate) fn turn_away(hop: Hop, proxy: &Proxy, refusal: &Refusal) {
    log_refusal(&proxy.connection(hop), refusal, Instant::now(), false);
}

fn is_tunnel<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

fn told(hop: Hop, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(client = %hop, %error, "client connection ended");
    }
}
