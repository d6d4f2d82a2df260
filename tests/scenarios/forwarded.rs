//! Who the backend is told is calling: a client's own word is worth nothing, a trusted proxy's is
//! kept.

use crate::harness::{Backend, Head, Seawall};

const TRUSTING: &str = "[client]\ntrusted_proxies = [\"127.0.0.0/8\"]";

#[test]
fn the_backend_is_told_who_asks_and_how() {
    let head = what_reaches_the_backend("", "");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("app.test"));
    let forwarded = parameters(&head, 0);
    assert!(forwarded.contains(&"for=127.0.0.1".into()), "{forwarded:?}");
    assert!(forwarded.contains(&"proto=http".into()), "{forwarded:?}");
    assert!(forwarded.contains(&"host=app.test".into()), "{forwarded:?}");
}

#[test]
fn what_a_client_says_about_itself_is_replaced() {
    let head = what_reaches_the_backend(
        "",
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil.example\r\nForwarded: for=10.0.0.3;proto=https;host=evil.example\r\n",
    );
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("app.test"));
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(!text.contains("10.0.0.") && !text.contains("evil.example"), "{text}");
}

#[test]
fn a_name_that_wsgi_takes_for_the_same_does_not_get_by() {
    // CGI and WSGI make HTTP_X_FORWARDED_FOR of both spellings; a client's must not stand for ours.
    let head =
        what_reaches_the_backend("", "X_Forwarded_For: 10.0.0.1\r\nX_Forwarded-Proto: https\r\n");
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(!text.contains("10.0.0.1") && !text.contains("https"), "{text}");
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let head = what_reaches_the_backend(
        TRUSTING,
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n\
         Forwarded: for=203.0.113.7;proto=https;host=shop.example\r\n",
    );
    assert_eq!(head.all("x-forwarded-for").join(", "), "203.0.113.7, 127.0.0.1");
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    assert_eq!(head.field("x-forwarded-host"), Some("shop.example"));
    let theirs = parameters(&head, 0);
    assert!(
        theirs.contains(&"for=203.0.113.7".into()) && theirs.contains(&"proto=https".into()),
        "{theirs:?}"
    );
    assert!(parameters(&head, 1).contains(&"for=127.0.0.1".into()), "{:?}", parameters(&head, 1));
}

#[test]
fn the_whole_chain_of_a_trusted_proxy_is_kept() {
    let head = what_reaches_the_backend(TRUSTING, "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n");
    assert_eq!(head.all("x-forwarded-for").join(", "), "198.51.100.1, 203.0.113.7, 127.0.0.1");
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_reported_like_a_client() {
    let head = what_reaches_the_backend(TRUSTING, "");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("app.test"));
}

#[test]
fn a_proxy_outside_the_trusted_networks_is_a_client() {
    let head = what_reaches_the_backend(
        "[client]\ntrusted_proxies = [\"10.0.0.0/8\"]",
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
    );
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
}

#[test]
fn the_access_log_names_the_client_behind_a_trusted_proxy() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, TRUSTING);
    seawall.client().get_with("/", "X-Forwarded-For: 203.0.113.7\r\n").answer();
    let line = seawall.line_of("/");
    assert!(line["client"].as_str().unwrap().starts_with("203.0.113.7"), "{line}");
}

#[test]
fn every_request_has_an_id_which_the_log_knows() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let mut ids = Vec::new();
    for target in ["/one", "/two"] {
        seawall.client().get(target).answer();
        let id = backend.wait_answered(target).head.field("x-request-id").unwrap().to_owned();
        assert_eq!(seawall.line_of(target)["id"], *id);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn an_id_from_a_trusted_proxy_is_kept() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, TRUSTING);
    seawall.client().get_with("/", "X-Request-Id: 7f3a-outer\r\n").answer();
    assert_eq!(backend.wait_answered("/").head.field("x-request-id"), Some("7f3a-outer"));
    assert_eq!(seawall.line_of("/")["id"], "7f3a-outer");
}

#[test]
fn an_id_is_one_even_when_a_client_sends_several_or_a_monster() {
    let backend = Backend::start(|talk| talk.answer("served"));
    for settings in ["", TRUSTING] {
        let seawall = Seawall::with(&backend, settings);
        for ids in [
            "X-Request-Id: a\r\nX-Request-Id: b\r\n",
            &format!("X-Request-Id: {}\r\n", "x".repeat(5000)),
        ] {
            backend.forget();
            seawall.client().get_with("/", ids).answer();
            let head = backend.wait_answered("/").head;
            let id = head.field("x-request-id").unwrap();
            assert!(!id.is_empty() && id.len() <= 200, "{id}");
        }
    }
}

fn what_reaches_the_backend(settings: &str, fields: &str) -> Head {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, settings);
    seawall.client().get_with("/", fields).answer();
    backend.wait_answered("/").head
}

/// The parameters of the n-th element of `Forwarded` (RFC 7239), in small letters and without
/// quotes.
fn parameters(head: &Head, element: usize) -> Vec<String> {
    let all = head.all("forwarded").join(",");
    let element =
        all.split(',').nth(element).unwrap_or_else(|| panic!("too few elements in {all:?}"));
    element.split(';').map(|pair| pair.trim().replace('"', "").to_ascii_lowercase()).collect()
}
