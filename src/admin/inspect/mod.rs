//! The inspector: the last exchanges, each in all detail.
//!
//! Which of them is asked for is read by [`filter`], and what is told of one stands in [`shown`] and
//! [`message`].

mod filter;
mod message;
mod shown;

use axum::{
    Json,
    extract::{Path, Query, State as Of},
    http::StatusCode,
};
use serde::Serialize;

use self::{
    filter::Filter,
    shown::{Detail, Summary},
};
use super::House;

/// Those that a filter lets through: first those that run, then those that are over, the newest first.
#[derive(Debug, Serialize)]
pub(super) struct List {
    exchanges: Vec<Summary>,
    /// There are more than were asked for.
    more: bool,
}

pub(super) async fn list(Of(house): Of<House>, Query(filter): Query<Filter>) -> Json<List> {
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
    Json(List { exchanges, more })
}

pub(super) async fn detail(
    Of(house): Of<House>,
    Path(serial): Path<u64>,
) -> Result<Json<Detail>, (StatusCode, &'static str)> {
    if let Some(record) = house.books.find(serial) {
        return Ok(Json(Detail::of_running(&house, &record)));
    }
    let finished = house.books.recent().find(serial);
    finished.map(|one| Json(Detail::of_finished(&house, &one))).ok_or(UNKNOWN)
}

const UNKNOWN: (StatusCode, &str) = (
    StatusCode::NOT_FOUND,
    "no such exchange is known: it is too long ago, or was not kept; see [inspect] in proxy.toml\n",
);
