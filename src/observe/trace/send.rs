//! The sender: on a thread of its own, it makes spans of what is over and sends them, and no request waits
//! for it.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use tokio::time::Instant;

use super::{
    attributes::Attributes,
    post::{Collector, NotTaken},
    queue::{Batch, Queue},
    spans::{self, Clock},
};
use crate::config;

pub(super) struct Sender<'a> {
    queue: &'a Queue,
    collector: Collector,
    resource: Resource,
    retry: Duration,
    /// Since when the collector takes nothing.
    failing: bool,
    /// Of those dropped, what was told.
    told: u64,
    tell_again: Instant,
}

/// Sends until the process ends.
pub(super) async fn all(queue: &Queue, config: &config::Trace, url: &Uri) {
    match Collector::new(config, url) {
        Ok(collector) => {
            let sender = Sender {
                queue,
                collector,
                resource: resource(config),
                retry: config.retry,
                failing: false,
                told: 0,
                tell_again: Instant::now(),
            };
            sender.run().await;
        }
        Err(error) => {
            tracing::error!(%url, %error, "no spans are sent");
            while let Some(batch) = queue.batch().await {
                queue.count_dropped(batch.all.len());
                queue.done(&batch);
            }
        }
    }
    queue.is_through();
}

impl Sender<'_> {
    async fn run(mut self) {
        while let Some(batch) = self.queue.batch().await {
            let message = self.message(&batch);
            self.deliver(message, batch.all.len()).await;
            self.queue.done(&batch);
            self.tell_dropped(TELL);
        }
        self.tell_dropped(Duration::ZERO);
    }

    fn message(&self, batch: &Batch) -> Bytes {
        let mut all: Vec<Span> = Vec::with_capacity(2 * batch.all.len());
        let clock = Clock::now();
        for finished in &batch.all {
            spans::of(finished, clock, &mut all);
        }
        let scope = InstrumentationScope {
            name: "seawall".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans =
            vec![ScopeSpans { scope: Some(scope), spans: all, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans =
            vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// Again and again where that is of use, up to `trace.retry`; once when the process ends.
    async fn deliver(&mut self, message: Bytes, requests: usize) {
        let until = Instant::now() + self.retry;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.collector.post(message.clone()).await {
                Ok(taken) => {
                    if taken.rejected > 0 || !taken.text.is_empty() {
                        let (spans, said) = (taken.rejected, taken.text);
                        tracing::warn!(spans, said, "the collector rejects spans");
                    }
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("the collector takes spans again");
                    }
                    return;
                }
                Err(error) => error,
            };
            self.fails(&error);
            // What a collector asks for may be beyond all time.
            let left = until.saturating_duration_since(Instant::now());
            let wait = error.after().unwrap_or_else(|| pause.mul_f64(1.0 + fastrand::f64() / 2.0));
            if !error.is_for_now() || self.queue.is_ending() || wait > left {
                return self.queue.count_dropped(requests);
            }
            self.queue.pause(wait).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Told once.
    fn fails(&mut self, error: &NotTaken) {
        if !std::mem::replace(&mut self.failing, true) {
            let url = self.collector.url();
            tracing::warn!(%url, %error, "the collector takes no spans; requests go on");
        }
    }

    /// Not more often than every so long.
    fn tell_dropped(&mut self, pause: Duration) {
        let (dropped, now) = (self.queue.dropped(), Instant::now());
        if dropped > self.told && (pause.is_zero() || now >= self.tell_again) {
            let requests = dropped - self.told;
            tracing::warn!(requests, total = dropped, "spans of requests were dropped");
            (self.told, self.tell_again) = (dropped, now + pause);
        }
    }
}

/// Who it is that traces.
fn resource(config: &config::Trace) -> Resource {
    let mut about = Attributes::default();
    let says = |key: &str| config.resource.iter().any(|(name, _)| name == key);
    let instance = fastrand::u128(..).to_string();
    for (key, value) in [
        ("service.name", config.service_name.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance.as_str()),
    ] {
        // The name has a key of its own, which goes before (as OTEL_SERVICE_NAME does).
        if key == "service.name" || !says(key) {
            about.text(key, Some(value));
        }
    }
    for (key, value) in config.resource.iter().filter(|(key, _)| key != "service.name") {
        about.text(key, Some(value));
    }
    Resource { attributes: about.all, ..Resource::default() }
}

/// Until a batch is sent again; twice as long each time, and up to half as long again, so that many do not
/// come at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two lines about what was dropped.
const TELL: Duration = Duration::from_secs(60);
