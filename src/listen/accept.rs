//! Accepting: from the kernel's queue to a connection that is served.

use std::{future::poll_fn, io, net::SocketAddr, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::Hop,
    front::{self, Arrival, Transport},
    headers::Scheme,
    proxy::Proxy,
    socket::Socket,
    tasks::Tasks,
};

/// Accepts until `closing`; what the kernel holds by then is accepted too.
pub(crate) async fn accept(
    listener: std::net::TcpListener,
    proxy: Proxy,
    tasks: Tasks,
    closing: CancellationToken,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot accept"),
    };
    let mut paused = false;
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that was not returned is still the kernel's.
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                paused = false;
                let draining = closing.clone().cancelled_owned();
                tasks.connection(front::serve(arrival(stream, peer), proxy.clone(), draining));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut paused, true) {
                    tracing::error!(%error, "cannot accept connections; pausing");
                }
                sleep(PAUSE).await;
            }
        }
    }
    // Closing the socket would reset those that are still in its queue.
    while let Some(Ok((stream, peer))) = poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
    {
        // They have had no time yet to say what they want.
        tasks.connection(front::serve(arrival(stream, peer), proxy.clone(), sleep(LATE)));
    }
}

fn arrival(stream: TcpStream, peer: SocketAddr) -> Arrival {
    // Small answers must not wait for acknowledgements; where the socket is gone already, the
    // first read will tell.
    let _ = stream.set_nodelay(true);
    let hop = Hop { address: Some(peer), scheme: Scheme::Http };
    Arrival { transport: Transport::Plain(Socket::Tcp(stream)), hop }
}

/// A client that was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// How long accepting pauses when the system gives no more connections (descriptors, memory).
const PAUSE: Duration = Duration::from_millis(100);
/// How long those who were in the kernel's queue when the drain began may wait to send a request.
const LATE: Duration = Duration::from_secs(1);
