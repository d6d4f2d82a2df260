//! The pages, and what they are made of: files under `assets/`, embedded as they stand there.

use axum::{
    extract::Path,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderName},
    },
    response::Html,
};

/// What runs, live.
pub(super) async fn live() -> Html<&'static str> {
    Html(include_str!("assets/live.html"))
}

/// For who has to show a token first.
pub(super) const LOGIN: Html<&str> = Html(include_str!("assets/login.html"));

/// For who has shown a wrong one: the same, and what was wrong above it.
pub(super) fn login_again() -> Html<String> {
    let wrong = r#"<p class="wrong" role="alert">This is not the value of admin.token.</p>"#;
    Html(LOGIN.0.replacen("<form", &format!("{wrong}\n  <form"), 1))
}

/// What pages are made of. It tells nothing of this house, so it is shown to everybody.
pub(super) async fn asset(
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], &'static str), StatusCode> {
    let asset = ASSETS.iter().find(|(known, _)| *known == name);
    let (name, text) = asset.ok_or(StatusCode::NOT_FOUND)?;
    let kind = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    Ok(([(CONTENT_TYPE, kind)], text))
}

/// Each under its own name.
macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("assets/", $name)))),*]
    };
}

const ASSETS: &[(&str, &str)] = assets![
    "again.js",
    "bars.js",
    "detail.js",
    "dom.js",
    "exchange.js",
    "icon.svg",
    "inspect.css",
    "inspect.js",
    "live.css",
    "live.js",
    "model.js",
    "overview.js",
    "plots.js",
    "problems.js",
    "stages.js",
    "style.css",
    "summary.js",
    "words.js",
];
