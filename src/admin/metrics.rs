//! Metrics, as Prometheus collects them.
//!
//! Nothing is counted here: at each scrape, what the books and the backends know is written down.
//! Each family stands in `docs/metrics.md`, in the words of its help text; a test compares both.

mod page;
mod process;
mod running;
mod standing;
mod traffic;

use axum::{
    extract::State as Of,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    registry::Registry,
};

use self::page::Page;
use super::House;
use crate::wishes::Wishes;

/// In the format that the scraper likes better; to who does not mind, in the older one.
pub(super) async fn show(Of(house): Of<House>, headers: HeaderMap) -> Response {
    let wishes = Wishes::of(&headers);
    let is_open = wishes.liking(&["application/openmetrics-text"]) > wishes.liking(&["text/plain"]);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(house));
    let mut text = String::new();
    let (written, kind) = match is_open {
        true => (text::encode(&mut text, &registry), OPEN_METRICS),
        false => (prometheus_text::encode(&mut text, &registry), prometheus_text::CONTENT_TYPE),
    };
    match written {
        Ok(()) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Collector for House {
    fn encode(&self, encoder: DescriptorEncoder) -> std::fmt::Result {
        let mut page = Page::new(encoder);
        let counts = self.books.counts();
        traffic::write(&mut page, &counts)?;
        running::write(&mut page, self, &counts)?;
        standing::write(&mut page, self)?;
        process::write(&mut page, self.books.began())
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
