//! Traces: spans of OpenTelemetry, sent to a collector by OTLP over HTTP.
//!
//! A request that is traced has a [`Trail`] from its head on ([`trail`]): the ids of its two spans, of
//! which the backend is told one ([`context`]). When its record is closed it waits in a bounded
//! [`queue`]; a thread of its own makes spans of it ([`spans`], [`attributes`]) and sends them ([`send`],
//! [`post`]). Where nothing is traced there is no [`Tracer`], and a request pays for the look.

mod attributes;
mod context;
mod post;
mod queue;
mod send;
mod spans;
mod trail;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, request};
use tokio::time::{Instant, timeout};

use self::queue::{Finished, Queue};
pub(crate) use self::trail::{Trail, What};
use super::record::{Facts, Outcome};
use crate::{config, runtime};

/// Whoever has this traces; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    queue: Arc<Queue>,
    /// `trace.sample`.
    sample: f64,
    /// `trace.timeout`.
    timeout: Duration,
}

/// Has the backend told what trace its request belongs to.
pub(crate) fn pass_on(trail: Option<&Arc<Trail>>, headers: &mut HeaderMap) {
    match trail {
        Some(trail) => trail.pass_on(headers),
        // Its parent passes as it came; what is malformed beside it does not.
        None if context::state(headers).is_none() => drop(headers.remove(context::TRACESTATE)),
        None => {}
    }
}

impl Tracer {
    /// Starts the sender, where spans are to be sent.
    pub(crate) fn start(config: &config::Trace) -> Option<Self> {
        let url = config.otlp.clone()?;
        let memory = usize::try_from(config.memory).unwrap_or(usize::MAX);
        let queue = Arc::new(Queue::new(memory));
        let (sending, config) = (queue.clone(), config.clone());
        let (sample, timeout) = (config.sample, config.timeout);
        runtime::thread("traces", move || {
            if let Err(error) = runtime::block_on(send::all(&sending, &config, &url)) {
                tracing::error!(%error, "no spans are sent: the system gives no event queue");
                sending.is_through();
            }
        });
        Some(Self { queue, sample, timeout })
    }

    /// Of a request with this head, if it is to have one.
    pub(crate) fn trail(&self, head: &request::Parts, scheme: &'static str) -> Option<Arc<Trail>> {
        Trail::of(head, scheme, self.sample).map(Arc::new)
    }

    /// The request is over, and its exchange too.
    pub(super) fn end(&self, trail: Arc<Trail>, facts: Facts, outcome: Outcome, backend: Arc<str>) {
        if trail.is_recorded() {
            let at = Instant::now();
            self.queue.push(Finished { trail, facts, outcome, backend, at });
        }
    }

    /// Has the rest sent, and waits for that, but no longer than this, or `trace.timeout`: the process ends.
    pub(crate) async fn flush(&self, within: Duration) {
        if timeout(within.min(self.timeout), self.queue.end()).await.is_err() {
            tracing::warn!("spans are left that the collector did not take in time");
        }
    }
}
