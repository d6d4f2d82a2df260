//! The connections of the admin listener, with bounds of their own.

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body::Body as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::tasks::Tasks;

/// Connections at once. More are asked for health alone, so that whoever holds the others has nobody take
/// us for dead.
const CONNECTIONS: usize = 256;
/// Of those more, at once; the rest wait in the kernel's queue.
const MORE: usize = 64;
/// How long each of those lasts: health is told within about half a second.
const BRIEFLY: Duration = Duration::from_secs(2);
/// A body takes longer: its request is given up.
const BODY: Duration = Duration::from_secs(10);
/// The head of a request takes longer, or the next one does not come: closed.
const HEAD: Duration = Duration::from_secs(30);
/// Who watches and takes nothing for so long is let go, and with him what is kept for him.
const STALL: Duration = Duration::from_secs(60);
/// Out of descriptors, and the like: accepting pauses.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
struct Places {
    all: Arc<Semaphore>,
    more: Arc<Semaphore>,
}

/// Never resolves. Of what is served, `health` is so at all times.
pub(super) async fn all(sockets: Vec<TcpListener>, pages: Router, health: Router) {
    let places =
        Places { all: Arc::new(Semaphore::new(CONNECTIONS)), more: Arc::new(Semaphore::new(MORE)) };
    let health = health.fallback(async || FULL);
    for socket in sockets {
        let opened = socket.set_nonblocking(true);
        match opened.and_then(|()| tokio::net::TcpListener::from_std(socket)) {
            Ok(socket) => {
                Tasks::background(accept(socket, pages.clone(), health.clone(), places.clone()));
            }
            Err(error) => tracing::error!(%error, "the admin pages cannot be served"),
        }
    }
    std::future::pending::<()>().await;
}

/// Whoever sends a body does so soon.
pub(super) async fn soon(request: Request, next: Next) -> Response {
    let is_sent = !request.body().is_end_stream();
    let answer = next.run(request);
    match is_sent {
        true => timeout(BODY, answer).await.unwrap_or_else(|_| SLOW.into_response()),
        false => answer.await,
    }
}

async fn accept(socket: tokio::net::TcpListener, pages: Router, health: Router, places: Places) {
    while let Ok(more) = places.more.clone().acquire_owned().await {
        let Ok((client, _)) = socket.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        match places.all.clone().try_acquire_owned() {
            Ok(place) => Tasks::background(serve(client, pages.clone(), place)),
            Err(_) => {
                let served = serve(client, health.clone(), more);
                // Dropped, it is closed.
                Tasks::background(async { drop(timeout(BRIEFLY, served).await) });
            }
        }
    }
}

async fn serve(client: TcpStream, pages: Router, place: OwnedSemaphorePermit) {
    // Where it cannot be set, that one keeps his place.
    let _ = SockRef::from(&client).set_tcp_user_timeout(Some(STALL));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    // Whoever leaves amid a page is missed by nobody.
    let _ = http.serve_connection(TokioIo::new(client), TowerToHyperService::new(pages)).await;
    drop(place);
}

const FULL: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "too many look at the admin pages; here is health alone\n");
const SLOW: (StatusCode, &str) = (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n");

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes},
        middleware,
        routing::post,
    };
    use http_body_util::StreamBody;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let pages = Router::new()
            .route("/", post(async |body: Bytes| body))
            .layer(middleware::from_fn(soon));
        let never = StreamBody::new(futures_util::stream::pending::<Result<_, std::io::Error>>());
        let ask = |body| pages.clone().oneshot(http::Request::post("/").body(body).expect("one"));
        let answer = ask(Body::new(never)).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        let answer = ask(Body::from("soon")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
