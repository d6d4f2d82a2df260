//! `seawall health`: for the health checks of containers, whose images may have no shell.

use http::{Method, StatusCode};

use super::{NoPlace, Whom, ask::NoAnswer};
use crate::{config, runtime};

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// Ask whether it is ready, too: whether its backends can be reached, and it is not draining.
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    pub(crate) whom: Whom,
}

/// Why all is not well, or not as ordered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwell {
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    #[error("http://{0}: {1}")]
    NoAnswer(http::uri::Authority, NoAnswer),
    /// In its own words.
    #[error("{0}: {1}")]
    Said(StatusCode, String),
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

impl Health {
    /// The line that says that all is well.
    pub(crate) fn ask(&self, config: Option<&config::Admin>) -> Result<String, Unwell> {
        let place = self.whom.place(config, None)?;
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = runtime::block_on(place.ask(Method::GET, path))?
            .map_err(|error| Unwell::NoAnswer(place.authority.clone(), error))?;
        match answer.status {
            StatusCode::OK => Ok(answer.line()),
            status => Err(Unwell::Said(status, answer.line())),
        }
    }
}
