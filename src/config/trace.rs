//! `[trace]`: to whom spans of OpenTelemetry are sent, and of what.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::values;

/// To whom spans are sent, and of what.
#[derive(Debug, Clone, Deserialize)]
pub struct Trace {
    /// Where a collector takes OTLP over HTTP; `None`: nothing is traced.
    #[serde(deserialize_with = "collector")]
    pub otlp: Option<Uri>,
    /// Sent along with every batch, such as a key for the collector.
    #[serde(deserialize_with = "headers")]
    pub headers: HeaderMap,
    /// How this seawall is called among all that is traced.
    #[serde(deserialize_with = "service_name")]
    pub service_name: String,
    /// What else is said of it: names and values.
    #[serde(deserialize_with = "attributes")]
    pub resource: Vec<(String, String)>,
    /// Of the requests that come without a parent, or with a malformed one: the share that is traced.
    #[serde(deserialize_with = "share")]
    pub sample: f64,
    /// Bytes of spans that wait for the collector; beyond, new ones are dropped and counted.
    #[serde(deserialize_with = "values::size")]
    pub memory: u64,
    /// How long the collector may take for one batch.
    #[serde(deserialize_with = "values::duration")]
    pub timeout: Duration,
    /// For how long a batch is sent again that the collector does not take; then it is dropped.
    #[serde(deserialize_with = "values::duration")]
    pub retry: Duration,
}

/// What OTLP over HTTP adds to the collector's URL for traces.
const PATH: &str = "/v1/traces";
/// Without a name of its own.
const SERVICE: &str = "seawall";

/// Empty is none.
fn collector<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Uri>, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Ok(None);
    }
    // There may be a password before an "@", and a key in a query.
    let shown = match text.contains(['@', '?']) {
        true => "this".to_owned(),
        false => format!("\"{text}\""),
    };
    let mistake = |what: &str| {
        D::Error::custom(format_args!(
            "{shown} {what}; write the URL of a collector that takes OTLP over HTTP, such as \
             \"http://127.0.0.1:4318\", or \"env\""
        ))
    };
    let url: Uri = text.parse().map_err(|_| mistake("is no URL"))?;
    let Some(authority) = url.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(mistake("names no host"));
    };
    if authority.as_str().contains('@') {
        return Err(mistake("holds a password, which belongs into trace.headers"));
    }
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(mistake("is no URL of http or https"));
    }
    if url.query().is_some() {
        return Err(mistake("has a query"));
    }
    if url.path().ends_with(PATH) {
        return Ok(Some(url));
    }
    let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
    let mut parts = url.into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).map(Some).map_err(|_| mistake("is no URL"))
}

/// What they hold is not repeated in a mistake: it may be a secret.
fn headers<'de, D: Deserializer<'de>>(input: D) -> Result<HeaderMap, D::Error> {
    let mut headers = HeaderMap::new();
    let Ok(texts) = Vec::<String>::deserialize(input) else {
        return Err(D::Error::custom("headers are a list; write [\"name=value\"]"));
    };
    for text in texts {
        let pair = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let field = pair.and_then(|(name, value)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        });
        let Some((name, value)) = field else {
            return Err(D::Error::custom("no header; write \"name=value\""));
        };
        if OURS.contains(&name) {
            return Err(D::Error::custom(format_args!("{name} is set by seawall itself")));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

const OURS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::HOST,
    header::CONNECTION,
];

fn service_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    Ok(if name.is_empty() { SERVICE.to_owned() } else { name })
}

fn attributes<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, String)>, D::Error> {
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(D::Error::custom(format_args!(
            "\"{text}\" is no attribute; write \"name=value\", such as \
             \"deployment.environment.name=production\""
        ))),
    };
    Vec::<String>::deserialize(input)?.into_iter().map(pair).collect()
}

fn share<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(input)?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(D::Error::custom(format_args!("{share} is no share; write 0.0 to 1.0"))),
    }
}
