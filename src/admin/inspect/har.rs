//! Exchanges in the form that browsers' tools read: HTTP Archive, version 1.2.
//!
//! Its fields are named as the format has them. What it does not know is told in fields that begin
//! with `_`, as it allows.

use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};

use super::{
    super::House,
    message::{self, Begin},
};
use crate::observe::{
    capture::{Body, Capture, Field},
    recent::Finished,
    record::{Facts, Outcome},
};

/// The newest last. Only those whose head was taken down: the format has no place for others.
pub(super) fn archive<'a>(house: &House, all: impl Iterator<Item = &'a Finished>) -> Value {
    json!({"log": {
        "version": "1.2",
        "creator": {"name": "seawall", "version": env!("CARGO_PKG_VERSION")},
        "entries": all.filter_map(|one| entry(house, one)).collect::<Vec<_>>(),
    }})
}

fn entry(house: &House, one: &Finished) -> Option<Value> {
    let (facts, outcome) = (&one.facts, &one.outcome);
    let capture = one.capture.as_deref()?;
    let until = outcome.ended_at(facts.began);
    let began = house.books.began() + facts.began.saturating_duration_since(house.books.zero());
    Some(json!({
        "startedDateTime": humantime::format_rfc3339_millis(began).to_string(),
        "time": millis(until - facts.began),
        "request": request(facts, capture)?,
        "response": response(outcome, capture),
        "cache": {},
        "timings": timings(facts, outcome),
        "comment": comment(outcome),
        "_id": facts.id.as_str(),
        "_client": facts.client,
        "_ended": outcome.ended().word(),
        "_reason": outcome.reason,
        "_backend": house.books.name(outcome.account),
        "_backendStatus": outcome.backend_status.map(|status| status.as_u16()),
    }))
}

fn request(facts: &Facts, capture: &Capture) -> Option<Value> {
    let head = capture.request.as_ref()?;
    let body = &capture.request_body;
    let url = message::url(facts, head)?;
    let mut request = json!({
        "method": facts.method()?,
        "httpVersion": format!("{:?}", head.version),
        "cookies": [],
        "headers": headers(&head.fields),
        "queryString": query(&url),
        // Not known as they were on the wire.
        "headersSize": -1,
        "bodySize": body.len,
        "url": url,
    });
    if body.len > 0 {
        let kind = field(&head.fields, &CONTENT_TYPE).unwrap_or_default();
        let mut data = json!({"mimeType": kind, "params": []});
        put(&mut data, body);
        request["postData"] = data;
    }
    Some(request)
}

fn response(outcome: &Outcome, capture: &Capture) -> Value {
    let fields = capture.answer.as_deref().unwrap_or_default();
    // The format's word for no answer is 0.
    let status = outcome.status.map_or(0, |status| status.as_u16());
    let reason = outcome.status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let version = capture.request.as_ref().map(|head| format!("{:?}", head.version));
    let mut content = json!({
        "size": outcome.delivered,
        "mimeType": field(fields, &CONTENT_TYPE).unwrap_or_else(|| "x-unknown".into()),
    });
    if !capture.answer_body.begin.is_empty() {
        put(&mut content, &capture.answer_body);
    }
    json!({
        "status": status,
        "statusText": reason,
        "httpVersion": version,
        "cookies": [],
        "headers": headers(fields),
        "content": content,
        "redirectURL": field(fields, &LOCATION).unwrap_or_default(),
        "headersSize": -1,
        "bodySize": outcome.delivered,
    })
}

/// The parts of the time, which together are no more than all of it.
fn timings(facts: &Facts, outcome: &Outcome) -> Value {
    let until = outcome.ended_at(facts.began);
    let sent = outcome.sent.unwrap_or(until).min(until);
    // A short answer comes with its head.
    let answered = outcome.answered.or(outcome.over).unwrap_or(until).clamp(sent, until);
    json!({
        "blocked": millis(sent - facts.began),
        "dns": -1,
        "connect": -1,
        "ssl": -1,
        "send": 0,
        "wait": millis(answered - sent),
        "receive": millis(until - answered),
    })
}

fn comment(outcome: &Outcome) -> String {
    match outcome.reason {
        Some(reason) => format!("{}: {reason}", outcome.ended().word()),
        None => outcome.ended().word().to_owned(),
    }
}

fn headers(fields: &[Field]) -> Value {
    let pair = |(name, value)| json!({"name": name, "value": value});
    message::pairs(fields).map(pair).collect()
}

fn query(url: &str) -> Value {
    let query = url.split_once('?').map(|(_, query)| query);
    let pairs =
        query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!({"name": name, "value": value})
    };
    pairs.map(pair).collect()
}

fn put(content: &mut Value, body: &Body) {
    match Begin::of(body) {
        Begin::Text(text) => content["text"] = text.into(),
        Begin::Base64(text) => {
            content["text"] = text.into();
            content["encoding"] = "base64".into();
        }
    }
    if !body.is_whole() {
        content["comment"] = format!("the first {} bytes", body.begin.len()).into();
    }
}

fn field(fields: &[Field], name: &http::HeaderName) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(message::readable(&field.value))
}

fn millis(duration: Duration) -> f64 {
    super::super::state::millis(duration)
}
