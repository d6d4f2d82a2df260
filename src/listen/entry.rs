//! What comes before HTTP on a connection.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::tls::Encryption;
use crate::{
    client::Hop,
    front::{self, Arrival, Transport},
    headers::Scheme,
    proxy::Proxy,
    refusal::Refusal,
    socket::Socket,
};

/// What a listener asks of who connects.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) encryption: Option<Arc<Encryption>>,
}

/// Who is not served.
#[derive(Debug, thiserror::Error)]
enum Unwelcome {
    /// The client speaks plain HTTP where TLS is spoken.
    #[error("plain HTTP")]
    Plain(Socket),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
}

impl Entry {
    /// Can HTTP begin at once?
    pub(super) fn is_open(&self) -> bool {
        self.encryption.is_none()
    }

    /// Serves the connection once it has done what is asked of it.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: Socket,
        hop: Hop,
        proxy: Proxy,
        draining: impl Future<Output = ()>,
    ) {
        let mut draining = pin!(draining);
        let bound = proxy.client_bounds().handshake_timeout;
        // Boxed: it is over soon, and the connection may last.
        let mut entering = Box::pin(timeout(bound, self.enter(socket, hop)));
        let mut is_draining = false;
        let entered = tokio::select! {
            // Cancel-safe: it goes on below.
            entered = entering.as_mut() => entered,
            () = draining.as_mut() => {
                is_draining = true;
                timeout(LATE, entering.as_mut()).await.and_then(|entered| entered)
            }
        };
        drop(entering);
        let draining = async {
            if !is_draining {
                draining.await;
            }
        };
        match entered {
            Ok(Ok(arrival)) => front::serve(arrival, proxy, draining).await,
            Ok(Err(Unwelcome::Plain(socket))) => {
                let arrival = Arrival { transport: Transport::Plain(socket), hop };
                front::refuse(arrival, &proxy, &Refusal::NotEncrypted).await;
            }
            Ok(Err(error)) => tracing::debug!(client = %hop, %error, "no handshake"),
            Err(_) => {
                tracing::debug!(client = %hop, "no handshake within client.handshake_timeout");
            }
        }
    }

    async fn enter(&self, socket: Socket, hop: Hop) -> Result<Arrival, Unwelcome> {
        let Some(encryption) = &self.encryption else {
            return Ok(Arrival { transport: Transport::Plain(socket), hop });
        };
        let mut first = [0];
        if socket.peek(&mut first).await.map_err(Unwelcome::Tls)? == 1 && is_http(first[0]) {
            return Err(Unwelcome::Plain(socket));
        }
        let stream = encryption.acceptor().accept(socket).await.map_err(Unwelcome::Tls)?;
        let hop = Hop { scheme: Scheme::Https, ..hop };
        Ok(Arrival { transport: Transport::Tls(Box::new(stream)), hop })
    }
}

/// A method begins so, while a handshake begins with 22.
fn is_http(first: u8) -> bool {
    first.is_ascii_alphabetic()
}

/// How long who has not finished when the drain begins may go on.
const LATE: Duration = Duration::from_secs(1);
