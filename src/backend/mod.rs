//! The fragile server behind us: its slots, its connections, and how a request is sent to it.

mod child;
mod dial;
mod link;
mod pool;
mod send;
mod wire;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use self::{
    child::Child,
    link::Link,
    send::{Answer, Outbound},
};
use self::{dial::Dialler, pool::Pool};
use crate::{admission::queue::Slots, config};

/// One backend, for the whole house.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    pub(crate) slots: Slots,
    /// For requests that name no host.
    pub(crate) host: http::HeaderValue,
    /// Sent by the supervisor; whoever waits for the backend subscribes to it.
    pub(crate) child: watch::Sender<Child>,
    dialler: Dialler,
    pool: Pool,
}

impl Backend {
    pub(crate) fn new(config: &config::Backend) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::new(config.max_concurrency, &config.queue),
            host: host_of(&config.url),
            child: watch::Sender::default(),
            dialler: Dialler::new(config),
            pool: Pool::new(config.max_concurrency, config.idle),
            config: config.clone(),
        })
    }

    /// Keeps a connection whose exchange is over, if it can serve another. Before the exchange
    /// gives its slot away: connections, busy and idle together, never outnumber the slots.
    pub(crate) fn keep(&self, link: Box<Link>) {
        if link.is_ready() {
            self.pool.keep(link);
        }
    }

    /// Closes kept connections as they come of age. Runs until the process ends.
    pub(crate) async fn close_aged(self: Arc<Self>) {
        self.pool.close_aged().await;
    }
}

fn host_of(url: &http::Uri) -> http::HeaderValue {
    let name = url.authority().map_or("", http::uri::Authority::as_str);
    http::HeaderValue::from_str(name).unwrap_or(http::HeaderValue::from_static(""))
}
