//! Health, for those who look after the process. Shown to everybody.

use axum::{
    Json,
    extract::State as Of,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::House;
use crate::{proxy::Readiness, tasks::Tasks, wishes::Wishes};

/// Whether requests are to be sent here.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    draining: bool,
    backends: Vec<OfBackend>,
}

#[derive(Debug, Serialize)]
struct OfBackend {
    name: String,
    ready: bool,
    reason: Option<String>,
}

/// The process answers.
pub(super) async fn of_process() -> &'static str {
    "ok\n"
}

/// The backends can be reached, and we are not ending; 503 where that is not so.
pub(super) async fn to_serve(Of(house): Of<House>, headers: HeaderMap) -> Response {
    let draining = house.proxy.tasks().is_draining();
    let backends = if draining { None } else { backends(&house).await };
    let ready = backends.as_ref().is_some_and(|all| all.iter().all(|one| one.ready));
    let backends = backends.unwrap_or_default();
    let report = Report { ready, draining, backends };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wishes = Wishes::of(&headers);
    match wishes.liking(&["application/json"]) > wishes.liking(&["text/plain"]) {
        true => (status, Json(report)).into_response(),
        false => (status, report.line()).into_response(),
    }
}

/// None where nothing runs any more that could look. Looked at where requests run: the connection of a
/// probe is kept, and whoever has it next would wait for this thread, and for all that it draws up.
async fn backends(house: &House) -> Option<Vec<OfBackend>> {
    let proxy = house.proxy.clone();
    let all = Tasks::done_on(&house.worker, async move { proxy.readiness().await }).await?;
    Some(all.into_iter().map(OfBackend::from).collect())
}

impl Report {
    /// The first reason that there is.
    fn line(&self) -> String {
        let reason = match self.backends.iter().find_map(|one| Some((one, one.reason.as_ref()?))) {
            _ if self.ready => return "ready\n".to_owned(),
            _ if self.draining => "draining".to_owned(),
            Some((one, reason)) => format!("backend {}: {reason}", one.name),
            None => "no backend".to_owned(),
        };
        format!("not ready: {reason}\n")
    }
}

impl From<Readiness> for OfBackend {
    fn from(Readiness { backend, ready }: Readiness) -> Self {
        let reason = ready.err().map(|why| why.to_string());
        Self { name: backend, ready: reason.is_none(), reason }
    }
}
