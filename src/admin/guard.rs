//! Who may see the admin pages.
//!
//! Without a token, whoever can connect may; so it listens on this machine only, and other sites that
//! are open in a browser here are kept out by what a browser says of them: the name that they
//! resolved (DNS rebinding), and where a request comes from. With a token, whoever shows it may: as
//! `Authorization: Bearer`, or by the cookie that a browser is given for it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN,
            REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::pages::LOGIN;
use crate::{
    config,
    wishes::{Form, Wishes},
};

/// What is asked of whoever comes.
#[derive(Debug)]
pub(super) struct Guard {
    /// Its digest: compared in the same time whatever is shown, and no secret if it leaks.
    token: Option<[u8; 32]>,
    /// What a browser shows instead of it. Cookies know no port: it is sent to all that listens on this host,
    /// the application behind us above all.
    cookie: Option<String>,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Barred {
    #[error(
        "the admin pages are not known by this name: use an address, such as 127.0.0.1, or localhost"
    )]
    Name,
    #[error("another site sent this request")]
    Origin,
    #[error("a token is needed: Authorization: Bearer and the value of admin.token")]
    Token,
}

impl Guard {
    pub(super) fn new(config: &config::Admin) -> Self {
        let token = config.token.as_deref();
        Self { token: token.map(digest), cookie: token.and_then(cookie_for) }
    }

    fn admits(&self, method: &Method, headers: &HeaderMap) -> Result<(), Barred> {
        let host = host_of(headers);
        if is_of_another_site(method, headers, host.as_ref()) {
            return Err(Barred::Origin);
        }
        let Some(token) = self.token else {
            return match host.as_ref().is_some_and(is_no_name) {
                true => Ok(()),
                false => Err(Barred::Name),
            };
        };
        let is_shown = bearer(headers).is_some_and(|shown| digest(shown) == token);
        if is_shown || self.is_cookie(cookie(headers)) { Ok(()) } else { Err(Barred::Token) }
    }

    /// What a browser is given for the token, if this is it.
    pub(super) fn cookie(&self, shown: &str) -> Option<&str> {
        self.cookie.as_deref().filter(|_| self.token == Some(digest(shown)))
    }

    fn is_cookie(&self, shown: Option<&str>) -> bool {
        let ours = self.cookie.as_deref().map(digest);
        ours.is_some() && shown.map(digest) == ours
    }
}

/// Lets only those through who may see what is behind.
pub(super) async fn only_those_who_may(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.admits(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(Barred::Token) if is_for_a_person(&request) => {
            (StatusCode::UNAUTHORIZED, LOGIN).into_response()
        }
        Err(barred) => barred.into_response(),
    }
}

/// For every page: nothing from elsewhere, nothing kept, in nobody's frame.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fields = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fields {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

