//! The connections of the admin listener, with bounds of their own.

use std::{convert::Infallible, net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use super::crowd::{Busy, Crowd, Place};
use crate::tasks::Tasks;

/// Connections at once.
const CONNECTIONS: usize = 320;
/// Of them, those that have a page at once. Health is told at all times, so that whoever holds the pages
/// has nobody take us for dead.
const PAGES: usize = 256;
/// A body takes longer: its request is given up.
const BODY: Duration = Duration::from_secs(10);
/// The head of a request takes longer, or the next one does not come: closed.
const HEAD: Duration = Duration::from_secs(30);
/// Who watches and takes nothing for so long is let go, and with him what is kept for him.
const STALL: Duration = Duration::from_secs(60);
/// Out of descriptors, and the like: accepting pauses.
const PAUSE: Duration = Duration::from_millis(100);

/// What there is to be had.
#[derive(Debug, Clone)]
struct Shown {
    pages: Router,
    places: Arc<Semaphore>,
    health: Router,
}

/// Never resolves. Of what is served, `health` is so at all times.
pub(super) async fn all(sockets: Vec<TcpListener>, pages: Router, health: Router) {
    let (crowd, places) = (Crowd::of(CONNECTIONS), Arc::new(Semaphore::new(PAGES)));
    let shown = Shown { pages, places, health: health.fallback(async || FULL) };
    for socket in sockets {
        let opened = socket.set_nonblocking(true);
        match opened.and_then(|()| tokio::net::TcpListener::from_std(socket)) {
            Ok(socket) => Tasks::background(accept(socket, crowd.clone(), shown.clone())),
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

async fn accept(socket: tokio::net::TcpListener, crowd: Crowd, shown: Shown) {
    loop {
        let Ok((client, _)) = socket.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        if let Some(place) = crowd.enter().await {
            Tasks::background(serve(client, place, shown.clone()));
        }
    }
}

async fn serve(client: TcpStream, place: Arc<Place>, shown: Shown) {
    // Where it cannot be set, that one keeps his place.
    let _ = SockRef::from(&client).set_tcp_user_timeout(Some(STALL));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let service =
        service_fn(|request: Request<Incoming>| shown.clone().answer(request, place.busy()));
    // Dropped, it is closed: there, and where whoever leaves amid a page is missed by nobody.
    tokio::select! {
        _ = http.serve_connection(TokioIo::new(client), service) => {}
        () = place.left() => {}
    }
}

impl Shown {
    /// Something is under way until the last byte of the answer is.
    async fn answer(self, request: Request<Incoming>, busy: Busy) -> Result<Response, Infallible> {
        let place = self.places.try_acquire_owned();
        let pages = if place.is_ok() { self.pages } else { self.health };
        let answer = pages.oneshot(request.map(Body::new)).await?;
        Ok(answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _ = (&busy, &place);
                frame
            }))
        }))
    }
}

const FULL: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "too many look at the admin pages; here is health alone\n");
const SLOW: (StatusCode, &str) = (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n");

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, middleware, routing::post};
    use http_body_util::StreamBody;

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
