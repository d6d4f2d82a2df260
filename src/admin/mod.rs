//! The admin listener: what seawall shows of itself, and what an operator may do.
//!
//! It runs on a thread of its own, so that whoever looks costs no request anything, and lasts until
//! the process ends, so that a drain can be watched. Who may see what is decided in [`guard`], before
//! any page; what there is to see is gathered in [`state`], and what is over in [`inspect`].

mod exchanges;
mod guard;
mod health;
mod inspect;
mod login;
mod metrics;
mod serve;
mod state;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::runtime::Handle;

use self::guard::Guard;
use crate::{
    config::{self, AdminListen},
    observe::books::Books,
    proxy::Proxy,
    runtime,
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
                vec![bind(usual).or_else(|_| bind(SocketAddr::new(usual.ip(), 0)))?]
            }
            AdminListen::At(addresses) => {
                addresses.iter().copied().map(bind).collect::<Result<_, _>>()?
            }
        };
        let guard = Guard::new(&config.admin);
        Ok(Some(Self { sockets, guard, replay: config.inspect.replay }))
    }

    /// Serves until the process ends.
    pub(crate) fn start(self, proxy: Proxy, books: Books, worker: Handle) {
        let house = House { proxy, books, worker, replay: self.replay };
        let pages = pages(house, &Arc::new(self.guard));
        for address in self.sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
            tracing::info!(address = %format_args!("http://{address}/"), "admin pages");
        }
        runtime::thread("admin", move || {
            if let Err(error) = runtime::block_on(serve::all(self.sockets, pages)) {
                tracing::error!(%error, "no admin pages: the system gives no event queue");
            }
        });
    }
}

fn pages(house: House, guard: &Arc<Guard>) -> Router {
    let guarded = Router::new()
        .route("/api/state", get(state::show))
        .route("/metrics", get(metrics::show))
        .route("/api/exchanges/{serial}/end", post(exchanges::end))
        .merge(inspect::routes())
        .layer(middleware::from_fn_with_state(guard.clone(), guard::only_those_who_may));
    Router::new()
        .route("/healthz", get(health::of_process))
        .route("/readyz", get(health::to_serve))
        .merge(guarded)
        .merge(Router::new().route("/login", post(login::log_in)).with_state(guard.clone()))
        .layer(middleware::from_fn(guard::harden))
        .with_state(house)
}
