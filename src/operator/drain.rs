//! `seawall drain`: for hooks of containers, whose images have nothing that could send a signal.

use http::{Method, StatusCode};

use super::{Whom, health::Unwell};
use crate::{config, runtime};

/// Who is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) whom: Whom,
}

impl Drain {
    /// The line that says that it has begun.
    pub(crate) fn order(&self, config: Option<&config::Admin>) -> Result<String, Unwell> {
        let place = self.whom.place(config, None)?;
        let answer = runtime::block_on(place.ask(Method::POST, "/api/drain"))?
            .map_err(|error| Unwell::NoAnswer(place.authority.clone(), error))?;
        match answer.status {
            StatusCode::ACCEPTED => Ok(answer.line()),
            status => Err(Unwell::Said(status, answer.line())),
        }
    }
}
