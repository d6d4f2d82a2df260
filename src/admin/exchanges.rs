//! What an operator may do to an exchange.

use axum::{
    extract::{Path, State as Of},
    http::StatusCode,
};

use super::House;

/// Ends one that runs. It is logged as cut, and who waits for it gets an answer of ours.
pub(super) async fn end(
    Of(house): Of<House>,
    Path(serial): Path<u64>,
) -> Result<StatusCode, (StatusCode, &'static str)> {
    let Some(record) = house.books.find(serial) else {
        return Err((StatusCode::NOT_FOUND, "no such exchange runs\n"));
    };
    match record.end("ended by an operator") {
        true => Ok(StatusCode::ACCEPTED),
        false => Err((
            StatusCode::CONFLICT,
            "it has no exchange of its own: it is not received yet, has joined another's, or is over\n",
        )),
    }
}
