//! What is said of a span: names and values.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) all: Vec<KeyValue>,
}

impl Attributes {
    /// None, or an empty one, is not said at all.
    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let end = (0..=value.len().min(LONGEST)).rev().find(|end| value.is_char_boundary(*end));
            self.push(key, Value::StringValue(value[..end.unwrap_or(0)].to_owned()));
        }
    }

    pub(super) fn number(&mut self, key: &str, value: Option<impl TryInto<i64>>) {
        if let Some(value) = value.and_then(|value| value.try_into().ok()) {
            self.push(key, Value::IntValue(value));
        }
    }

    /// Nothing where it took no time.
    pub(super) fn millis(&mut self, key: &str, time: Duration) {
        if !time.is_zero() {
            self.push(key, Value::DoubleValue(time.as_secs_f64() * 1e3));
        }
    }

    fn push(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.all.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }
}

/// Bytes of a text; what is longer is cut. A collector takes some megabytes at once, and a path can be as
/// long as `client.max_head`.
const LONGEST: usize = 4096;