impl IntoResponse for Barred {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Name | Self::Origin => StatusCode::FORBIDDEN,
        };
        let mut response = (status, format!("{self}\n")).into_response();
        if self == Self::Token {
            let bearer = HeaderValue::from_static("Bearer realm=\"seawall\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

fn host_of(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

/// What a name leads to is for others to say; an address, and this machine's own name, is not.
fn is_no_name(host: &Authority) -> bool {
    let host = host.host().trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

/// As browsers tell it; other clients say neither.
fn is_of_another_site(method: &Method, headers: &HeaderMap, host: Option<&Authority>) -> bool {
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    // A link, a tab of its own: whose page holds the link does not see what comes.
    let is_link = method == Method::GET
        && says("sec-fetch-mode") == Some(b"navigate")
        && says("sec-fetch-dest") == Some(b"document");
    let site = says("sec-fetch-site");
    if !is_link && site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.and_then(|(_, origin)| origin.parse::<Authority>().ok()).as_ref() != host
}

/// A page is asked for, as browsers do.
fn is_for_a_person(request: &Request) -> bool {
    request.method() == Method::GET && Wishes::of(request.headers()).form() == Form::Html
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Of this process and this token alone, and neither can be told from it. None where the system gives no
/// random: then the token itself has to be shown.
fn cookie_for(token: &str) -> Option<String> {
    let mut key = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut key).ok()?;
    let digest = Sha256::new().chain_update(key).chain_update(token).finalize();
    Some(BASE64_URL_SAFE_NO_PAD.encode(digest))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The cookie that a browser shows.
pub(super) const COOKIE_NAME: &str = "seawall_admin";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(token: Option<&str>, fields: &[(&'static str, &str)]) -> Result<(), Barred> {
        asked_by(&Method::GET, token, fields)
    }

    fn asked_by(
        method: &Method,
        token: Option<&str>,
        fields: &[(&'static str, &str)],
    ) -> Result<(), Barred> {
        let guard =
            Guard { token: token.map(digest), cookie: token.map(|token| format!("for-{token}")) };
        let fields = fields.iter().map(|(name, value)| {
            (name.parse().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        });
        guard.admits(method, &fields.collect())
    }

    #[test]
    fn without_a_token_only_addresses_and_localhost_are_known() {
        for host in ["127.0.0.1:9099", "[::1]:9099", "localhost", "LOCALHOST.:1", "a.localhost"] {
            assert_eq!(admits(None, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:9099", "127.0.0.1.evil.example", "localhost.evil", ""] {
            assert_eq!(admits(None, &[("host", host)]), Err(Barred::Name), "{host}");
        }
    }

    #[test]
    fn other_sites_are_kept_out() {
        let host = ("host", "localhost:9099");
        let own = [host, ("origin", "http://localhost:9099"), ("sec-fetch-site", "same-origin")];
        assert_eq!(admits(None, &own), Ok(()));
        assert_eq!(admits(None, &[host, ("sec-fetch-site", "none")]), Ok(()));
        for other in [
            ("origin", "http://localhost:8080"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(admits(None, &[host, other]), Err(Barred::Origin), "{other:?}");
            assert_eq!(admits(Some("t"), &[host, other]), Err(Barred::Origin), "{other:?}");
        }
    }

    #[test]
    fn a_link_of_another_site_is_followed_and_nothing_else_of_it() {
        let link = [
            ("host", "localhost:9099"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(admits(None, &link), Ok(()));
        // The name it is known by counts all the same.
        assert_eq!(
            admits(None, &[&link[1..], &[("host", "evil.example")]].concat()),
            Err(Barred::Name)
        );
        let origin = [&link[..], &[("origin", "http://evil.example")]].concat();
        assert_eq!(admits(None, &origin), Err(Barred::Origin));
        for method in [Method::POST, Method::HEAD, Method::OPTIONS] {
            assert_eq!(asked_by(&method, None, &link), Err(Barred::Origin), "{method}");
        }
        for other in [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "no-cors")] {
            let fields = link.map(|field| if field.0 == other.0 { other } else { field });
            assert_eq!(admits(None, &fields), Err(Barred::Origin), "{other:?}");
        }
    }

    #[test]
    fn the_cookie_is_another_one_in_each_process_and_does_not_tell_the_token() {
        let cookies = ["abc", "abc"].map(|token| cookie_for(token).expect("random"));
        assert_ne!(cookies[0], cookies[1]);
        assert!(cookies.iter().all(|cookie| cookie.len() == 43), "{cookies:?}");
    }

    #[test]
    fn with_a_token_it_must_be_shown_whatever_the_name() {
        let host = ("host", "seawall:9099");
        assert_eq!(admits(Some("abc"), &[host]), Err(Barred::Token));
        assert_eq!(
            admits(Some("abc"), &[host, ("authorization", "Bearer abd")]),
            Err(Barred::Token)
        );
        assert_eq!(admits(Some("abc"), &[host, ("authorization", "bearer abc")]), Ok(()));
        assert_eq!(admits(Some("abc"), &[host, ("cookie", "a=b; seawall_admin=for-abc")]), Ok(()));
        for wrong in ["seawall_admin=abc", "seawall_admin=", "a=for-abc"] {
            let shown = admits(Some("abc"), &[host, ("cookie", wrong)]);
            assert_eq!(shown, Err(Barred::Token), "{wrong}");
        }
    }
}
