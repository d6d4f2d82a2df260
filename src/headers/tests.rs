use http::Request;

use super::*;
use crate::config::OnDisconnect;

fn rebuilt(request: http::request::Builder, trusted: bool) -> request::Parts {
    let (mut head, ()) = request.body(()).expect("a request").into_parts();
    let fields = PeerFields::new("192.0.2.1:80".parse().ok(), Scheme::Http);
    let id = RequestId::from_static("id");
    let added = rebuild(
        &mut head,
        Peer { fields: Some(&fields), trusted },
        &id,
        &HeaderValue::from_static("backend:5000"),
    );
    let lines = added.pieces(&id).concat();
    // All of it, as it is written.
    for line in std::str::from_utf8(&lines).expect("text").split_terminator("\r\n") {
        let (name, value) = line.split_once(": ").expect("a field");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        head.headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    head
}

fn refused(request: http::request::Builder) -> Option<Refusal> {
    check(&request.body(()).expect("a request").into_parts().0, None).err()
}

#[test]
fn fields_of_the_hop_and_those_that_connection_names_stay_here() {
    let head = rebuilt(
        Request::get("/")
            .header("Host", "a")
            .header("Connection", "close, X-Secret")
            .header("Connection", "host")
            .header("X-Secret", "1")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("TE", "gzip")
            .header("Upgrade", "h2c")
            .header("Cookie", "a=b"),
        false,
    );
    let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let kept = [
        "cookie",
        "forwarded",
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, kept);
}

#[test]
fn only_a_trusted_peer_is_believed() {
    let request = || {
        Request::get("/")
            .header("Host", "site:80")
            .header("X-Forwarded-For", "203.0.113.9")
            .header("X-Forwarded-Proto", "https")
            .header("Forwarded", "for=203.0.113.9")
    };
    let head = rebuilt(request(), false);
    assert_eq!(head.headers["x-forwarded-for"], "192.0.2.1");
    assert_eq!(head.headers["x-forwarded-proto"], "http");
    assert_eq!(head.headers["x-forwarded-host"], "site:80");
    assert_eq!(head.headers["forwarded"], "for=192.0.2.1;proto=http;host=\"site:80\"");
    let head = rebuilt(request(), true);
    assert_eq!(head.headers["x-forwarded-for"], "203.0.113.9, 192.0.2.1");
    assert_eq!(head.headers["x-forwarded-proto"], "https");
    assert!(
        head.headers["forwarded"].to_str().expect("text").starts_with("for=203.0.113.9, for=192")
    );
}

#[test]
fn an_absolute_target_rules_over_host() {
    let head = rebuilt(Request::get("http://right/path?q").header("Host", "wrong"), false);
    assert_eq!(head.headers[HOST], "right");
    assert_eq!(head.uri, "/path?q");
}

#[test]
fn a_request_that_was_here_before_is_a_loop() {
    let head = rebuilt(Request::get("/").header("Host", "a").header("Via", "1.0 fred"), false);
    let via = head.headers[VIA].to_str().expect("text");
    assert!(via.starts_with("1.0 fred, 1.1 seawall-"), "{via}");
    assert_eq!(check(&head, None).err(), Some(Refusal::Loop));
}

#[test]
fn ambiguous_heads_are_refused() {
    let get = || Request::get("/");
    assert_eq!(refused(get().header("Host", "a")), None);
    assert_eq!(refused(get().version(Version::HTTP_10)), None);
    assert!(matches!(refused(get()), Some(Refusal::BadField(_))));
    for host in ["a@b", "a b", "a,b", "a/b", "a:b", "a:1:2"] {
        assert!(
            matches!(refused(get().header("Host", host)), Some(Refusal::BadField(_))),
            "{host}"
        );
    }
    let twice = get().header("Host", "a").header("Host", "a");
    assert!(matches!(refused(twice), Some(Refusal::BadField(_))));
    let coded = get().header("Host", "a").header("Transfer-Encoding", "gzip, chunked");
    assert!(matches!(refused(coded), Some(Refusal::NotImplemented(_))));
    let expecting = get().header("Host", "a").header("Expect", "tea");
    assert_eq!(refused(expecting), Some(Refusal::ExpectationUnknown));
}

#[test]
fn what_wsgi_takes_for_ours_does_not_get_by() {
    let head = rebuilt(
        Request::get("/")
            .header("Host", "a")
            .header("X_Forwarded_For", "1")
            .header("content_length", "5")
            .header("my_own", "kept"),
        false,
    );
    assert!(head.headers.keys().all(|name| !name.as_str().contains('_') || name == "my_own"));
    assert!(head.headers.contains_key("my_own"));
}

#[test]
fn a_request_without_host_gets_the_backends() {
    let head = rebuilt(Request::get("/").version(Version::HTTP_10), false);
    assert_eq!(head.headers[HOST], "backend:5000");
    assert_eq!(head.headers[VIA].as_bytes()[..4], *b"1.0 ");
}

#[test]
fn the_application_overrules_by_a_field_that_stays_here() {
    let (mut head, ()) = http::Response::builder()
        .header("Seawall-On-Disconnect", "cancel")
        .header("Connection", "close")
        .body(())
        .expect("a response")
        .into_parts();
    let id = RequestId::from_static("id");
    assert_eq!(accept(&mut head, &id), Ok(Some(OnDisconnect::Cancel)));
    assert_eq!(head.headers.len(), 1);
}
