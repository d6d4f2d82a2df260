//! The admin listener: what seawall shows of itself, and what an operator may do.
//!
//! It runs on a thread of its own, so that whoever looks costs no request anything, and lasts until
//! the process ends, so that a drain can be watched. Who may see what is decided in [`guard`], before
//! any page; what there is to see is gathered in [`state`] and told as it happens by [`feed`], and what
//! is over is found in [`inspect`].

mod crowd;
mod drain;
mod exchanges;
mod feed;
mod finished;
mod guard;
mod health;
mod inspect;
mod login;
mod metrics;
mod pages;
mod series;
mod serve;
mod state;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::{runtime::Handle, sync::watch};

use self::{feed::Feed, guard::Guard, series::Series};
use crate::{
    backend::Child,
    config::{self, AdminListen},
    observe::books::Books,
    proxy::Proxy,
    runtime,
    tasks::Tasks,
};

/// The sockets, bound.
#[derive(Debug)]
pub(crate) struct Admin {
    sockets: Vec<TcpListener>,
    guard: Guard,
    replay: Duration,
}

/// An address of `admin.listen` that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("admin.listen: cannot listen on {address}: {error}; choose another one, or \"off\"")]
pub struct NoAdmin {
    address: SocketAddr,
    error: io::Error,
}

/// What is shown, and acted upon. Cheap to clone.
#[derive(Debug, Clone)]
struct House {
    proxy: Proxy,
    books: Books,
    /// Where requests run.
    worker: Handle,
    /// How long the answer to one of our own is taken.
    replay: Duration,
    feed: Arc<Feed>,
    series: Series,
    /// Where clients are listened for, as last told.
    listen: watch::Receiver<Vec<String>>,
}

impl Admin {
    /// Binds, unless there are to be no such pages; nothing is served yet.
    pub(crate) fn bind(config: &config::Config) -> Result<Option<Self>, NoAdmin> {
        let bind = |address: SocketAddr| {
            TcpListener::bind(address).map_err(|error| NoAdmin { address, error })
        };
        let sockets = match &config.admin.listen {
            AdminListen::Off => return Ok(None),
            AdminListen::Auto => {
                let usual = AdminListen::USUAL;
                // There may be a second seawall on this machine.
                vec![bind(usual).or_else(|taken| {
                    let socket = bind(SocketAddr::new(usual.ip(), 0))?;
                    tracing::warn!(
                        error = %taken.error,
                        "{usual} is another's, and it is that one that seawall health, top and drain reach \
                         here; set admin.listen to an address of this one's own"
                    );
                    Ok(socket)
                })?]
            }
            AdminListen::At(addresses) => {
                addresses.iter().copied().map(bind).collect::<Result<_, _>>()?
            }
        };
        let guard = Guard::new(&config.admin);
        Ok(Some(Self { sockets, guard, replay: config.inspect.replay }))
    }

    /// Serves until the process ends.
    pub(crate) fn start(
        self,
        proxy: Proxy,
        books: Books,
        worker: Handle,
        listen: watch::Receiver<Vec<String>>,
    ) {
        let (feed, series) = (Feed::new(), Series::default());
        let house = House { proxy, books, worker, replay: self.replay, feed, series, listen };
        let (pages, health) = (pages(house.clone(), &Arc::new(self.guard)), health(house.clone()));
        for address in self.sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
            tracing::info!(address = %format_args!("http://{address}/"), "admin pages");
        }
        runtime::thread("admin", move || {
            let all = async {
                Tasks::background(house.series.clone().run(house.clone()));
                Tasks::background(house.feed.clone().run(house));
                serve::all(self.sockets, pages, health).await;
            };
            if let Err(error) = runtime::block_on(all) {
                tracing::error!(%error, "no admin pages: the system gives no event queue");
            }
        });
    }
}

impl House {
    /// Is the first backend our child?
    fn wraps(&self) -> bool {
        *self.proxy.child().state.borrow() != Child::None
    }
}

fn pages(house: House, guard: &Arc<Guard>) -> Router {
    let guarded = Router::new()
        .route("/", get(pages::live))
        .route("/api/state", get(state::show))
        .route("/metrics", get(metrics::show))
        .route("/api/events", get(feed::show))
        .route("/api/drain", post(drain::begin))
        .route("/api/exchanges/{serial}/end", post(exchanges::end))
        .merge(inspect::routes())
        .layer(middleware::from_fn_with_state(guard.clone(), guard::only_those_who_may));
    let login = Router::new()
        .route("/login", post(login::log_in))
        .layer(DefaultBodyLimit::max(TOKEN))
        .with_state(guard.clone());
    Router::new()
        .route("/assets/{name}", get(pages::asset))
        .merge(guarded.layer(DefaultBodyLimit::max(WISHES)))
        .merge(login)
        .layer(middleware::from_fn(serve::soon))
        .layer(middleware::from_fn(guard::harden))
        .with_state(house.clone())
        .merge(health(house))
}

fn health(house: House) -> Router {
    Router::new()
        .route("/healthz", get(health::of_process))
        .route("/readyz", get(health::to_serve))
        .layer(middleware::from_fn(guard::harden))
        .with_state(house)
}

/// Bytes of what is sent to log in, by anybody.
const TOKEN: usize = 4 << 10;
/// Of all else that is sent, such as the values for a request that is to be sent again.
const WISHES: usize = 64 << 10;
