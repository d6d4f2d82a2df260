//! The connections of the admin listener, with bounds of their own.

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{sync::Semaphore, time::sleep};

use crate::tasks::Tasks;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// The head of a request takes longer, or the next one does not come: closed.
const HEAD: Duration = Duration::from_secs(30);
/// Out of descriptors, and the like: accepting pauses.
const PAUSE: Duration = Duration::from_millis(100);

/// Never resolves, unless nothing is to be served.
pub(super) async fn all(sockets: Vec<TcpListener>, pages: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    for socket in sockets {
        let opened = socket.set_nonblocking(true);
        match opened.and_then(|()| tokio::net::TcpListener::from_std(socket)) {
            Ok(socket) => Tasks::background(accept(socket, pages.clone(), places.clone())),
            Err(error) => tracing::error!(%error, "the admin pages cannot be served"),
        }
    }
    std::future::pending::<()>().await;
}

async fn accept(socket: tokio::net::TcpListener, pages: Router, places: Arc<Semaphore>) {
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((client, _)) = socket.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let pages = TowerToHyperService::new(pages.clone());
        Tasks::background(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // Whoever leaves amid a page is missed by nobody.
            let _ = http.serve_connection(TokioIo::new(client), pages).await;
            drop(place);
        });
    }
}
