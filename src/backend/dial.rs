//! Dialling. The name is resolved each time: a container that was made anew has a new address.

use std::{error::Error, io, time::Duration};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::ServiceExt as _;

use crate::{config, socket::Socket};

#[derive(Debug)]
pub(super) struct Dialler {
    connector: HttpConnector,
    url: Uri,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the name does not resolve: {0}")]
    Name(Box<dyn Error + Send + Sync>),
    #[error("connection refused")]
    Refused,
    #[error("no connection within backend.connect_timeout")]
    TimedOut,
    #[error("unreachable: {0}")]
    Unreachable(Box<dyn Error + Send + Sync>),
}

impl Dialler {
    pub(super) fn new(config: &config::Backend) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        // One address after the other: two connections at once, of which one stays silent, would
        // block a one-thread server.
        connector.set_happy_eyeballs_timeout(None);
        Self { connector, url: config.url.clone() }
    }

    pub(super) async fn dial(&self, timeout: Duration) -> Result<Socket, NoConnection> {
        let dialled = self.connector.clone().oneshot(self.url.clone());
        match tokio::time::timeout(timeout, dialled).await {
            Ok(Ok(stream)) => Ok(Socket(stream.into_inner())),
            Ok(Err(error)) => Err(NoConnection::of(error.into())),
            Err(_) => Err(NoConnection::TimedOut),
        }
    }
}

impl NoConnection {
    fn of(error: Box<dyn Error + Send + Sync>) -> Self {
        // The connector's error type is private; its text and its sources are not.
        if error.to_string().starts_with("dns error") {
            return Self::Name(error);
        }
        let mut source: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => return Self::Refused,
                    io::ErrorKind::TimedOut => return Self::TimedOut,
                    _ => {}
                }
            }
            source = cause.source();
        }
        Self::Unreachable(error)
    }
}
