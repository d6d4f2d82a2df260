//! One batch to the collector: OTLP over HTTP.

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioTimer,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tokio::time::timeout;

use crate::{config, tasks::Tasks};

/// Where spans go.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("no connection: {}", cause(.0))]
    NoConnection(#[source] hyper_util::client::legacy::Error),
    #[error("no answer within trace.timeout")]
    TooLate,
    #[error("the answer is broken off: {0}")]
    BrokenOff(Box<dyn Error + Send + Sync>),
    #[error("the collector answered {status}{}", .text.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Answered { status: StatusCode, after: Option<Duration>, text: Option<String> },
}

/// What the collector says of a batch that it took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Spans that it did not take.
    pub(super) rejected: u64,
    pub(super) text: String,
}

impl NotTaken {
    /// May it be taken another time, as OTLP has it?
    pub(super) fn is_for_now(&self) -> bool {
        match self {
            Self::Answered { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            _ => true,
        }
    }

    /// When the collector wants to be asked again.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::Answered { after, .. } => *after,
            _ => None,
        }
    }
}

impl Collector {
    /// # Errors
    /// Where this machine knows nobody by whom to check the certificate of a collector.
    pub(super) fn new(config: &config::Trace, url: &Uri) -> io::Result<Self> {
        let mut dialler = HttpConnector::new();
        dialler.enforce_http(false);
        dialler.set_connect_timeout(Some(config.timeout));
        let roots = match url.scheme_str() {
            Some("https") => roots()?,
            _ => rustls::RootCertStore::empty(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder(OnThisThread)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(HttpsConnector::from((dialler, tls)));
        let (headers, timeout) = (config.headers.clone(), config.timeout);
        Ok(Self { client, url: url.clone(), headers, timeout })
    }

    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    pub(super) async fn post(&self, batch: Bytes) -> Result<Taken, NotTaken> {
        match timeout(self.timeout, self.ask(batch)).await {
            Ok(answer) => answer,
            Err(_) => Err(NotTaken::TooLate),
        }
    }

    async fn ask(&self, batch: Bytes) -> Result<Taken, NotTaken> {
        let mut request = Request::new(Full::new(batch));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let say = request.headers_mut();
        say.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-protobuf"));
        say.entry(USER_AGENT).or_insert(http::HeaderValue::from_static(AGENT));
        let answer = self.client.request(request).await.map_err(NotTaken::NoConnection)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(NotTaken::BrokenOff)?;
        let body = body.to_bytes();
        if !head.status.is_success() {
            let after = head.headers.get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?));
            return Err(NotTaken::Answered { status: head.status, after, text: text(&body) });
        }
        // It has them, whatever else it may say.
        let said = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let partly = said.partial_success.unwrap_or_default();
        let rejected = u64::try_from(partly.rejected_spans).unwrap_or_default();
        Ok(Taken { rejected, text: partly.error_message })
    }
}

/// Those of the system, or of `SSL_CERT_FILE`.
fn roots() -> io::Result<rustls::RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(io::Error::other(
            "no certificates of authorities on this machine; install ca-certificates, or name a file \
             of them in SSL_CERT_FILE",
        )),
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn wait(text: &str) -> Option<Duration> {
    let seconds = || text.trim().parse().ok().map(Duration::from_secs);
    let until =
        || httpdate::parse_http_date(text).ok()?.duration_since(std::time::SystemTime::now()).ok();
    seconds().or_else(until)
}

/// Of a status message, in protobuf or not: what can be read of it.
fn text(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let shown = |char: &char| !char.is_control() && *char != char::REPLACEMENT_CHARACTER;
    let text: String = text.chars().filter(shown).take(SHOWN).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The last of its causes.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Connections are tasks of the thread that sends.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, connection: F) {
        Tasks::background(connection);
    }
}

const AGENT: &str = concat!("seawall/", env!("CARGO_PKG_VERSION"));
/// Bytes of an answer that are read.
const LONGEST: usize = 64 * 1024;
/// Characters of it that are shown.
const SHOWN: usize = 200;
