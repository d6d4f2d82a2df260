//! The end of the process, as an operator orders it.

use axum::{extract::State as Of, http::StatusCode};

use super::House;

/// As a first signal does; whoever is late finds it begun. A container's image may have nothing that could
/// send a signal.
pub(super) async fn begin(Of(house): Of<House>) -> (StatusCode, &'static str) {
    house.proxy.tasks().order_drain();
    (StatusCode::ACCEPTED, "draining\n")
}
