//! Fields on their way through (RFC 9110 section 7.6): what concerns one connection stays on it,
//! the rest is untouched.

use crate::harness::{Answer, Backend, Head, Seawall, Talk};

#[test]
fn what_concerns_the_clients_connection_does_not_reach_the_backend() {
    let (head, _) = ask(
        "Connection: keep-alive, X-Private, Authorization-Of-Hop\r\nX-Private: 1\r\nAuthorization-Of-Hop: 2\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\n\
         Trailer: X-Sum\r\nX-Public: 3\r\n",
    );
    for name in ["x-private", "authorization-of-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(head.field(name), None, "{name}");
    }
    assert_eq!(head.field("x-public"), Some("3"));
    assert!(head.field("te").is_none_or(|codings| codings == "trailers"), "{head:?}");
    let options = head.all("connection").join(",").to_ascii_lowercase();
    assert!(!options.contains("x-private") && !options.contains("upgrade"), "{options}");
}

#[test]
fn what_concerns_the_backends_connection_does_not_reach_the_client() {
    let answer = answered_with(|talk| {
        talk.answer_with(
            "200 OK",
            "Connection: X-Private, close\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
             X-Public: 2\r\n",
            "served",
        )?;
        talk.close();
        Ok(())
    });
    for name in ["x-private", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.head.field(name), None, "{name}");
    }
    assert_eq!(answer.head.field("x-public"), Some("2"));
    assert!(!answer.head.says_close(), "the client's connection may go on: {:?}", answer.head);
}

#[test]
fn connection_may_not_name_what_the_message_needs() {
    // A client which names such fields would otherwise take from the request what its meaning rests
    // on.
    let (head, _) =
        ask("Connection: Host, Content-Length, X-Forwarded-For, Cookie\r\nCookie: a=1\r\n");
    assert_eq!(head.field("host"), Some("app.test"));
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn other_fields_pass_as_they_are_and_in_their_order() {
    let (head, answer) = ask(
        "X-First: a\r\nCookie: one=1; two=2\r\nX-Twice: b\r\nX-Twice: c\r\nX-Empty:\r\nX-Latin: caf\u{e9}\r\n\
         Authorization: Basic Zm9v\r\nReferer: http://x/\r\nUser-Agent: curl/8\r\nAccept-Encoding: gzip\r\n\
         If-None-Match: \"v1\"\r\nRange: bytes=0-1\r\nX-Comma: a, b,c\r\n",
    );
    assert_eq!(head.all("x-twice"), ["b", "c"]);
    for (name, value) in [
        ("x-first", "a"),
        ("cookie", "one=1; two=2"),
        ("x-empty", ""),
        ("x-latin", "caf\u{e9}"),
        ("authorization", "Basic Zm9v"),
        ("referer", "http://x/"),
        ("user-agent", "curl/8"),
        ("accept-encoding", "gzip"),
        ("if-none-match", "\"v1\""),
        ("range", "bytes=0-1"),
        ("x-comma", "a, b,c"),
    ] {
        assert_eq!(head.field(name), Some(value), "{name}");
    }
    assert_eq!(answer.head.all("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(answer.head.field("server"), Some("Fragile/0.1"));
    assert_eq!(answer.head.field("date"), Some("Tue, 15 Nov 1994 08:12:31 GMT"));
}

#[test]
fn the_host_is_kept() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for host in ["shop.example:8443", "EXAMPLE.test", "[::1]:80", "192.0.2.1"] {
        seawall.client().send(format!("GET /{host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).answer();
        assert_eq!(backend.wait_answered(&format!("/{host}")).head.field("host"), Some(host));
    }
}

#[test]
fn a_target_in_absolute_form_decides_about_the_host() {
    // RFC 9112 section 3.2.2.
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    seawall
        .client()
        .send("GET http://real.example/path?q HTTP/1.1\r\nHost: other.example\r\n\r\n")
        .answer();
    let head = backend.wait_answered("/path?q").head;
    assert_eq!(head.field("host"), Some("real.example"));
}

#[test]
fn a_target_passes_byte_for_byte() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for target in [
        "/a%2Fb/../c//?q=%00&r=a|b[]{}&s=%zz",
        "/?",
        "/%E2%82%AC?x=?&y=/",
        "/;v=1,2?@:!$'()*+",
        "//double",
    ] {
        assert_eq!(seawall.client().get(target).answer().status(), 200, "{target}");
        backend.wait_answered(target);
    }
}

#[test]
fn the_backend_is_told_by_which_protocol_the_client_spoke() {
    // RFC 9110 section 7.6.3: a gateway must say so in requests, and may in answers.
    let (head, _) = ask("");
    assert_eq!(head.field("via").map(|via| via.split(' ').next()), Some(Some("1.1")));

    let backend = Backend::start(|talk| {
        talk.close();
        talk.write("HTTP/1.0 200 OK\r\nContent-Length: 6\r\nVia: 1.1 inner\r\n\r\nserved")
    });
    let seawall = Seawall::before(&backend);
    let answer =
        seawall.client().send("GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 outer\r\n\r\n").answer();
    let asked = backend.wait_answered("/").head.all("via").join(", ");
    assert!(asked.starts_with("1.1 outer, 1.0 "), "{asked}");
    let answered = answer.head.all("via").join(", ");
    assert!(answered.starts_with("1.1 inner"), "{answered}");
}

#[test]
fn a_request_that_has_passed_here_before_is_a_loop() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    seawall.client().get("/first").answer();
    let via = backend.wait_answered("/first").head.field("via").unwrap().to_owned();
    let looping = seawall
        .client()
        .get_with("/loop", &format!("Via: 1.1 outer, {via}, 1.1 other\r\n"))
        .answer();
    assert!([502, 508].contains(&looping.status()), "{looping:?}");
    assert!(
        looping.head.field("proxy-status").unwrap().contains("proxy_loop_detected"),
        "{looping:?}"
    );
    assert_eq!(backend.targets(), ["/first"]);
    // Another proxy of any other name is no loop.
    assert_eq!(
        seawall.client().get_with("/other", "Via: 1.1 nginx, 1.1 varnish\r\n").answer().status(),
        200
    );
}

/// A request with these fields: what of it reached the backend, and the answer.
fn ask(fields: &str) -> (Head, Answer) {
    let backend = Backend::start(|talk| {
        let fields = "Server: Fragile/0.1\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
                      Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n";
        talk.answer_with("200 OK", fields, "served")
    });
    let seawall = Seawall::before(&backend);
    let answer = seawall.client().get_with("/", fields).answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    (backend.wait_answered("/").head, answer)
}

fn answered_with(
    script: impl Fn(&mut Talk) -> std::io::Result<()> + Send + Sync + 'static,
) -> Answer {
    let backend = Backend::start(script);
    let answer = Seawall::before(&backend).client().get("/").answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}
