//! Is there any point in sending requests here?

use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;

use super::{House, Proxy};
use crate::{backend::Condition, exchange::Means, probe::Probe};

/// What one backend is good for at this moment.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) backend: String,
    pub(crate) ready: Result<(), Unready>,
}

/// Why a backend is good for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unready {
    #[error("{0}")]
    Unreachable(&'static str),
    #[error("it answers its probe with {}", .0.as_u16())]
    Probe(StatusCode),
}

impl Proxy {
    /// Of every backend, within about half a second, whatever they do. Where they have a probe, it is what
    /// that says.
    pub(crate) async fn readiness(&self) -> Vec<Readiness> {
        let house = self.shared.house.load_full();
        let each = house.means.iter().zip(&house.probes).map(async |(means, probe)| {
            let name = means.backend.config.name.clone();
            Readiness { backend: name, ready: house.is_ready(means, probe).await }
        });
        join_all(each).await
    }
}

impl House {
    async fn is_ready(&self, means: &Arc<Means>, probe: &Probe) -> Result<(), Unready> {
        let backend = &means.backend;
        if !probe.is_there() {
            return backend.is_reachable().await.map_err(Unready::Unreachable);
        }
        let answer = probe.answer(backend, |path| self.ask(means, path)).await;
        match (backend.condition(), answer.status()) {
            (Condition::Away { why, .. }, _) => Err(Unready::Unreachable(why)),
            (Condition::Unknown, _) => Err(Unready::Unreachable("nobody has reached it yet")),
            (_, status) if status.is_success() || status.is_redirection() => Ok(()),
            (_, status) => Err(Unready::Probe(status)),
        }
    }
}
