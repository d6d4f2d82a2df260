//! A request sent once more, by the operator who looks at it.
//!
//! It goes through the proxy as any other: slots, queue and log hold for it. What was not kept of it
//! has to be given, or done without, in so many words.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::{
    headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    observe::{
        capture::{Capture, RequestHead},
        record::Facts,
    },
    request_id::X_REQUEST_ID,
};

/// What an operator says of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wishes {
    /// Values of fields that were masked, whatever the case of their names.
    fields: BTreeMap<String, String>,
    /// Go on without the values that are masked.
    without_masked: bool,
    /// Go on with what there is of the body.
    without_body: bool,
}

/// Why it is not sent once more as it is.
#[derive(Debug, Default, Serialize)]
pub(super) struct Missing {
    /// Fields whose values were masked.
    masked: Vec<String>,
    /// Its query was masked.
    target: bool,
    /// So much of its body is known, of so much.
    body: Option<(usize, u64)>,
    /// What to do.
    said: &'static str,
}

/// It, ready to be sent.
pub(super) fn request(
    facts: &Facts,
    capture: &Capture,
    wishes: &Wishes,
) -> Result<Request<Full<Bytes>>, Missing> {
    let (Some(head), Some((method, path))) = (&capture.request, &facts.line) else {
        return Err(Missing::of("its head was not kept, so it cannot be sent once more"));
    };
    if head.fields.iter().any(|field| field.name == UPGRADE) {
        return Err(Missing::of("it asked for a tunnel, which needs a client at its other end"));
    }
    let (fields, masked) = fields(head, wishes)?;
    let body = &capture.request_body;
    let missing = Missing {
        target: head.is_target_masked,
        body: (!body.is_whole() && !wishes.without_body).then_some((body.begin.len(), body.len)),
        masked,
        said: "not all of it was kept; give \"fields\" their values, or say \"without_masked\": true, and \
               \"without_body\": true where its body is missing",
    };
    let is_masked = !missing.masked.is_empty() || missing.target;
    if missing.body.is_some() || (is_masked && !wishes.without_masked) {
        return Err(missing);
    }
    let body = Full::new(Bytes::copy_from_slice(&body.begin));
    build(method, path, fields, body)
        .ok_or_else(|| Missing::of("it is no request that can be sent"))
}

fn build(
    method: &Method,
    path: &str,
    fields: HeaderMap,
    body: Full<Bytes>,
) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = path.parse::<Uri>().ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

/// Those that are sent, and the names of those whose values are not known.
fn fields(head: &RequestHead, wishes: &Wishes) -> Result<(HeaderMap, Vec<String>), Missing> {
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 1);
    let mut masked = Vec::new();
    for field in &head.fields {
        let named = |name: &&String| name.eq_ignore_ascii_case(field.name.as_str());
        let given = wishes.fields.iter().find(|(name, _)| named(name)).map(|(_, value)| value);
        let value = match given {
            Some(value) if field.is_masked => HeaderValue::from_str(value),
            _ if field.is_masked => {
                masked.push(field.name.to_string());
                continue;
            }
            _ => HeaderValue::from_bytes(&field.value),
        };
        let value = value.map_err(|_| Missing::of("a value that was given is none of a field"))?;
        fields.append(field.name.clone(), value);
    }
    let is_empty = fields.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    // Of the connection it came over, or said anew.
    for name in [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING] {
        fields.remove(name);
    }
    // It has another id, and another client: what the first one said of itself would be believed where the
    // operator's address is a trusted proxy's.
    for name in [X_REQUEST_ID, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, FORWARDED] {
        fields.remove(name);
    }
    if is_empty {
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(authority) = head.authority.as_deref()
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        fields.insert(HOST, host);
    }
    Ok((fields, masked))
}

impl Missing {
    fn of(said: &'static str) -> Self {
        Self { said, ..Self::default() }
    }
}

impl axum::response::IntoResponse for Missing {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::CONFLICT, axum::Json(self)).into_response()
    }
}
