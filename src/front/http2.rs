//! One client connection of HTTP/2 (RFC 9113), from its preface to its close.
//!
//! It stands on h2, hyper's own engine, and not on hyper's server for it, which keeps to itself what
//! we need: why a stream was reset, what the socket has taken, GOAWAY with a reason, interim
//! answers, and who opens no window.

mod control;
mod duplex;
mod frames;
mod io;
mod lasting;
mod session;
mod standing;
mod stream;
mod upload;
mod wire;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use h2::{Reason, server};
use tokio::time::timeout;

use self::{
    io::Io,
    lasting::Lasting,
    session::{End, Session},
    wire::Wire,
};
use super::io::ClientIo;
use crate::{
    config::Client,
    connection::Connection,
    proxy::Proxy,
    tasks::{Draining, LATE},
};

/// Bytes of one answer that h2 holds for a socket that takes none.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves the connection until its end; once `draining` is over, it says farewell.
pub(super) fn serve(
    under: Box<ClientIo>,
    connection: Arc<Connection>,
    proxy: Proxy,
    mut draining: Draining,
) -> impl Future<Output = ()> {
    // Boxed, and not within: it would have its place for as long as the connection lives.
    let mut shaking = Box::pin(handshake(under, connection.clone(), proxy));
    async move {
        let mut is_draining = false;
        let shaken = tokio::select! {
            biased;
            // Cancel-safe: it goes on below.
            shaken = shaking.as_mut() => shaken,
            () = &mut draining => {
                is_draining = true;
                Box::pin(timeout(LATE, shaking.as_mut())).await.unwrap_or_default()
            }
        };
        drop(shaking);
        let mut served = shaken;
        while let Some(mut session) = served.take() {
            let end = poll_fn(|cx| {
                if session.is_open() && (is_draining || Pin::new(&mut draining).poll(cx).is_ready())
                {
                    is_draining = true;
                    session.drain();
                }
                session.poll(cx)
            });
            match end.await {
                End::Closed(Ok(())) => {}
                End::Closed(Err(error)) => told(&connection, &error),
                End::Parked => {
                    let mut parked = session.park();
                    let speaks = tokio::select! {
                        biased;
                        // Cancel-safe: what was read can be read again.
                        speaks = parked.speaks() => speaks,
                        () = &mut draining => true,
                    };
                    served = speaks.then(|| parked.resume()).flatten();
                }
            }
        }
    }
}

fn told(connection: &Connection, error: &h2::Error) {
    let client = &connection.name;
    if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
        tracing::warn!(%client, %error, "HTTP/2 connection sent away");
    } else {
        tracing::debug!(%client, %error, "client connection ended");
    }
}

/// Waits for the preface.
async fn handshake(
    under: Box<ClientIo>,
    connection: Arc<Connection>,
    proxy: Proxy,
) -> Option<Box<Session>> {
    let bounds = proxy.client_bounds();
    let io = Io::new(Wire::new(under, &bounds));
    match timeout(bounds.head_timeout, builder(&bounds).handshake(io.clone())).await {
        Ok(Ok(h2)) => {
            let lasting = Lasting::new(io, connection, bounds, proxy);
            return Some(Box::new(Session::new(h2, lasting)));
        }
        Ok(Err(error)) => told(&connection, &error),
        Err(_) => tracing::debug!(client = %connection.name, "no preface in time"),
    }
    None
}

fn builder(bounds: &Client) -> server::Builder {
    let max_list = u32::try_from(bounds.max_head.saturating_mul(2)).unwrap_or(u32::MAX);
    let streams = bounds.streams as usize;
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(bounds.streams)
        .initial_window_size(bounds.stream_window)
        .initial_connection_window_size(bounds.connection_window)
        // Beyond, h2 answers 431 by itself, and from four times as much on it ends the connection.
        // Up to here the answer is ours, and logged.
        .max_header_list_size(max_list)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol()
        // Those that are reset before we see them.
        .max_pending_accept_reset_streams(streams)
        .max_concurrent_reset_streams(streams)
        // Those that the client makes h2 reset.
        .max_local_error_reset_streams(Some(bounds.early_resets as usize));
    builder
}
