//! A cookie for the token, since a browser's event stream can show nothing else.

use std::sync::Arc;

use axum::{
    Form,
    extract::State,
    http::{HeaderName, StatusCode, header::LOCATION, header::SET_COOKIE},
    response::Html,
};
use serde::Deserialize;

use super::{
    guard::{COOKIE_NAME, Guard},
    pages::login_again,
};

#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    token: String,
}

/// Not read by scripts, and not sent with what other sites ask for. Until the browser is closed.
pub(super) async fn log_in(
    State(guard): State<Arc<Guard>>,
    Form(Shown { token }): Form<Shown>,
) -> Result<(StatusCode, [(HeaderName, String); 2]), (StatusCode, Html<String>)> {
    let cookie = guard.cookie(&token).ok_or_else(|| (StatusCode::UNAUTHORIZED, login_again()))?;
    let cookie = format!("{COOKIE_NAME}={cookie}; Path=/; HttpOnly; SameSite=Strict");
    Ok((StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())]))
}
