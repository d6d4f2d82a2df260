//! The inspector: the last exchanges, each in all detail.
//!
//! Which of them is asked for is read by [`filter`], and what is told of one stands in [`shown`] and
//! [`message`]; as a command for a shell, in [`curl`], and for other tools, in [`har`]. It may be sent once
//! more, by [`replay`].

mod curl;
mod filter;
mod har;
mod message;
mod replay;
mod shown;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State as Of},
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_DISPOSITION},
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::{
    filter::Filter,
    replay::Wishes,
    shown::{Detail, Summary},
};
use super::House;
use crate::{headers::Scheme, observe::recent::Finished, tasks::Tasks};

pub(super) fn routes() -> Router<House> {
    Router::new()
        .route("/inspect", get(page))
        .route("/api/exchanges", get(list))
        .route("/api/exchanges/{serial}", get(detail))
        .route("/api/exchanges/{serial}/curl", get(curl))
        .route("/api/exchanges/{serial}/replay", post(replay))
        .route("/api/har", get(har))
}

async fn page() -> Html<&'static str> {
    Html(include_str!("../assets/inspect.html"))
}

/// Those that a filter lets through: first those that run, then those that are over, the newest first.
#[derive(Debug, Serialize)]
struct List {
    exchanges: Vec<Summary>,
    /// There are more than were asked for.
    more: bool,
    /// When the process began, in RFC 3339, and how many milliseconds ago.
    began: String,
    now: f64,
    /// How many are kept at most.
    entries: usize,
}

async fn list(Of(house): Of<House>, Query(filter): Query<Filter>) -> Json<List> {
    let name = |account| house.books.name(account);
    let mut exchanges = Vec::new();
    if filter.takes_running() {
        for record in house.books.running().iter().rev() {
            let outcome = record.outcome();
            if filter.takes(false, record.facts(), &outcome, name) {
                exchanges.push(Summary::of(&house, record.serial(), record.facts(), &outcome));
            }
        }
    }
    for one in house.books.recent().since(filter.after.unwrap_or(0)) {
        if filter.takes(true, &one.facts, &one.outcome, name) {
            exchanges.push(Summary::of_finished(&house, &one));
        }
    }
    let more = exchanges.len() > filter.limit();
    exchanges.truncate(filter.limit());
    Json(List {
        exchanges,
        more,
        began: humantime::format_rfc3339_millis(house.books.began()).to_string(),
        now: house.millis(Instant::now()),
        entries: house.books.recent().entries(),
    })
}

async fn detail(
    Of(house): Of<House>,
    Path(serial): Path<u64>,
) -> Result<Json<Detail>, (StatusCode, &'static str)> {
    loop {
        // First, since it may end in between.
        let is_entered = house.books.is_entered(serial);
        if let Some(record) = house.books.find(serial) {
            return Ok(Json(Detail::of_running(&house, &record)));
        }
        match finished(&house, serial) {
            Ok(one) => return Ok(Json(Detail::of_finished(&house, &one))),
            Err(unknown) if !is_entered => return Err(unknown),
            // A worker is about to put it where it is kept.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn curl(
    Of(house): Of<House>,
    Path(serial): Path<u64>,
) -> Result<String, (StatusCode, &'static str)> {
    let one = finished(&house, serial)?;
    let said = one.capture.as_ref().filter(|said| said.request_body.is_whole());
    let head = said.and_then(|said| said.request.as_ref());
    let command =
        head.zip(said).and_then(|(head, said)| curl::command(&one.facts, head, &said.request_body));
    command.ok_or((
        StatusCode::CONFLICT,
        "its head or its body was not kept whole, so there is no command that sends it; see [inspect] in \
         proxy.toml\n",
    ))
}

async fn har(
    Of(house): Of<House>,
    Query(filter): Query<Filter>,
) -> ([(HeaderName, &'static str); 1], Json<Value>) {
    let name = |account| house.books.name(account);
    let mut all = house.books.recent().since(filter.after.unwrap_or(0));
    all.retain(|one| filter.takes(true, &one.facts, &one.outcome, name));
    all.truncate(filter.limit());
    let archive = har::archive(&house, all.iter().rev().map(|one| &**one));
    ([(CONTENT_DISPOSITION, "attachment; filename=\"seawall.har\"")], Json(archive))
}

/// Sends it once more, and gives the number of that at once.
async fn replay(
    Of(house): Of<House>,
    Path(serial): Path<u64>,
    headers: HeaderMap,
    wishes: Bytes,
) -> Result<Response, (StatusCode, &'static str)> {
    // No page of another site can give it unasked.
    if !headers.contains_key("x-seawall") {
        return Err((StatusCode::FORBIDDEN, "give the field X-Seawall: 1 as well\n"));
    }
    if house.proxy.tasks().is_draining() {
        // The last task may be over, and nobody would run it.
        return Err(DRAINING);
    }
    let wishes = match wishes.is_empty() {
        true => Wishes::default(),
        false => serde_json::from_slice(&wishes).map_err(|_| BAD_WISHES)?,
    };
    let one = finished(&house, serial)?;
    let said = one.capture.as_deref().ok_or(UNKNOWN)?;
    let request = match replay::request(&one.facts, said, &wishes) {
        Ok(request) => request,
        Err(missing) => return Ok(missing.into_response()),
    };
    let is_secure = said.request.as_ref().is_some_and(|head| head.is_secure);
    let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
    let (again, run) = house.proxy.operate(request, scheme, house.replay);
    tracing::info!(exchange = again, of = serial, "an operator sends a request again");
    Tasks::background_on(&house.worker, run);
    Ok((StatusCode::ACCEPTED, Json(json!({"serial": again}))).into_response())
}

fn finished(house: &House, serial: u64) -> Result<Arc<Finished>, (StatusCode, &'static str)> {
    house.books.recent().find(serial).ok_or(UNKNOWN)
}

const BAD_WISHES: (StatusCode, &str) = (
    StatusCode::BAD_REQUEST,
    "write {\"fields\": {name: value}, \"without_masked\": true, \"without_body\": true}, or parts of it\n",
);

const DRAINING: (StatusCode, &str) =
    (StatusCode::CONFLICT, "seawall is draining, and takes nothing new\n");

const UNKNOWN: (StatusCode, &str) = (
    StatusCode::NOT_FOUND,
    "no such exchange is known: it is too long ago, or was not kept; see [inspect] in proxy.toml\n",
);
