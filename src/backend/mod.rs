//! The fragile server behind us: its slots, its connections, and how a request is sent to it.

mod dial;
mod driver;
mod link;
mod pool;
mod send;
mod wire;
mod writes;

use std::sync::Arc;

use self::{dial::Dialler, pool::Pool};
pub(crate) use self::{
    link::Link,
    send::{Answer, Outbound},
    writes::Writes,
};
use crate::{admission::queue::Slots, config};

/// One backend, for the whole house.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    pub(crate) slots: Slots,
    /// Where some route to its server joins requests.
    pub(crate) writes: Option<Arc<Writes>>,
    /// For requests that name no host.
    pub(crate) host: http::HeaderValue,
    dialler: Dialler,
    pool: Pool,
}

impl Backend {
    pub(crate) fn new(config: &config::Backend, writes: Option<Arc<Writes>>) -> Arc<Self> {
        Arc::new(Self {
            writes,
            slots: Slots::new(config.max_concurrency, &config.queue),
            host: host_of(&config.url),
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
