//! One question to an admin listener, and its answer.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONNECTION, HOST},
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::Place;
use crate::tasks::Tasks;

/// What it said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    #[error("no answer within {} s", LONGEST.as_secs())]
    TimedOut,
    #[error("no answer: {0}")]
    Broken(#[from] hyper::Error),
    #[error("no whole answer: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

impl Place {
    /// Within [`LONGEST`], over a connection of its own.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Answer, NoAnswer> {
        match timeout(LONGEST, self.ask_patiently(method, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }

    async fn ask_patiently(&self, method: Method, path: &str) -> Result<Answer, NoAnswer> {
        let socket = TcpStream::connect(self.authority.as_str()).await;
        let socket = TokioIo::new(socket.map_err(NoAnswer::Unreachable)?);
        let (mut sender, connection) = http1::handshake(socket).await?;
        Tasks::background(async {
            // What becomes of it is told to who sent the request.
            let _ = connection.await;
        });
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = http::Uri::try_from(path).unwrap_or_default();
        let fields = request.headers_mut();
        if let Ok(host) = self.authority.as_str().parse() {
            fields.insert(HOST, host);
        }
        fields.insert(CONNECTION, http::HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            fields.insert(AUTHORIZATION, token.clone());
        }
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        Ok(Answer { status, body: body.map_err(NoAnswer::Body)?.to_bytes() })
    }
}

impl Answer {
    /// Its first line, for people. Whoever answers there has no say in what a terminal does.
    pub(super) fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.lines().next().unwrap_or_default().replace(char::is_control, "")
    }
}

/// Less than what supervisors give a health check.
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes of an answer: some ten thousand exchanges.
const MOST: usize = 64 * 1024 * 1024;
