//! One client connection, from accept to close.

mod departure;
mod greeting;
mod http1;
mod http2;
mod io;
mod transport;
mod upgrade;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, time::Instant};

use self::io::{ClientIo, log_refusal};
pub(crate) use self::transport::Transport;
use crate::{
    admission::{per_client::ClientSeat, room::Ticket},
    client::Hop,
    connection::Connection,
    prefetch::prefetch,
    proxy::Proxy,
    refusal::Refusal,
    tasks::Draining,
};

/// How long a connection that is refused may go on sending: many may come at once.
const BRIEFLY: Duration = Duration::from_millis(100);

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
    pub(crate) client: Option<ClientSeat>,
    /// Of the house.
    pub(crate) house: Ticket,
}

/// Serves the connection until its end; once `draining` is over, it takes no further request.
pub(crate) fn serve(
    arrival: Arrival,
    proxy: Proxy,
    mut draining: Draining,
) -> impl Future<Output = ()> {
    let Arrival { transport, hop, seat } = arrival;
    let (connection, bounds) = proxy.connection(hop, seat.client.as_ref());
    let connection = Arc::new(connection);
    let io = ClientIo::new(transport, connection.clone(), bounds, seat);
    // Boxed, and not within: a parked connection would have room for it twice.
    let mut io = Box::new(io);
    // Here, since an `async fn` would hold it all twice.
    async move {
        let is_http2 = tokio::select! {
            biased;
            // Cancel-safe: what was read can be read again.
            is_http2 = greeting::is_http2(&mut io) => is_http2,
            () = &mut draining => false,
        };
        // Boxed, both: each would bear the other's size, and a parked connection that of both.
        if is_http2 {
            // Many things go to and fro at once: an acknowledgement has no answer to wait for.
            io.acknowledge();
            return Box::pin(http2::serve(io, connection, proxy, draining)).await;
        }
        connection.working_set.io.set(&*io);
        loop {
            let served = Box::pin(http1::serve(io, connection.clone(), &proxy, &mut draining));
            let Some(parked) = recalled(served, &connection).await else { return };
            io = parked;
            connection.fields.forget();
            tokio::select! {
                biased;
                // Cancel-safe: what was read can be read again.
                () = greeting::speaks(&mut io) => {}
                () = &mut draining => {}
            }
        }
    }
}

/// Has what it goes on with asked for before each poll: of thousands, it may have waited for long.
fn recalled<T>(
    mut served: Pin<Box<impl Future<Output = T>>>,
    connection: &Connection,
) -> impl Future<Output = T> {
    poll_fn(move |cx| {
        prefetch(&*served);
        connection.recall();
        served.as_mut().poll(cx)
    })
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
    let (connection, bounds) = proxy.connection(hop, None);
    let connection = Arc::new(connection);
    let linger = bounds.linger.min(BRIEFLY);
    let seat = Seat { client: None, house };
    let mut io = ClientIo::new(transport, connection, bounds, seat);
    io.refuse(&refusal);
    // An error is a client that has gone.
    if io.flush().await.is_ok() {
        let _ = poll_fn(|cx| io.poll_close(cx, linger)).await;
    }
}

/// Where no answer would be understood: a line in the log alone.
pub(crate) fn turn_away(hop: Hop, proxy: &Proxy, refusal: &Refusal) {
    log_refusal(&proxy.connection(hop, None).0, refusal, Instant::now(), false);
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn what_a_connection_goes_on_with_is_asked_for_when_it_is_polled() {
        let connection = Connection::any();
        let running = &connection.working_set.exchange.running;
        running.set(&0_u8);
        let mut served = Box::pin(recalled(Box::pin(pending::<()>()), &connection));
        assert!(served.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(!running.take(), "once");
    }
}
